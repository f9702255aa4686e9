"""The loop that looks, makes room and evicts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.eviction.evictor import Eviction, EvictionRules, Evictor
from hyperkube_kubelet.runtime.errors import RuntimeUnavailable
from hyperkube_kubelet.stats.figures import NodeFigures
from hyperkube_kubelet.telling import node_reference
from hyperkube_kubelet.thresholds import Amount, Threshold
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until

from ..builders import container, pod
from ..pods.harness import Heard
from .figures import GI, MI, container_figures, disk, node_figures, pod_figures

pytestmark = pytest.mark.anyio

MEMORY = Threshold(signal="memory.available", least=Amount(GI))
DISK = Threshold(signal="nodefs.available", least=Amount(10 * GI))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


class Stage:
    """A node of which the test says what it has, and pods that end when they are told to."""

    def __init__(self, clock: VirtualClock, rules: EvictionRules, *pods: dict[str, Any]) -> None:
        self.clock = clock
        self.pods = list(pods)
        self.figures = node_figures()
        self.evicted: list[tuple[str, Eviction]] = []
        self.work: list[str] = []
        self.makes_room = False
        self.lingers = False
        self.is_settled = True
        self.failure: Exception | None = None
        self.heard = Heard()
        self.counts = Counts()
        self.evictor = Evictor(
            rules,
            self._figures,
            lambda: self,
            self,
            self.heard,
            node_reference("n"),
            clock,
            self.counts,
        )

    async def _figures(self, max_age: float) -> NodeFigures:
        assert max_age == 0.0
        if self.failure is not None:
            raise self.failure
        return self.figures

    def settled(self) -> bool:
        return self.is_settled

    def active(self) -> Sequence[dict[str, Any]]:
        return self.pods

    def evict(self, pod: Any, eviction: Eviction) -> None:
        self.evicted.append((pod["metadata"]["uid"], eviction))
        if not self.lingers:
            self.pods.remove(pod)

    def is_cleared(self, uid: str) -> bool:
        return all(one["metadata"]["uid"] != uid for one in self.pods)

    async def remove_dead_containers(self) -> None:
        self.work.append("containers")

    async def remove_unused_images(self) -> None:
        self.work.append("images")
        if self.makes_room:
            self.figures = node_figures(at=self.figures.at + 1)

    async def look(self) -> Sequence[str]:
        """One look, while time goes on."""
        looking = asyncio.ensure_future(self.evictor.look())
        while not looking.done():
            await self.clock.advance(1.0)
            for _ in range(3):
                await asyncio.sleep(0)
        return looking.result()


def rules(*thresholds: Threshold, **changes: Any) -> EvictionRules:
    return EvictionRules(thresholds=thresholds, **changes)


async def test_nobody_is_evicted_while_there_is_enough(clock: VirtualClock) -> None:
    stage = Stage(clock, rules(MEMORY, DISK), pod())
    assert await stage.look() == []
    assert stage.evictor.conditions == frozenset()
    assert stage.heard.reasons == []


async def test_one_pod_goes_at_a_time(clock: VirtualClock) -> None:
    small, large = pod(uid="small", name="small"), pod(uid="large", name="large")
    stage = Stage(clock, rules(MEMORY), small, large)
    usage = [pod_figures("small", memory=MI), pod_figures("large", memory=GI)]
    stage.figures = node_figures(*usage, memory_free=100 * MI)
    assert await stage.look() == ["large"]
    ((_, eviction),) = stage.evicted
    assert (eviction.reason, eviction.grace_seconds, eviction.disrupts) == ("Evicted", 1, True)
    assert eviction.message.startswith(
        "The node was low on resource: memory. Threshold quantity: 1Gi, available: 100Mi."
    )
    assert stage.heard.reasons == ["NodeHasInsufficientMemory", "EvictionThresholdMet", "Evicted"]
    assert stage.heard.message("EvictionThresholdMet") == "Attempting to reclaim memory"
    assert stage.heard.message("NodeHasInsufficientMemory") == "Node n status is now: NodeHasInsufficientMemory"
    assert stage.counts.evictions.labels("memory.available").value == 1
    assert stage.work == []  # nothing on the disk gives memory back
    stage.figures = node_figures(usage[0], at=2.0, memory_free=100 * MI)
    assert await stage.look() == ["small"]


async def test_a_critical_pod_stays_and_the_next_one_goes(clock: VirtualClock) -> None:
    vital = pod(uid="vital", name="vital", priority=2_000_000_000)
    stage = Stage(clock, rules(MEMORY), vital, pod(uid="other", name="other"))
    stage.figures = node_figures(pod_figures("vital", memory=GI), pod_figures("other"), memory_free=1)
    assert await stage.look() == ["other"]
    stage.figures = node_figures(pod_figures("vital", memory=GI), at=2.0, memory_free=1)
    assert await stage.look() == []
    assert stage.evictor.conditions == {"MemoryPressure"}


async def test_room_is_made_before_a_pod_goes(clock: VirtualClock) -> None:
    stage = Stage(clock, rules(DISK), pod())
    stage.figures, stage.makes_room = node_figures(disk_free=GI), True
    assert await stage.look() == []
    assert stage.work == ["containers", "images"]
    assert stage.evictor.conditions == {"DiskPressure"}
    stage.makes_room, stage.figures = False, node_figures(at=9.0, disk_free=GI)
    assert await stage.look() == ["uid-1"]


async def test_no_images_are_removed_for_a_disk_that_has_none(clock: VirtualClock) -> None:
    stage = Stage(clock, rules(DISK), pod())
    stage.figures = node_figures(disk_free=GI, imagefs=disk(), containerfs=disk(), separate_images=True)
    assert await stage.look() == ["uid-1"]
    assert stage.work == []


@pytest.mark.parametrize(("wanted", "most", "grace"), [(30, 60, 30), (30, 5, 5), (30, 0, 0)])
async def test_a_soft_threshold_leaves_a_pod_its_grace(clock: VirtualClock, wanted: int, most: int, grace: int) -> None:
    soft = Threshold(signal="memory.available", least=Amount(GI), grace_seconds=20.0)
    stage = Stage(clock, rules(soft, most_grace_seconds=most), pod(terminationGracePeriodSeconds=wanted))
    stage.figures = node_figures(memory_free=1)
    assert await stage.look() == []
    await clock.advance(20.0)
    stage.figures = node_figures(at=2.0, memory_free=1)
    assert await stage.look() == ["uid-1"]
    assert stage.evicted[0][1].grace_seconds == grace


async def test_all_who_are_over_their_own_limits_go_together_and_nobody_else(clock: VirtualClock) -> None:
    sized = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
    pods = [pod(uid=uid, name=uid, volumes=sized) for uid in ("a", "b", "c")]
    stage = Stage(clock, rules(MEMORY), *pods)
    usage = {"a": 2 * MI, "b": 1, "c": 2 * MI}
    figures = [pod_figures(uid, volumes={"v": used}) for uid, used in usage.items()]
    stage.figures = node_figures(*figures, memory_free=1)
    assert await stage.look() == ["a", "c"]
    assert not any(eviction.disrupts for _, eviction in stage.evicted)
    assert stage.counts.evictions.labels("emptydirfs.limit").value == 2


async def test_own_limits_are_left_alone_where_they_are_not_to_be_held(clock: VirtualClock) -> None:
    limited = container(resources={"limits": {"ephemeral-storage": "1Mi"}})
    stage = Stage(clock, rules(MEMORY, local_storage=False), pod(limited))
    stage.figures = node_figures(pod_figures("uid-1", container_figures(root=GI), ephemeral=GI))
    assert await stage.look() == []


async def test_the_end_of_a_pod_is_waited_for_but_not_for_ever(clock: VirtualClock) -> None:
    stage = Stage(clock, rules(MEMORY), pod())
    stage.lingers, stage.figures = True, node_figures(memory_free=1)
    began = clock.monotonic()
    assert await stage.look() == ["uid-1"]
    assert 31 <= clock.monotonic() - began <= 40


async def test_a_runtime_that_does_not_answer_is_survived(clock: VirtualClock) -> None:
    stage = Stage(clock, rules(MEMORY), pod())
    stage.failure = RuntimeUnavailable("gone")
    running = asyncio.ensure_future(stage.evictor.run())
    await clock.advance(1.0)
    stage.failure, stage.figures = None, node_figures(memory_free=1)
    await clock.advance(10.0)
    await until(lambda: stage.evicted)
    running.cancel()


async def test_nobody_is_evicted_before_it_is_known_what_runs(clock: VirtualClock) -> None:
    stage = Stage(clock, rules(MEMORY), pod())
    stage.is_settled, stage.figures = False, node_figures(memory_free=1)
    running = asyncio.ensure_future(stage.evictor.run())
    for _ in range(30):
        await clock.advance(1.0)
        await asyncio.sleep(0)
    assert stage.evicted == []
    stage.is_settled = True
    await clock.advance(1.0)
    await until(lambda: stage.evicted)
    running.cancel()


async def test_who_is_woken_looks_at_once(clock: VirtualClock) -> None:
    stage = Stage(clock, rules(MEMORY), pod())
    running = asyncio.ensure_future(stage.evictor.run())
    await clock.advance(1.0)
    stage.figures = node_figures(at=2.0, memory_free=1)
    stage.evictor.wake()
    await until(lambda: stage.evicted)
    assert clock.monotonic() < 5
    running.cancel()
