"""What is learnt of the cluster, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from _schedulable import node, pod, pod_tree

from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_scheduler.cache import Cache
from hyperkube_scheduler.changes import Changes
from hyperkube_scheduler.framework.events import Action, Concern, Kind, node_events, pod_events
from hyperkube_scheduler.framework.interface import Nomination
from hyperkube_scheduler.keeping import keep_node, keep_pod
from hyperkube_scheduler.nodeinfo import NodeFacts
from hyperkube_scheduler.podinfo import read_pod
from hyperkube_scheduler.queue import Interests, SchedulingQueue
from hyperkube_scheduler.slices import finish
from hyperkube_scheduler.steps.prioritysort import PrioritySort
from hyperkube_scheduler.waiting import QueuedPod

pytestmark = pytest.mark.anyio

ANYTHING = Concern((Kind.POD, Kind.NODE), Action.ADD | Action.DELETE)


class World:
    """A cache and a queue, with a step that any pod or node that comes or goes may help."""

    def __init__(self) -> None:
        self.cache = Cache()
        interests = Interests((), [("Anything", ANYTHING)])
        self.queue = SchedulingQueue(VirtualClock(), PrioritySort().rank, {"default-scheduler": interests})
        self.changes = Changes(self.cache, self.queue, "default-scheduler".__eq__)

    def waiting(self) -> dict[str, int]:
        return {name: size for name, size in self.queue.sizes().items() if size}

    def take(self) -> QueuedPod:
        entry = self.queue.take()
        assert entry is not None
        return entry

    def refuse(self, tree: dict[str, Any]) -> None:
        """A pod comes, and is refused."""
        self.changes.on_pod(None, tree)
        entry = self.take()
        entry.steps = {"Anything"}
        self.queue.put_back(entry)


@pytest.fixture
def world() -> World:
    return World()


async def test_pods_of_ours_wait_and_those_of_others_do_not(world: World) -> None:
    world.changes.on_pod(None, pod_tree("ours"))
    world.changes.on_pod(None, pod_tree("theirs", schedulerName="theirs"))
    world.changes.on_pod(None, pod_tree("placed", on="n"))
    assert world.waiting() == {"active": 1}
    assert set(world.changes.pending) == {"uid-ours"}
    assert world.cache.pod("uid-placed") is not None


async def test_a_pod_that_somebody_bound_waits_no_more(world: World) -> None:
    world.changes.on_pod(None, before := pod_tree("p"))
    world.changes.on_pod(before, pod_tree("p", on="n"))
    assert (world.waiting(), world.changes.pending) == ({}, {})


async def test_pods_and_nodes_that_come_and_go_bring_others_back(world: World) -> None:
    changes: list[Callable[[], None]] = [
        lambda: world.changes.on_node(None, node("n")),
        lambda: world.changes.on_pod(None, pod_tree("other", on="n")),
        lambda: world.changes.on_pod(pod_tree("other", on="n"), None),
        lambda: world.changes.on_node(node("n"), None),
    ]
    for change in changes:
        world.refuse(pod_tree("p"))
        assert world.waiting() == {"unschedulable": 1}
        change()
        assert world.waiting() == {"backoff": 1}
        world.changes.on_pod(pod_tree("p"), None)
        assert world.waiting() == {}


async def test_while_an_attempt_runs_changes_wait_in_line(world: World) -> None:
    with world.changes.held():
        world.changes.on_node(None, node("n"))
        world.changes.on_pod(None, first := pod_tree("p"))
        world.changes.on_pod(first, None)
        assert (world.cache.nodes, world.waiting()) == ([], {})
    world.changes.on_pod(None, pod_tree("q"))
    assert world.waiting() == {}, "those that come later don't overtake"
    finish(world.changes.catch_up())
    assert ([one.name for one in world.cache.nodes], world.waiting()) == (["n"], {"active": 1})
    world.changes.on_pod(None, pod_tree("r"))
    assert world.waiting() == {"active": 2}


async def test_a_change_that_cannot_be_followed_holds_up_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with world.changes.held():
        world.changes.do(lambda: [""].remove("not there"))
        world.changes.on_pod(None, pod_tree("p"))
    finish(world.changes.catch_up())
    assert world.waiting() == {"active": 1}
    assert "a change of the cluster can't be followed" in caplog.text


async def test_of_two_pods_of_one_name_the_first_is_gone(world: World) -> None:
    world.changes.on_pod(None, old := pod_tree("p", on="n", metadata={"uid": "first"}))
    world.changes.on_pod(old, pod_tree("p", metadata={"uid": "second"}))
    assert world.cache.pod("first") is None
    assert set(world.changes.pending) == {"second"}


async def test_an_assumed_pod_that_is_deleted_takes_no_room_any_more(world: World) -> None:
    world.changes.on_node(None, node("n"))
    world.changes.on_pod(None, tree := pod_tree("p", cpu="1"))
    world.cache.assume(world.take().pod, "n")
    world.refuse(pod_tree("waiting"))
    leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "2"}
    world.changes.on_pod(tree, pod_tree("p", cpu="1", metadata=leaving))
    assert not world.cache.is_assumed("uid-p")
    assert world.waiting() == {"backoff": 1}


async def test_an_update_of_an_assumed_pod_does_not_queue_it_again(world: World) -> None:
    world.changes.on_pod(None, tree := pod_tree("p"))
    world.cache.assume(world.take().pod, "n")
    world.changes.on_pod(tree, pod_tree("p", metadata={"resourceVersion": "2"}))
    assert world.waiting() == {}


async def test_a_promise_that_is_taken_back_frees_its_room_for_the_less_important(world: World) -> None:
    promised = pod_tree("p", priority=5, status={"nominatedNodeName": "n"})
    world.changes.on_pod(None, promised)
    assert [one.name for one in world.queue.nominations.by_node["n"]] == ["p"]
    world.take()
    for name, priority in (("less", 1), ("more", 9)):
        world.refuse(pod_tree(name, priority=priority))
    world.changes.on_pod(promised, None)
    assert world.waiting() == {"backoff": 1, "unschedulable": 1}
    assert world.take().pod.name == "less"
    assert not world.queue.nominations.by_node


async def test_a_promise_is_not_lost_by_an_update_that_does_not_tell_it_yet(world: World) -> None:
    world.refuse(tree := pod_tree("p"))
    world.queue.nominations.promise(pod("p"), Nomination("n"))
    world.changes.on_pod(tree, pod_tree("p", metadata={"resourceVersion": "2"}, labels={"a": "b"}))
    assert "n" in world.queue.nominations.by_node


async def test_labels_of_namespaces_are_known(world: World) -> None:
    world.changes.on_namespace(None, {"metadata": {"name": "ns", "labels": {"team": "a"}}})
    assert world.cache.namespace_labels("ns") == {"team": "a"}
    world.changes.on_namespace({"metadata": {"name": "ns"}}, None)
    assert world.cache.namespace_labels("ns") == {}


def actions(events: Any) -> set[Action]:
    return {event.action for event in events}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (node("n"), node("n"), set()),
        (node("n"), node("n", cpu="8"), {Action.UPDATE_NODE_ALLOCATABLE}),
        (node("n"), node("n", zone="z"), {Action.UPDATE_NODE_LABEL}),
        (node("n", taints=[{"key": "k", "effect": "NoSchedule"}]), node("n"), {Action.UPDATE_NODE_TAINT}),
        (node("n", unschedulable=True), node("n"), {Action.UPDATE_NODE_TAINT}),
        (node("n"), node("n", unschedulable=True), set()),
    ],
)
async def test_what_a_change_of_a_node_comes_to(old: Any, new: Any, expected: set[Action]) -> None:
    assert actions(node_events(NodeFacts(keep_node(old)), NodeFacts(keep_node(new)))) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"cpu": "2"}, {"cpu": "2"}, {Action.UPDATE}),
        ({"cpu": "2"}, {"cpu": "1"}, {Action.UPDATE_POD_SCALE_DOWN}),
        ({"cpu": "1"}, {"cpu": "2"}, {Action.UPDATE}),
        ({}, {"labels": {"a": "b"}}, {Action.UPDATE_POD_LABEL}),
        ({"schedulingGates": [{"name": "a"}]}, {}, {Action.UPDATE_POD_GATES_ELIMINATED}),
        ({}, {"tolerations": [{"operator": "Exists"}]}, {Action.UPDATE_POD_TOLERATION}),
    ],
)
async def test_what_a_change_of_a_pod_comes_to(old: Any, new: Any, expected: set[Action]) -> None:
    assert actions(pod_events(pod("p", **old), pod("p", **new))) == expected


async def test_what_is_kept_of_a_pod_is_all_that_is_read_of_it() -> None:
    tree = pod_tree(
        "p",
        cpu="1",
        on="n",
        labels={"app": "web"},
        tolerations=[{"operator": "Exists"}],
        volumes=[{"name": "data", "emptyDir": {}}, {"name": "model", "image": {"reference": "model:1"}}],
        serviceAccountName="somebody",
        status={
            "startTime": "2026-01-01T00:00:00Z",
            "containerStatuses": [{"name": "app", "resources": {"requests": {"cpu": "3"}}, "image": "app:1"}],
            "podIPs": [],
        },
    )
    tree["metadata"]["annotations"] = {"long": "text"}
    kept, whole = read_pod(keep_pod(tree)), read_pod(tree)
    for field in ("key", "uid", "labels", "node_name", "requests", "started", "terminating"):
        assert getattr(kept, field) == getattr(whole, field), field
    assert kept.requests.cpu == 3000
    assert kept.template.images == whole.template.images == ("app:1", "model:1")
    assert "serviceAccountName" not in kept.tree["spec"]
    assert "annotations" not in kept.tree["metadata"]


async def test_equal_pods_share_what_they_have_in_common() -> None:
    first, second = (read_pod(keep_pod(pod_tree(name, cpu="1"))) for name in ("a", "b"))
    assert first.template is second.template
    assert first.tree["spec"] is second.tree["spec"]
    other = read_pod(keep_pod(pod_tree("c", cpu="2")))
    assert other.template is not first.template
