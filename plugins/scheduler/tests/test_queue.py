"""Pods that wait: who goes when, and what brings them back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from _schedulable import node, pod

from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_scheduler.backoff import Backoff
from hyperkube_scheduler.framework.events import Action, Concern, Event, Kind, always
from hyperkube_scheduler.framework.interface import Nomination
from hyperkube_scheduler.framework.verdicts import Code, Verdict
from hyperkube_scheduler.nodeinfo import NodeFacts
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.queue import Interests, SchedulingQueue
from hyperkube_scheduler.slices import finish
from hyperkube_scheduler.steps.prioritysort import PrioritySort
from hyperkube_scheduler.steps.schedulinggates import SchedulingGates
from hyperkube_scheduler.waiting import QueuedPod

pytestmark = pytest.mark.anyio

NODE_CAME = Event(Kind.NODE, Action.ADD, new=NodeFacts(node("n")))
POD_LEFT = Event(Kind.POD, Action.DELETE, old=pod("gone", on="n"))


def concerns() -> Sequence[tuple[str, Concern]]:
    gates = SchedulingGates()
    return [
        ("Room", Concern((Kind.NODE,), Action.ADD)),
        ("Never", Concern((Kind.NODE,), Action.ADD, lambda pod, event: False)),
        ("Changes", Concern((Kind.PENDING_POD,), Action.UPDATE_POD_LABEL, always)),
        *((gates.name, concern) for concern in gates.concerns()),
    ]


class Queue(SchedulingQueue):
    """One with two steps that refuse, which a new node helps, and doesn't."""

    def __init__(self, clock: VirtualClock, *, backoff: Backoff | None = None) -> None:
        self.told: list[tuple[str, str]] = []
        super().__init__(
            clock,
            PrioritySort().rank,
            {"default-scheduler": Interests([SchedulingGates()], concerns())},
            backoff=backoff,
            longest_wait_seconds=300,
            incoming=lambda queue, event: self.told.append((queue, event)),
        )

    def expect(self) -> QueuedPod:
        entry = self.take()
        assert entry is not None
        return entry

    def refuse(self, pod: PodInfo, *steps: str) -> QueuedPod:
        """Add a pod, try it, and put it back."""
        self.add(pod)
        return self.again(*steps)

    def again(self, *steps: str) -> QueuedPod:
        entry = self.expect()
        entry.steps = set(steps)
        self.put_back(entry)
        return entry

    def waiting(self) -> dict[str, int]:
        return {name: size for name, size in self.sizes().items() if size}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


async def test_the_more_important_goes_first_then_who_waits_longer(clock: VirtualClock) -> None:
    queue = Queue(clock)
    for name, priority in (("low", 1), ("high", 9), ("early", 5)):
        queue.add(pod(name, priority=priority))
    await clock.advance(1)
    queue.add(pod("late", priority=5))
    assert [queue.expect().pod.name for _ in range(4)] == ["high", "early", "late", "low"]
    assert queue.take() is None


async def test_who_wants_a_pod_waits_for_one(clock: VirtualClock) -> None:
    queue = Queue(clock)
    waiting = asyncio.create_task(queue.arrival())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.add(pod("p"))
    await waiting
    assert queue.expect().pod.name == "p"


async def test_where_an_event_may_help_thousands_they_are_asked_in_slices(clock: VirtualClock) -> None:
    queue = Queue(clock)
    for index in range(1000):
        queue.refuse(pod(f"p{index}"), "Room" if index % 2 else "Never")
    waiting = asyncio.create_task(queue.arrival())
    await asyncio.sleep(0)
    queue.move(NODE_CAME)
    await waiting
    assert queue.waiting() == {"unschedulable": 1000}
    work = queue.settle()
    while "backoff" not in queue.waiting():
        next(work)
    queue.delete("uid-p999")
    assert queue.waiting()["backoff"] < 499
    finish(work)
    assert queue.waiting() == {"backoff": 499, "unschedulable": 500}


async def test_a_refused_pod_waits_for_what_may_help_who_refused_it(clock: VirtualClock) -> None:
    queue = Queue(clock)
    queue.refuse(pod("helped"), "Room")
    queue.refuse(pod("not-helped"), "Never")
    assert queue.waiting() == {"unschedulable": 2}
    queue.move(POD_LEFT)
    assert queue.waiting() == {"unschedulable": 2}
    queue.move(NODE_CAME)
    assert queue.waiting() == {"backoff": 1, "unschedulable": 1}
    assert queue.expect().pod.name == "helped", "while nobody else wants to go"


async def test_backoff_counts_while_others_want_to_go(clock: VirtualClock) -> None:
    queue = Queue(clock)
    queue.refuse(pod("p", priority=9), "Room")
    queue.move(NODE_CAME)
    queue.add(pod("other"))
    assert queue.expect().pod.name == "other"
    queue.add(pod("another"))
    await clock.advance(2.1)
    queue.flush_backoff()
    assert queue.expect().pod.name == "p", "its time is over, and it is more important"


async def test_a_pod_whose_backoff_is_over_is_tried_at_once(clock: VirtualClock) -> None:
    queue = Queue(clock)
    queue.refuse(pod("p"), "Room")
    await clock.advance(3)
    queue.move(NODE_CAME)
    assert queue.waiting() == {"active": 1}


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(0, 0), (1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (50, 10), (5000, 10)]
)
def test_backoff_doubles_up_to_a_limit(attempts: int, seconds: float) -> None:
    assert Backoff().seconds(attempts) == seconds


async def test_after_an_error_a_pod_waits_whatever_happens(clock: VirtualClock) -> None:
    queue = Queue(clock)
    queue.refuse(pod("p"))
    assert queue.waiting() == {"backoff": 1}
    queue.move(NODE_CAME)
    assert queue.take() is None, "the error must pass first"
    await clock.advance(2.1)
    queue.flush_backoff()
    entry = queue.expect()
    assert (entry.attempts, entry.errors) == (2, 1)


async def test_flushing_is_done_in_time(clock: VirtualClock) -> None:
    queue = Queue(clock)
    flushing = asyncio.create_task(queue.keep_flushing())
    queue.refuse(pod("broken"))
    queue.refuse(pod("stuck"), "Never")
    await clock.advance(3)
    assert queue.waiting() == {"active": 1, "unschedulable": 1}
    await clock.advance(340)
    assert queue.waiting() == {"active": 2}
    flushing.cancel()
    entries = [queue.expect() for _ in range(2)]
    assert {entry.pod.name: entry.flushed for entry in entries} == {"broken": False, "stuck": True}


async def test_a_gated_pod_is_not_tried(clock: VirtualClock) -> None:
    queue = Queue(clock)
    gated = pod("p", schedulingGates=[{"name": "example.com/a"}, {"name": "example.com/b"}])
    queue.add(gated)
    assert queue.waiting() == {"gated": 1}
    queue.move(NODE_CAME)
    fewer = pod("p", schedulingGates=[{"name": "example.com/b"}], metadata={"resourceVersion": "2"})
    queue.update(gated, fewer)
    assert queue.waiting() == {"gated": 1}
    queue.update(fewer, pod("p", metadata={"resourceVersion": "3"}))
    assert queue.waiting() == {"active": 1}
    assert queue.expect().attempts == 1


async def test_a_change_of_the_pod_itself_may_help(clock: VirtualClock) -> None:
    queue = Queue(clock)
    before = pod("p")
    queue.refuse(before, "Changes")
    same = pod("p", metadata={"resourceVersion": "2"})
    queue.update(before, same)
    assert queue.waiting() == {"unschedulable": 1}
    queue.update(same, pod("p", labels={"app": "web"}))
    assert queue.waiting() == {"backoff": 1}
    assert queue.expect().pod.labels == {"app": "web"}


async def test_a_waiting_pod_is_tried_as_it_was_last_seen(clock: VirtualClock) -> None:
    queue = Queue(clock)
    queue.add(before := pod("p"))
    queue.update(before, pod("p", labels={"app": "web"}))
    assert queue.expect().pod.labels == {"app": "web"}


async def test_a_pod_that_is_gone_is_not_tried(clock: VirtualClock) -> None:
    queue = Queue(clock)
    for name in ("active", "refused", "broken"):
        queue.refuse(pod(name), *(["Room"] if name == "refused" else []))
    queue.add(pod("fresh"))
    for name in ("active", "refused", "broken", "fresh"):
        queue.delete(f"uid-{name}")
    assert queue.waiting() == {}
    assert queue.take() is None


async def test_pods_may_be_activated(clock: VirtualClock) -> None:
    queue = Queue(clock)
    queue.refuse(pod("a"), "Never")
    queue.refuse(pod("b"))
    queue.activate(["uid-a", "uid-b", "uid-unknown"])
    assert queue.waiting() == {"active": 2}
    assert ("active", "ForceActivate") in queue.told


async def test_a_pod_that_a_gate_lets_in_again_is_reconsidered(clock: VirtualClock) -> None:
    class Evicting:
        name = "Evicting"
        is_busy = True

        def pre_enqueue(self, pod: PodInfo) -> Verdict | None:
            return Verdict(Code.UNRESOLVABLE, ("busy",), self.name) if self.is_busy else None

    gate = Evicting()
    queue = SchedulingQueue(clock, PrioritySort().rank, {"default-scheduler": Interests([gate], concerns())})
    gate.is_busy = False
    queue.add(pod("p"))
    entry = queue.take()
    assert entry is not None
    gate.is_busy, entry.steps = True, {"Room"}
    queue.put_back(entry)
    queue.move(NODE_CAME)
    assert queue.sizes()["gated"] == 1
    gate.is_busy = False
    queue.reconsider("uid-p", "SomebodyElse")
    assert queue.sizes()["gated"] == 1
    queue.reconsider("uid-p", gate.name)
    assert queue.sizes()["active"] == 1


async def test_a_promise_is_kept_until_the_status_tells_another(clock: VirtualClock) -> None:
    queue = Queue(clock)
    before = pod("p")
    queue.refuse(before, "Room")
    queue.nominations.promise(before, Nomination("n1"))
    changed = pod("p", labels={"a": "b"})
    queue.update(before, changed)
    assert [one.labels for one in queue.nominations.by_node["n1"]] == [{"a": "b"}]
    told = pod("p", status={"nominatedNodeName": "n2"})
    queue.update(changed, told)
    assert set(queue.nominations.by_node) == {"n2"}
    queue.update(told, pod("p"))
    assert not queue.nominations.by_node
    queue.nominations.promise(before, Nomination("n1"))
    queue.delete(before.uid)
    assert not queue.nominations.by_node


async def test_who_refused_is_counted(clock: VirtualClock) -> None:
    queue = Queue(clock)
    queue.refuse(pod("a"), "Room", "Never")
    queue.refuse(pod("b"), "Room")
    assert queue.refusers() == {("Room", "default-scheduler"): 2, ("Never", "default-scheduler"): 1}
