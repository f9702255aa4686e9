"""Gives pods what they ask for anew while they run, as far as the node has it.

    spec changes ─▶ does it fit? ─ yes ─▶ allocated ─▶ the pod's worker holds its groups and containers to it
                         └ no ─▶ pending: tried again when pods go, shrink, and every few minutes
Source: k8s.io/kubernetes/pkg/kubelet/allocation, KEP 1287.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from hyperkube_kubelet.admission import Rejection
from hyperkube_kubelet.allocation.records import Records, with_allocation
from hyperkube_kubelet.podresources import GUARANTEED, pod_requests, quality_of
from hyperkube_kubelet.podspec import Tree, condition_of, containers, init_containers, status_of
from hyperkube_kubelet.telling import Recorder
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.quantity import Quantity

__all__ = ["Allocations", "resize_order"]

PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
INFEASIBLE, DEFERRED, ERROR = "Infeasible", "Deferred", "Error"
RETRY_SECONDS = 180.0

_NOTHING = Quantity(0)

Condition = dict[str, Any]
Judge = Callable[[Tree], Rejection | None]
"""Says why the node doesn't take a pod as it is asked for now, beside what all others were given."""


@dataclass(frozen=True, slots=True)
class _State:
    """Of a condition: what there is to say of a resize, and which generation of the pod asks for it."""

    reason: str
    message: str
    generation: int
    since: float


class Allocations:
    """What each pod was given."""

    def __init__(self, records: Records, recorder: Recorder, clock: Clock) -> None:
        self.records = records
        self._recorder = recorder
        self._clock = clock
        self._pending: dict[str, _State] = {}
        self._progress: dict[str, _State] = {}

    async def run(self, retry: Callable[[], None]) -> NoReturn:
        """Keep the records, and have `retry` called every few minutes, until cancelled."""
        async with companions(self.records.run()):
            while True:
                await self._clock.sleep(RETRY_SECONDS)
                if self._pending:
                    retry()

    def of(self, pod: Tree) -> Tree:
        """The pod as if it asked for what it was given; as it is where nothing is known of that."""
        allocated = self.records.allocated(meta.uid(pod))
        return pod if allocated is None else with_allocation(pod, allocated)

    def admit(self, pod: Tree) -> None:
        """A pod is taken by the node: it has what it asks for, or what an earlier kubelet has given it."""
        if self.records.allocated(meta.uid(pod)) is None:
            self.records.allocate(pod)
        for kind, states in ((PENDING, self._pending), (IN_PROGRESS, self._progress)):
            told = condition_of(status_of(pod), kind)
            if told is not None and meta.uid(pod) not in states:
                states[meta.uid(pod)] = _State(
                    told.get("reason") or "",
                    told.get("message") or "",
                    told.get("observedGeneration") or 0,
                    self._clock.now(),
                )

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self.records.forget(uid)
        self._pending.pop(uid, None)
        self._progress.pop(uid, None)

    @property
    def pending(self) -> set[str]:
        """The uids of pods that ask for what they can't have now."""
        return set(self._pending)

    def wants_other(self, pod: Tree) -> bool:
        """Whether a pod asks for other than it was given."""
        return self.of(pod) is not pod

    def resize(self, pod: Tree, judge: Judge) -> bool:
        """Give a pod what it asks for, if that can be; returns whether there is anything new to tell or do."""
        uid = meta.uid(pod)
        if not self.wants_other(pod):
            return self._pending.pop(uid, None) is not None
        rejection = judge(pod)
        if rejection is None:
            self.records.allocate(pod)
            self._pending.pop(uid, None)
            generation = meta.generation(pod)
            self._progress[uid] = _State("", "", generation, self._clock.now())
            self._tell(pod, "Normal", "ResizeStarted", "Pod resize started", generation)
            return True
        reason = INFEASIBLE if rejection.reason == INFEASIBLE else DEFERRED
        before, generation = self._pending.get(uid), meta.generation(pod)
        since = before.since if before is not None and before.reason == reason else self._clock.now()
        self._pending[uid] = after = _State(reason, rejection.message, generation, since)
        if before is None or (before.reason, before.generation) != (reason, generation):
            event = f"Resize{reason}"
            # The reason of the rejection itself, as upstream has it.
            self._tell(pod, "Warning", event, f"Pod resize {rejection.reason}", generation, rejection.message)
        return before != after

    def since(self, uid: str) -> float:
        """When a pod's resize was first put off; now for one that was not."""
        state = self._pending.get(uid)
        return state.since if state is not None else self._clock.now()

    # What its worker sees of a pod.

    def progressed(self, pod: Tree, *, unfinished: bool) -> None:
        """`unfinished`: whether containers or groups of the pod have not yet what it was given."""
        uid = meta.uid(pod)
        before = self._progress.get(uid)
        if unfinished:
            if before is None:
                self._progress[uid] = _State("", "", meta.generation(pod), self._clock.now())
        elif before is not None:
            del self._progress[uid]
            self._tell(pod, "Normal", "ResizeCompleted", "Pod resize completed", before.generation)

    def failed(self, pod: Tree, message: str) -> None:
        """Something could not be changed just now."""
        uid = meta.uid(pod)
        before = self._progress.get(uid)
        generation = before.generation if before is not None else meta.generation(pod)
        since = before.since if before is not None and before.reason == ERROR else self._clock.now()
        self._progress[uid] = _State(ERROR, message, generation, since)
        if before is None or (before.reason, before.message) != (ERROR, message):
            self._tell(pod, "Warning", "ResizeError", "Pod resize error", generation, message)

    def ended(self, uid: str) -> None:
        """A pod that has ended is resized no more."""
        self._pending.pop(uid, None)
        self._progress.pop(uid, None)

    def counted(self) -> list[tuple[tuple[str, ...], float]]:
        """How many resizes are put off, by why."""
        found = Counter(state.reason.lower() for state in self._pending.values())
        return [((reason,), count) for reason, count in sorted(found.items())]

    @property
    def unfinished(self) -> int:
        """How many resizes are being made."""
        return len(self._progress)

    def conditions(self, uid: str) -> Iterator[Condition]:
        """What the pod's status is to say."""
        for kind, states in ((PENDING, self._pending), (IN_PROGRESS, self._progress)):
            state = states.get(uid)
            if state is not None:
                condition: Condition = {"type": kind, "status": "True"}
                if state.reason:
                    condition["reason"] = state.reason
                if state.message:
                    condition["message"] = state.message
                if state.generation:
                    condition["observedGeneration"] = state.generation
                yield condition

    def _tell(self, pod: Tree, kind: Any, reason: str, words: str, generation: int, error: str = "") -> None:
        summary: dict[str, Any] = {}
        for name, found in (("initContainers", init_containers(pod)), ("containers", containers(pod))):
            if found:
                summary[name] = [{"name": one["name"], "resources": _ordered(one.get("resources"))} for one in found]
        summary["generation"] = generation
        if error:
            summary["error"] = error
        self._recorder.event(pod, kind, reason, f"{words}: {json.dumps(summary, separators=(',', ':'))}")


def _ordered(resources: Tree | None) -> dict[str, Any]:
    """As Go writes them."""
    told = resources or {}
    return {kind: dict(sorted(told[kind].items())) for kind in ("limits", "requests") if told.get(kind)}


def resize_order(pods: Sequence[Tree], allocations: Allocations) -> list[Tree]:
    """Whose resize is tried first: what takes no more, then by priority, quality and time of waiting."""

    def key(pod: Tree) -> tuple[bool, int, bool, float]:
        return (
            _takes_more(allocations.of(pod), pod),
            -(pod["spec"].get("priority") or 0),
            quality_of(pod) != GUARANTEED,
            allocations.since(meta.uid(pod)),
        )

    return sorted(pods, key=key)


def _takes_more(before: Tree, after: Tree) -> bool:
    old, new = pod_requests(before), pod_requests(after)
    return any(_amount(new, name) > _amount(old, name) for name in ("cpu", "memory"))


def _amount(amounts: Mapping[str, Quantity], name: str) -> Quantity:
    return amounts.get(name, _NOTHING)
