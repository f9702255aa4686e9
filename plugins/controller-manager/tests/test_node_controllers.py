"""The controllers of nodes and of the pods that are left on them, over an API in memory and a clock that stands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.controllers import nodeipam, nodelifecycle, podgc, tainteviction
from hyperkube_controller_manager.options import Options
from hyperkube_machinery import meta
from hyperkube_machinery.companions import companions
from hyperkube_machinery.events import EventRecorder
from hyperkube_machinery.informers import Informers
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.api import MemoryAPI
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until
from hyperkube_machinery.timestamps import format_micro, format_seconds
from hyperkube_machinery.workqueue import WorkQueueMetrics

pytestmark = pytest.mark.anyio

NODES, LEASES = "/api/v1/nodes", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
PODS, EVENTS = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/events"
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"

Tree = dict[str, Any]


class World:
    """An API, a clock, and what a test wants of both."""

    def __init__(self) -> None:
        self.api = MemoryAPI()
        self.clock = VirtualClock()

    def now(self) -> str:
        return format_seconds(self.clock.now())

    def node(self, name: str, *, ready: str = "True", zone: str = "", **spec: Any) -> Tree:
        conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": self.now()}] if ready else []
        labels = {"topology.kubernetes.io/zone": zone} if zone else {}
        about = {"name": name, "creationTimestamp": self.now(), "labels": labels}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": about, "spec": spec}
        return self.api.put(NODES, {**node, "status": {"conditions": conditions}})

    def renew(self, *names: str) -> None:
        for name in names:
            spec = {"holderIdentity": name, "renewTime": format_micro(self.clock.now())}
            self.api.put(LEASES, {"metadata": {"name": name}, "spec": spec})

    def pod(self, name: str, node: str = "", *, deleted: bool = False, phase: str = "Running", **spec: Any) -> Tree:
        about: Tree = {"name": name, "creationTimestamp": self.now()}
        if deleted:
            about["deletionTimestamp"] = self.now()
        status = {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]}
        return self.api.put(PODS, {"metadata": about, "spec": {"nodeName": node, **spec}, "status": status})

    def get(self, path: str) -> Tree:
        collection, _, name = path.rpartition("/")
        return next(obj for key, obj in self.api.objects.items() if _is(key, collection, name))

    def has(self, path: str) -> bool:
        collection, _, name = path.rpartition("/")
        return any(_is(key, collection, name) for key in self.api.objects)

    def taints(self, name: str) -> set[tuple[str, str]]:
        return {(one["key"], one["effect"]) for one in self.get(f"{NODES}/{name}")["spec"].get("taints") or ()}

    def events(self, reason: str) -> list[str]:
        return [obj["message"] for obj in self.api.objects.values() if obj.get("reason") == reason]

    async def passes(self, seconds: float, *alive: str, step: float = 5.0) -> None:
        """Time, in steps at each of which these nodes renew their leases."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.renew(*alive)
            await self.settle()
            await self.clock.advance(min(step, end - self.clock.monotonic()))
        await self.settle()

    async def settle(self) -> None:
        """Let everybody do what there is to do."""
        for _ in range(5):
            await self.clock.advance(0)

    @asynccontextmanager
    async def running(self, run: Callable[[ControllerContext], Awaitable[None]], **options: Any) -> AsyncIterator[None]:
        begun: list[bool] = []
        async with self.api.client(self.clock) as client:
            informers = Informers(client, self.clock)
            recorder = EventRecorder(client, self.clock, component="test")
            context = ControllerContext(
                name="test",
                client=client,
                reader=client,
                informers=informers,
                recorder=recorder,
                clock=self.clock,
                options=Options(**options),
                metrics=WorkQueueMetrics(Registry(), self.clock),
                root_ca="",
                begun=lambda: begun.append(True),
            )
            async with recorder.running(), informers.running(), companions(_forever(run, context)):
                await until(lambda: begun)
                await self.settle()
                yield


async def _forever(run: Callable[[ControllerContext], Awaitable[None]], context: ControllerContext) -> None:
    await run(context)


def _is(key: tuple[str, str, str], collection: str, name: str) -> bool:
    base, namespace, own = key
    inside = f"/namespaces/{namespace}/" if namespace else ""
    at = collection.replace(inside, "/") if inside else collection
    return own == name and base == at


@pytest.fixture
def world() -> World:
    return World()


async def test_a_silent_node_becomes_unknown_and_loses_its_pods_while_others_are_well(world: World) -> None:
    for name in ("dead", "well"):
        world.node(name)
        world.renew(name)
    world.pod("on-dead", "dead")
    world.pod("on-well", "well")
    async with world.running(nodelifecycle.run):
        await world.passes(45.0, "well")
        assert world.taints("dead") == set()
        await world.passes(15.0, "well")
        ready = world.get(f"{NODES}/dead")["status"]["conditions"][0]
        assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
        assert world.taints("dead") == {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}
        assert world.taints("well") == set()
        assert world.get(f"{PODS}/on-dead")["status"]["conditions"][0]["status"] == "False"
        assert world.get(f"{PODS}/on-well")["status"]["conditions"][0]["status"] == "True"
        assert world.events("NodeNotReady") == ["Node dead status is now: NodeNotReady", "Node is not ready"]
        # It speaks again.
        world.node("dead")
        await world.passes(10.0, "well", "dead")
        assert world.taints("dead") == set()


async def test_nodes_that_come_and_go_are_told_of(world: World) -> None:
    world.node("a")
    async with world.running(nodelifecycle.run):
        assert world.events("RegisteredNode") == ["Node a event: Registered Node a in Controller"]
        world.api.remove(f"{NODES}/a")
        await world.passes(10.0)
        assert world.events("RemovingNode") == ["Node a event: Removing Node a from Controller"]


async def test_a_node_that_never_spoke_has_longer(world: World) -> None:
    world.node("well")
    world.node("new", ready="")
    async with world.running(nodelifecycle.run):
        await world.passes(55.0, "well")
        assert world.get(f"{NODES}/new")["status"]["conditions"] == []
        await world.passes(15.0, "well")
        told = {one["type"]: one["reason"] for one in world.get(f"{NODES}/new")["status"]["conditions"]}
        kinds = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
        assert told == dict.fromkeys(kinds, "NodeStatusNeverUpdated")


async def test_a_node_that_says_it_is_not_ready_is_tainted_so(world: World) -> None:
    world.node("well")
    world.node("ill", ready="False")
    async with world.running(nodelifecycle.run):
        await world.passes(10.0, "well", "ill")
        assert world.taints("ill") == {(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")}
        await world.passes(60.0, "well")  # and now it is silent, too
        assert world.taints("ill") == {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}


async def test_where_no_node_is_ready_none_loses_its_pods(world: World) -> None:
    """It may be this server that is cut off."""
    for name in ("a", "b"):
        world.node(name, taints=[{"key": UNREACHABLE, "effect": "NoExecute"}] if name == "a" else [])
    async with world.running(nodelifecycle.run):
        await world.passes(300.0)
        for name in ("a", "b"):
            assert world.taints(name) == {(UNREACHABLE, "NoSchedule")}


async def test_nodes_of_a_zone_are_emptied_one_after_the_other(world: World) -> None:
    for number in range(8):
        world.node(f"n{number}", zone="z")
    well = [f"n{number}" for number in range(3, 8)]

    def emptied() -> int:
        return sum((UNREACHABLE, "NoExecute") in world.taints(f"n{number}") for number in range(3))

    async with world.running(nodelifecycle.run):
        await world.passes(60.0, *well)
        assert emptied() == 1
        await world.passes(10.0, *well)
        assert emptied() == 2
        await world.passes(10.0, *well)
        assert emptied() == 3


async def test_a_small_zone_that_is_disrupted_is_left_alone(world: World) -> None:
    for number in range(4):
        world.node(f"n{number}", zone="z")
    world.node("elsewhere", zone="y")
    async with world.running(nodelifecycle.run):
        await world.passes(300.0, "n3", "elsewhere")
        assert not any((UNREACHABLE, "NoExecute") in world.taints(f"n{number}") for number in range(3))


async def test_pods_that_come_to_a_dead_node_are_marked(world: World) -> None:
    world.node("dead", ready="Unknown")
    async with world.running(nodelifecycle.run):
        world.pod("late", "dead")
        await world.settle()
        assert world.get(f"{PODS}/late")["status"]["conditions"][0]["status"] == "False"


async def test_what_a_killed_one_left_half_done_is_finished(world: World) -> None:
    """It said that the node is silent, and no more."""
    world.node("well")
    world.node("dead", ready="Unknown")
    world.pod("p", "dead")
    async with world.running(nodelifecycle.run):
        await world.passes(10.0, "well")
        assert world.taints("dead") == {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}
        assert world.get(f"{PODS}/p")["status"]["conditions"][0]["status"] == "False"
    async with world.running(tainteviction.run):
        assert not world.has(f"{PODS}/p")


def taint(seconds: int | None = None) -> Tree:
    return {"key": "k", "operator": "Exists", **({"tolerationSeconds": seconds} if seconds is not None else {})}


async def test_pods_leave_a_tainted_node_after_as_long_as_they_tolerate_it(world: World) -> None:
    world.node("n")
    for name, tolerations in {"none": [], "some": [taint(30)], "all": [taint()]}.items():
        world.pod(name, "n", tolerations=tolerations)
    async with world.running(tainteviction.run):
        world.node("n", taints=[{"key": "k", "effect": "NoExecute"}])
        await world.settle()
        assert [world.has(f"{PODS}/{name}") for name in ("none", "some", "all")] == [False, True, True]
        await world.passes(29.0)
        assert world.has(f"{PODS}/some")
        await world.passes(1.0)
        assert [world.has(f"{PODS}/{name}") for name in ("some", "all")] == [False, True]
    assert world.events("TaintManagerEviction") == [
        "Marking for deletion Pod default/none",
        "Marking for deletion Pod default/some",
    ]


async def test_an_evicted_pod_says_why(world: World) -> None:
    world.node("n", taints=[{"key": "k", "effect": "NoExecute"}])
    world.pod("p", "n")
    async with world.running(tainteviction.run):
        await world.settle()
    asked = next(one for one in world.api.asked if one.path == f"{PODS}/p/status")
    condition = asked.body["status"]["conditions"][0]
    assert {key: condition[key] for key in ("type", "status", "reason", "message")} == {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
    }


async def test_a_taint_that_is_taken_back_in_time_costs_nothing(world: World) -> None:
    world.node("n", taints=[{"key": "k", "effect": "NoExecute"}])
    world.pod("p", "n", tolerations=[taint(30)])
    async with world.running(tainteviction.run):
        await world.passes(20.0)
        world.node("n")
        await world.passes(60.0)
        assert world.has(f"{PODS}/p")
        assert world.events("TaintManagerEviction") == ["Cancelling deletion of Pod default/p"]


async def test_another_pod_of_the_name_has_its_own_time(world: World) -> None:
    world.node("n", taints=[{"key": "k", "effect": "NoExecute"}])
    world.pod("p", "n", tolerations=[taint(30)])
    async with world.running(tainteviction.run):
        await world.passes(20.0)
        world.api.remove(f"{PODS}/p")
        world.pod("p", "n", tolerations=[taint(30)])
        await world.passes(20.0)
        assert world.has(f"{PODS}/p")
        await world.passes(10.0)
        assert not world.has(f"{PODS}/p")


async def test_each_node_gets_a_range_once(world: World) -> None:
    world.node("old", podCIDR="10.244.0.0/24", podCIDRs=["10.244.0.0/24"])
    world.node("a")
    async with world.running(nodeipam.run, allocate_node_cidrs=True, cluster_cidr=("10.244.0.0/22",)):
        await world.settle()
        assert world.get(f"{NODES}/a")["spec"] == {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"]}
        world.node("b")
        world.node("c")
        await world.settle()
        ranges = {world.get(f"{NODES}/{name}")["spec"]["podCIDR"] for name in ("old", "a", "b", "c")}
        assert ranges == {f"10.244.{number}.0/24" for number in range(4)}
        world.node("d")
        await world.settle()
        assert "podCIDR" not in world.get(f"{NODES}/d")["spec"]
        assert world.events("CIDRNotAvailable")[0] == "Node d status is now: CIDRNotAvailable"
        world.api.remove(f"{NODES}/b")
        await world.passes(5.0)
        assert world.get(f"{NODES}/d")["spec"]["podCIDR"] in ranges


async def test_ranges_of_both_families_and_none_of_services(world: World) -> None:
    world.node("a")
    options = {"cluster_cidr": ("10.0.0.0/16", "fd00::/56"), "service_cluster_ip_range": ("10.0.0.0/24",)}
    async with world.running(nodeipam.run, allocate_node_cidrs=True, **options):
        await world.settle()
        assert world.get(f"{NODES}/a")["spec"]["podCIDRs"] == ["10.0.1.0/24", "fd00::/64"]


async def test_pods_of_a_missing_node_are_given_up_after_a_while(world: World) -> None:
    world.pod("orphan", "gone")
    async with world.running(podgc.run):
        await world.passes(30.0)
        assert world.has(f"{PODS}/orphan")
        await world.passes(20.0)
        assert not world.has(f"{PODS}/orphan")
    asked = next(one for one in world.api.asked if one.path == f"{PODS}/orphan/status")
    assert asked.body["status"]["phase"] == "Failed"
    assert asked.body["status"]["conditions"][0]["message"] == "PodGC: node no longer exists"
    deletion = next(one for one in world.api.asked if one.method == "DELETE")
    assert deletion.body["gracePeriodSeconds"] == 0


async def test_a_node_that_comes_back_keeps_its_pods(world: World) -> None:
    world.pod("p", "late")
    async with world.running(podgc.run):
        await world.passes(30.0)
        world.node("late")
        await world.passes(60.0)
        assert world.has(f"{PODS}/p")


async def test_pods_being_deleted_that_no_node_had_go_at_once(world: World) -> None:
    world.pod("p", deleted=True, phase="Pending")
    async with world.running(podgc.run):
        assert not world.has(f"{PODS}/p")


async def test_too_many_ended_pods_go_the_oldest_first(world: World) -> None:
    world.node("n")
    for name in ("first", "second", "third"):
        world.pod(name, "n", phase="Succeeded")
        await world.clock.advance(1.0)
    async with world.running(podgc.run, terminated_pod_gc_threshold=2):
        left = {meta.name(obj) for key, obj in world.api.objects.items() if key[0].endswith("/pods")}
        assert left == {"second", "third"}
