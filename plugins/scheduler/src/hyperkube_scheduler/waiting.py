"""Places where pods wait: in order, or until something helps."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from hyperkube_scheduler.framework.interface import Rank
from hyperkube_scheduler.podinfo import PodInfo

__all__ = ["Heap", "QueuedPod", "Unschedulable"]


@dataclass(slots=True, eq=False)
class QueuedPod:
    """A pod with what the queue must know of it."""

    pod: PodInfo
    since: float
    """When it was put where it is, in the clock's monotonic seconds."""
    first_attempt: float | None = None
    attempts: int = 0
    refusals: int = 0
    errors: int = 0
    """In a row."""
    steps: set[str] = field(default_factory=set)
    """Who refused it last."""
    gate: str = ""
    """Who keeps it out of the queue."""
    flushed: bool = False
    ready_at: float | None = None
    ticket: int = -1
    """Of its place in a heap; what else is found there of it is out of date."""


class Heap:
    """Pods by rank. Taking one out of the middle leaves its entry behind, to be passed over later."""

    def __init__(self) -> None:
        self._heap: list[tuple[Rank, int, QueuedPod]] = []
        self._members: dict[str, QueuedPod] = {}
        self._tickets = count()

    def __len__(self) -> int:
        return len(self._members)

    def get(self, uid: str) -> QueuedPod | None:
        return self._members.get(uid)

    def add(self, entry: QueuedPod, rank: Rank) -> None:
        entry.ticket = next(self._tickets)
        self._members[entry.pod.uid] = entry
        heapq.heappush(self._heap, (rank, entry.ticket, entry))

    def remove(self, uid: str) -> QueuedPod | None:
        entry = self._members.pop(uid, None)
        if entry is not None:
            entry.ticket = -1
        return entry

    def first(self) -> QueuedPod | None:
        while self._heap:
            _, ticket, entry = self._heap[0]
            if entry.ticket == ticket and self._members.get(entry.pod.uid) is entry:
                return entry
            heapq.heappop(self._heap)
        return None

    def pop(self) -> QueuedPod | None:
        entry = self.first()
        if entry is not None:
            heapq.heappop(self._heap)
            self.remove(entry.pod.uid)
        return entry


class Unschedulable:
    """Pods that nothing has helped yet, also by who refused them."""

    def __init__(self) -> None:
        self._entries: dict[str, QueuedPod] = {}
        self._by_step: dict[str, dict[str, QueuedPod]] = {}
        self._steps: dict[str, frozenset[str]] = {}  # as they were when the pod was put here

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, uid: str) -> bool:
        return uid in self._entries

    def get(self, uid: str) -> QueuedPod | None:
        return self._entries.get(uid)

    def values(self) -> list[QueuedPod]:
        return list(self._entries.values())

    def refused_by(self, steps: Iterable[str]) -> list[QueuedPod]:
        """Those that one of `steps` refused."""
        found: dict[str, QueuedPod] = {}
        for step in steps:
            found.update(self._by_step.get(step, {}))
        return list(found.values())

    def add(self, entry: QueuedPod) -> None:
        uid = entry.pod.uid
        self.pop(uid)
        self._entries[uid] = entry
        self._steps[uid] = frozenset(entry.steps)
        for step in entry.steps:
            self._by_step.setdefault(step, {})[uid] = entry

    def pop(self, uid: str) -> QueuedPod | None:
        entry = self._entries.pop(uid, None)
        if entry is not None:
            for step in self._steps.pop(uid):
                del self._by_step[step][uid]
        return entry
