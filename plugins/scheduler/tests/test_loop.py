"""The scheduler with an API that is only played: what it asks of it, and what it does when that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from _schedulable import NOW, Placement, node, pod, pod_tree

from hyperkube_machinery.client import Unreachable
from hyperkube_machinery.companions import companions
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_scheduler.algorithm import Algorithm
from hyperkube_scheduler.changes import Changes
from hyperkube_scheduler.evictions import Evictions
from hyperkube_scheduler.framework.interface import Cycle, Nomination, Rank
from hyperkube_scheduler.framework.pipeline import Pipeline
from hyperkube_scheduler.framework.verdicts import SKIP, Code, Verdict
from hyperkube_scheduler.instruments import Instruments
from hyperkube_scheduler.loop import Scheduler
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.preemption import Candidate
from hyperkube_scheduler.queue import Interests, SchedulingQueue
from hyperkube_scheduler.reporting import StatusWriter, condition_patch, status_patch

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]


class Recorded:
    """Events, as they were told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str, str]] = []

    def event(self, obj: Tree, kind: str, reason: str, note: str, *, action: str, related: Tree | None = None) -> None:
        self.events.append((obj["metadata"]["name"], kind, reason, note))


class API:
    """What statuses are written to, and pods deleted from."""

    def __init__(self) -> None:
        self.patches: list[tuple[str, Tree]] = []
        self.deleted: list[str] = []
        self.failure: Exception | None = None

    async def patch(self, resource: Any, name: str, patch: Tree, namespace: str, **more: Any) -> Tree:
        self._fail()
        self.patches.append((name, patch["status"]))
        return {}

    async def delete(self, resource: Any, name: str, namespace: str, **more: Any) -> Tree:
        self._fail()
        self.deleted.append(name)
        return {}

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class Extra:
    """A step that has its say where the default ones have none."""

    name = "Extra"

    def __init__(self) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self.calls: list[str] = []

    def _at(self, point: str) -> Verdict | None:
        self.calls.append(point)
        return self.verdicts.get(point)

    def rank(self, pod: PodInfo, since: float) -> Rank:
        return (since,)

    def reserve(self, cycle: Cycle, node: str) -> Verdict | None:
        return self._at("reserve")

    def unreserve(self, cycle: Cycle, node: str) -> None:
        self._at("unreserve")

    async def permit(self, pod: PodInfo, node: str) -> Verdict | None:
        return self._at("permit")

    async def pre_bind(self, pod: PodInfo, node: str) -> Verdict | None:
        return self._at("preBind")

    async def bind(self, pod: PodInfo, node: str) -> Verdict | None:
        return self._at("bind")

    def post_bind(self, pod: PodInfo, node: str) -> None:
        self._at("postBind")


POINTS = ("queueSort", "reserve", "permit", "preBind", "bind", "postBind")


class World(Placement):
    """A placement with all that a scheduler needs around it."""

    def __init__(self, tasks: Any, clock: VirtualClock, *nodes: Tree) -> None:
        super().__init__(nodes)
        self.clock = clock
        self.extra, self.recorded, self.api = Extra(), Recorded(), API()
        steps: dict[str, list[Any]] = {
            "preFilter": list(self.pipeline.pre_filters),
            "filter": list(self.pipeline.filters),
            "postFilter": list(self.pipeline.post_filters),
            **{point: [self.extra] for point in POINTS},
        }
        self.pipeline = Pipeline("default-scheduler", steps, {})
        self.queue = SchedulingQueue(clock, self.extra.rank, {"default-scheduler": Interests()})
        self.changes = Changes(self.cache, self.queue, "default-scheduler".__eq__)
        self.registry = Registry()
        self.instruments = Instruments(self.registry)
        self.statuses = StatusWriter(self.api, clock, tasks)  # type: ignore[arg-type]
        self.scheduler = Scheduler(
            clock=clock,
            cache=self.cache,
            queue=self.queue,
            changes=self.changes,
            algorithm=Algorithm(0, Random(1)),
            pipelines={"default-scheduler": self.pipeline},
            instruments=self.instruments,
            recorder=lambda profile: self.recorded,
            statuses=self.statuses,
            tasks=tasks,
        )

    async def attempt(self, **fields: Any) -> None:
        """Let a pod come, and be tried until nothing is going on any more."""
        self.changes.on_pod(None, pod_tree("p", **fields))
        entry = self.queue.take()
        assert entry is not None
        await self.scheduler.attempt(entry)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    def results(self) -> dict[str, float]:
        return {labels[0]: counter.value for labels, counter in self.instruments.attempts.items()}

    def waiting(self) -> dict[str, int]:
        return {name: size for name, size in self.queue.sizes().items() if size}


@asynccontextmanager
async def a_world(*nodes: Tree) -> AsyncIterator[World]:
    async with companions() as tasks:
        yield World(tasks, VirtualClock(NOW), *nodes)


async def test_a_pod_goes_through_all_points_in_their_order() -> None:
    async with a_world(node("n")) as world:
        await world.attempt(cpu="1")
        assert world.extra.calls == ["reserve", "permit", "preBind", "bind", "postBind"]
        assert world.cache.is_assumed("uid-p"), "until the watch tells that it is bound"
        assert world.recorded.events == [("p", "Normal", "Scheduled", "Successfully assigned default/p to n")]
        assert world.results() == {"scheduled": 1}
        assert (world.waiting(), world.scheduler.bindings) == ({}, 0)
        assert world.instruments.pod_attempts.count == 1


@pytest.mark.parametrize("point", ["preBind", "bind"])
async def test_a_pod_that_cannot_be_bound_takes_no_room_and_is_tried_again(point: str) -> None:
    async with a_world(node("n")) as world:
        world.extra.verdicts[point] = Verdict(Code.ERROR, ("the server is away",), "Extra")
        await world.attempt(cpu="1")
        assert "unreserve" in world.extra.calls
        assert not world.cache.is_assumed("uid-p")
        assert world.node("n").cpu == 0
        said = f'running {"Bind" if point == "bind" else "PreBind"} plugin "Extra": the server is away'
        assert world.recorded.events == [("p", "Warning", "FailedScheduling", said)]
        [(_, status)] = world.api.patches
        condition = status["conditions"][0]
        assert (condition["reason"], condition["message"]) == ("SchedulerError", said)
        assert world.results() == {"error": 1}
        assert world.waiting() == {"backoff": 1}


@pytest.mark.parametrize("point", ["reserve", "permit"])
async def test_a_pod_that_is_refused_after_its_node_was_chosen_is_unschedulable(point: str) -> None:
    async with a_world(node("n")) as world:
        world.extra.verdicts[point] = Verdict(Code.UNSCHEDULABLE, ("not now",), "Extra")
        await world.attempt()
        assert not world.cache.is_assumed("uid-p")
        assert world.recorded.events == [("p", "Warning", "FailedScheduling", "0/1 nodes are available: 1 not now.")]
        assert world.waiting() == {"unschedulable": 1}
        assert world.queue.refusers() == {("Extra", "default-scheduler"): 1}


async def test_a_step_may_leave_binding_to_the_next_and_somebody_must_do_it() -> None:
    async with a_world(node("n")) as world:
        world.extra.verdicts["bind"] = SKIP
        await world.attempt()
        assert world.recorded.events[0][3] == "no step binds this pod"
        assert world.waiting() == {"backoff": 1}


async def test_a_pod_that_nobody_can_judge_keeps_no_other_from_its_node(monkeypatch: pytest.MonkeyPatch) -> None:
    def flawed(*_: Any) -> None:
        raise KeyError("cpu")

    async with a_world(node("n")) as world:
        with monkeypatch.context() as patched:
            patched.setattr(Algorithm, "choose", flawed)
            await world.attempt()
        assert world.recorded.events == [("p", "Warning", "FailedScheduling", "KeyError: 'cpu'")]
        [(_, status)] = world.api.patches
        assert status["conditions"][0]["reason"] == "SchedulerError"
        assert (world.results(), world.waiting()) == ({"error": 1}, {"backoff": 1})
        world.queue.activate(["uid-p"])
        entry = world.queue.take()
        assert entry is not None
        await world.scheduler.attempt(entry)
        await world.settle()
        assert world.recorded.events[-1][2] == "Scheduled"


async def test_a_pod_that_is_gone_when_its_binding_fails_is_let_go() -> None:
    async with a_world(node("n")) as world:
        world.extra.verdicts["bind"] = Verdict(Code.ERROR, ("not found",))
        tree = pod_tree("p")
        world.changes.on_pod(None, tree)
        entry = world.queue.take()
        assert entry is not None
        await world.scheduler.attempt(entry)
        world.changes.on_pod(tree, None)
        await world.settle()
        assert (world.waiting(), world.recorded.events) == ({}, [])
        assert world.node("n").pods == {}


async def test_a_pod_that_is_being_deleted_is_not_placed() -> None:
    async with a_world(node("n")) as world:
        await world.attempt(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
        assert world.extra.calls == []
        said = "skip schedule deleting pod: default/p"
        assert world.recorded.events == [("p", "Warning", "FailedScheduling", said)]


async def test_what_fits_nowhere_waits_and_the_status_says_why() -> None:
    async with a_world(node("n", cpu="1")) as world:
        await world.attempt(cpu="2")
        said = (
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, "
            "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        )
        assert world.recorded.events == [("p", "Warning", "FailedScheduling", said)]
        [(name, status)] = world.api.patches
        condition = status["conditions"][0]
        assert (name, condition["type"], condition["status"]) == ("p", "PodScheduled", "False")
        assert (condition["reason"], condition["message"]) == ("Unschedulable", said)
        assert world.waiting() == {"unschedulable": 1}
        assert world.instruments.preemptions.value == 1


async def test_a_status_that_cannot_be_written_hinders_nothing() -> None:
    async with a_world() as world:
        world.api.failure = Unreachable("nobody answers")
        await world.attempt()
        assert world.recorded.events[0][3] == "no nodes available to schedule pods"
        assert world.waiting() == {"backoff": 1}


async def test_running_places_whoever_comes() -> None:
    async with a_world(*(node(f"n{index}") for index in range(5))) as world:
        running = asyncio.create_task(world.scheduler.run())
        for index in range(20):
            world.changes.on_pod(None, pod_tree(f"p{index}", cpu="1"))
        for _ in range(200):
            await asyncio.sleep(0)
        assert [len(one.pods) for one in world.cache.nodes] == [4] * 5
        running.cancel()


CONDITION = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "why"}


def told(**changes: str) -> Tree:
    return {"status": {"conditions": [{**CONDITION, "lastTransitionTime": "2026-01-01T00:00:00Z", **changes}]}}


async def test_conditions_are_written_where_they_change() -> None:
    assert condition_patch(told(), CONDITION, NOW) is None
    again = condition_patch(told(message="another"), CONDITION, NOW)
    assert again is not None
    assert (again["message"], again["lastTransitionTime"]) == ("why", "2026-01-01T00:00:00Z")
    turned = condition_patch(told(status="True"), CONDITION, NOW)
    assert turned is not None
    assert turned["lastTransitionTime"] != "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("before", "nomination", "expected"),
    [
        ("", None, None),
        ("", Nomination(""), None),
        ("", Nomination("n"), {"nominatedNodeName": "n"}),
        ("n", Nomination("n"), None),
        ("n", Nomination(""), {"nominatedNodeName": None}),
        ("n", None, None),
    ],
)
async def test_promises_are_written_where_they_change(
    before: str, nomination: Nomination | None, expected: Tree | None
) -> None:
    wanted = pod("p", status={"nominatedNodeName": before} if before else {})
    patch = status_patch(wanted, None, nomination, NOW)
    assert (patch and patch["status"]) == expected


async def test_of_several_statuses_the_last_is_written() -> None:
    async with a_world() as world:
        for message in ("first", "second", "third"):
            world.statuses.write(pod("p"), {**CONDITION, "message": message})
        await world.settle()
        assert [status["conditions"][0]["message"] for _, status in world.api.patches] == ["third"]


@asynccontextmanager
async def evicting(
    api: API, nominated: dict[str, list[PodInfo]]
) -> AsyncIterator[tuple[Evictions, Recorded, list[tuple[str, bool]], list[int]]]:
    recorded = Recorded()
    ended: list[tuple[str, bool]] = []
    counted: list[int] = []
    clock = VirtualClock(NOW)
    async with companions() as tasks:
        statuses = StatusWriter(api, clock, tasks)  # type: ignore[arg-type]
        yield (
            Evictions(
                api,  # type: ignore[arg-type]
                clock,
                tasks,
                lambda profile: recorded,
                statuses,
                lambda: nominated,
                lambda pod, succeeded: ended.append((pod.name, succeeded)),
                counted.append,
            ),
            recorded,
            ended,
            counted,
        )


async def turn() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_victims_are_told_why_and_deleted() -> None:
    api, preemptor = API(), pod("new", priority=9)
    leaving = pod("leaving", on="n", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    nominated = {"n": [pod("less", priority=1, status={"nominatedNodeName": "n"}), pod("more", priority=10)]}
    async with evicting(api, nominated) as (evictions, recorded, ended, counted):
        evictions.begin(preemptor, Candidate("n", (pod("victim", on="n"), leaving), 0))
        assert counted == [2]
        assert evictions.is_running(preemptor)
        await turn()
        assert not evictions.is_running(preemptor)
    assert (api.deleted, ended) == (["victim"], [("new", True)])
    patches = dict(api.patches)
    condition = patches["victim"]["conditions"][0]
    assert (condition["type"], condition["reason"]) == ("DisruptionTarget", "PreemptionByScheduler")
    assert condition["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
    assert patches["less"] == {"nominatedNodeName": None}
    assert "more" not in patches
    assert recorded.events == [("victim", "Normal", "Preempted", "Preempted by pod uid-new on node n")]


@pytest.mark.parametrize(
    ("failure", "succeeded"),
    [(Unreachable("away"), False), (APIError.of(404, "NotFound", "gone", {}), True)],
)
async def test_what_becomes_of_a_victim_that_cannot_be_told(failure: Exception, succeeded: bool) -> None:
    api = API()
    api.failure = failure
    async with evicting(api, {}) as (evictions, recorded, ended, _):
        evictions.begin(pod("new", priority=9), Candidate("n", (pod("victim", on="n"),), 0))
        await turn()
    assert (ended, recorded.events) == ([("new", succeeded)], [])
