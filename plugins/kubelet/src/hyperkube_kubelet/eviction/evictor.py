"""Looks again and again whether the node is short of something, and ends pods until it isn't.

    figures ─▶ judge ─▶ pods over their own limits? ─▶ evict all of those
                  └──▶ a threshold is crossed? ─▶ remove dead containers and unused images ─▶ still? ─▶ evict one pod
Source: k8s.io/kubernetes/pkg/kubelet/eviction/eviction_manager.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from hyperkube_kubelet.admission import Rejection
from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.eviction.alarms import Alarm, NoAlarm
from hyperkube_kubelet.eviction.judging import Judgement, Memory, judge, met
from hyperkube_kubelet.eviction.localstorage import excess, is_limited
from hyperkube_kubelet.eviction.pressure import refusal
from hyperkube_kubelet.eviction.ranking import ranked
from hyperkube_kubelet.eviction.signals import DISK, Layout, Observations, layout_of, observe, with_container_disk
from hyperkube_kubelet.eviction.words import why_evicted
from hyperkube_kubelet.pauses import rest
from hyperkube_kubelet.podresources import is_critical
from hyperkube_kubelet.podspec import Tree, described
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.stats.figures import NodeFigures, PodFigures
from hyperkube_kubelet.telling import Recorder
from hyperkube_kubelet.thresholds import RESOURCES, Threshold
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock

__all__ = ["Eviction", "EvictionRules", "Evictor", "Pods", "Reclaimer"]

log = logging.getLogger(__name__)

MONITORING_SECONDS = 10.0
"""Between two looks. Source: evictionMonitoringPeriod."""
HARD_GRACE_SECONDS = 1
"""What a pod is given that must go at once."""
CLEANUP_SECONDS = 30.0
"""How long the end of a pod that was evicted is waited for, beyond its grace."""
_POLL_SECONDS = 1.0
# What events call it that a condition of the node has changed. Source: k8s.io/kubernetes/pkg/kubelet/nodestatus.
_PRESSED = {
    "MemoryPressure": "NodeHasInsufficientMemory",
    "DiskPressure": "NodeHasDiskPressure",
    "PIDPressure": "NodeHasInsufficientPID",
}
_RELIEVED = {
    "MemoryPressure": "NodeHasSufficientMemory",
    "DiskPressure": "NodeHasNoDiskPressure",
    "PIDPressure": "NodeHasSufficientPID",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionRules:
    """What flags say of eviction."""

    thresholds: tuple[Threshold, ...] = ()
    transition_seconds: float = 300.0  # how long a pressure is told of after it is over
    most_grace_seconds: int = 0  # for pods that go because of a soft threshold
    local_storage: bool = True  # whether pods are held to their own limits of the disk
    wakes_early: bool = False  # whether the kernel is asked to tell when memory becomes scarce


@dataclass(frozen=True, slots=True)
class Eviction:
    """How a pod is to end."""

    reason: str
    message: str
    grace_seconds: int
    disrupts: bool  # whether the node was short of something, and not the pod over its own limits


class Pods(Protocol):
    """The pods of the node, as far as eviction is concerned."""

    def settled(self) -> bool:
        """Whether it is known what there is: soon after the start."""

    def active(self) -> Sequence[Tree]:
        """Those that have not ended."""

    def evict(self, pod: Tree, eviction: Eviction) -> None:
        """Have a pod fail, and stop it."""

    def is_cleared(self, uid: str) -> bool:
        """Whether nothing of a pod runs or takes room any more."""


class Reclaimer(Protocol):
    """Makes room on the disk without ending any pod."""

    async def remove_dead_containers(self) -> None: ...

    async def remove_unused_images(self) -> None: ...


class Evictor:
    """Keeps one node from running out."""

    def __init__(
        self,
        rules: EvictionRules,
        figures: Callable[[float], Awaitable[NodeFigures]],
        pods: Callable[[], Pods],
        reclaimer: Reclaimer,
        recorder: Recorder,
        node: Mapping[str, Any],
        clock: Clock,
        counts: Counts,
    ) -> None:
        """`figures(max_age)` are the node's, `node` is what events of it are about."""
        self._rules = rules
        self._figures = figures
        self._pods = pods
        self._reclaimer = reclaimer
        self._recorder = recorder
        self._node = node
        self._clock = clock
        self._counts = counts
        self._memory = Memory()
        self.alarm: Alarm = NoAlarm()
        self._alarm = asyncio.Event()
        self.conditions: frozenset[str] = frozenset()  # pressures that the node has

    def wake(self) -> None:
        """Look at once: something has become scarce."""
        self._alarm.set()

    def refusal(self, pod: Tree) -> Rejection | None:
        """Why a pod is not taken now."""
        return refusal(pod, self.conditions)

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        while not self._pods().settled():
            await self._clock.sleep(_POLL_SECONDS)
        while True:
            self._alarm.clear()
            evicted: Sequence[str] = ()
            try:
                evicted = await self.look()
            except RuntimeFailure as exc:
                log.warning("what the node's pods use is not known: %s", exc)
            if not evicted:
                await rest(self._clock, MONITORING_SECONDS, self._alarm)

    async def look(self) -> Sequence[str]:
        """Look once, and do what follows; returns the uids of pods that were evicted, which are gone by then."""
        rules = self._rules
        if not rules.thresholds and not rules.local_storage:
            return ()
        figures: NodeFigures = await self._figures(0.0)
        self.alarm.aim(figures, rules.thresholds)
        observations = observe(figures)
        thresholds = with_container_disk(rules.thresholds, layout_of(figures))
        judged = judge(
            thresholds,
            observations,
            self._memory,
            now=self._clock.monotonic(),
            transition_seconds=rules.transition_seconds,
        )
        self._memory = judged.memory
        self._tell(judged.conditions)
        evictions = self._over_own_limits(figures) or await self._for_the_node(
            judged, figures, observations, thresholds
        )
        for pod, eviction in evictions:
            log.warning("evicting pod %s: %s", described(pod), eviction.message)
            self._pods().evict(pod, eviction)
        await self._cleared(evictions)
        return [meta.uid(pod) for pod, _ in evictions]

    def _tell(self, conditions: frozenset[str]) -> None:
        """Let the node have these pressures from now on."""
        for pressure in sorted(conditions ^ self.conditions):
            reason = _PRESSED[pressure] if pressure in conditions else _RELIEVED[pressure]
            message = f"Node {self._node['name']} status is now: {reason}"
            self._recorder.event(self._node, "Normal", reason, message)
        self.conditions = conditions

    def _over_own_limits(self, figures: NodeFigures) -> list[tuple[Tree, Eviction]]:
        if not self._rules.local_storage:
            return []
        by_uid = {pod.uid: pod for pod in figures.pods}
        found: list[tuple[Tree, Eviction]] = []
        for pod in self._pods().active():
            used = by_uid.get(meta.uid(pod))
            if used is None or is_critical(pod) or not is_limited(pod):
                continue
            over = excess(pod, used, layers_counted=layout_of(figures) is not Layout.IMAGES_APART)
            if over is not None:
                self._counts.evictions.labels(over.signal).inc()
                found.append((pod, self._eviction(pod, over.message, HARD_GRACE_SECONDS, {}, disrupts=False)))
        return found

    async def _for_the_node(
        self, judged: Judgement, figures: NodeFigures, observations: Observations, thresholds: Sequence[Threshold]
    ) -> list[tuple[Tree, Eviction]]:
        """At most one at a time: after it there may be enough."""
        if not judged.crossed:
            return []
        urgent = judged.crossed[0]
        resource = RESOURCES[urgent.signal]
        log.warning("the node is short of %s (%s)", resource, urgent.signal)
        self._recorder.event(self._node, "Warning", "EvictionThresholdMet", f"Attempting to reclaim {resource}")
        if await self._reclaimed(urgent, figures, thresholds):
            return []
        by_uid: dict[str, PodFigures] = {pod.uid: pod for pod in figures.pods}
        candidates = [pod for pod in self._pods().active() if not is_critical(pod)]
        order = ranked(candidates, by_uid, urgent.signal, layout_of(figures))
        if not order:
            log.error("the node is short of %s, and there is no pod that may be evicted", resource)
            return []
        for crossed in judged.crossed:
            age = self._clock.now() - observations[crossed.signal].at
            self._counts.eviction_age.labels(crossed.signal).observe(max(0.0, age))
        pod = order[0]
        message, annotations = why_evicted(pod, by_uid.get(meta.uid(pod)), resource, judged.crossed, observations)
        self._counts.evictions.labels(urgent.signal).inc()
        return [(pod, self._eviction(pod, message, self._grace(pod, urgent), annotations, disrupts=True))]

    async def _reclaimed(self, urgent: Threshold, figures: NodeFigures, thresholds: Sequence[Threshold]) -> bool:
        """Make room without ending a pod; whether there is enough of everything then."""
        works = self._works(urgent, layout_of(figures))
        if not works:
            return False
        for work in works:
            try:
                await work()
            except (RuntimeFailure, OSError) as exc:
                log.warning("no room could be made: %s", exc)
        return not met(thresholds, observe(await self._figures(0.0)), reclaimed=True)

    def _works(self, urgent: Threshold, layout: Layout) -> list[Callable[[], Awaitable[None]]]:
        """What may make room on the disk that is short, in order. Source: buildSignalToNodeReclaimFuncs."""
        if urgent.signal not in DISK:
            return []
        containers, images = self._reclaimer.remove_dead_containers, self._reclaimer.remove_unused_images
        match layout:
            case Layout.ALL_TOGETHER:
                return [containers, images]
            case Layout.IMAGES_APART:
                return [] if urgent.signal.startswith("nodefs.") else [containers, images]
            case Layout.IMAGES_ALONE:
                return [images] if urgent.signal.startswith("imagefs.") else [containers]

    def _grace(self, pod: Tree, threshold: Threshold) -> int:
        if threshold.hard:
            return HARD_GRACE_SECONDS
        wanted = pod["spec"].get("terminationGracePeriodSeconds")
        most = self._rules.most_grace_seconds
        return most if wanted is None else min(most, int(wanted))

    def _eviction(
        self, pod: Tree, message: str, grace: int, annotations: Mapping[str, str], *, disrupts: bool
    ) -> Eviction:
        self._recorder.event(pod, "Warning", "Evicted", message, annotations=annotations or None)
        return Eviction("Evicted", message, grace, disrupts)

    async def _cleared(self, evictions: Sequence[tuple[Tree, Eviction]]) -> None:
        """Wait until nothing of them is left: what they had is in the figures until then."""
        left = [meta.uid(pod) for pod, _ in evictions]
        end = self._clock.monotonic() + CLEANUP_SECONDS + max((one.grace_seconds for _, one in evictions), default=0)
        while left and self._clock.monotonic() < end:
            await self._clock.sleep(_POLL_SECONDS)
            left = [uid for uid in left if not self._pods().is_cleared(uid)]
        if left:
            log.warning("something is left of %d pods that were evicted", len(left))
