"""Pods that wait for a node.

    add ──→ active ──→ pop ──→ an attempt ──→ put_back ──→ unschedulable ── an event that may help ──┐
              ↑                                                                                      │
              └──────────────────────────── backoff  ←───────────────────────────────────────────────┘

What may help is asked of the steps that refused the pod (hints). A pod that nothing helped is tried again after five
minutes. While nothing is active, a pod needn't wait for the end of its back-off.
Source: k8s.io/kubernetes/pkg/scheduler/backend/queue.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from hyperkube_machinery.clock import Clock
from hyperkube_scheduler.backoff import WINDOW_SECONDS, Backoff
from hyperkube_scheduler.framework.events import Concern, Event, Hint, pod_events
from hyperkube_scheduler.framework.interface import PreEnqueue, Rank
from hyperkube_scheduler.framework.verdicts import Verdict
from hyperkube_scheduler.nominations import Nominations
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.slices import Slices, finish
from hyperkube_scheduler.waiting import Heap, QueuedPod, Unschedulable

__all__ = ["FORCE_ACTIVATE", "Interests", "SchedulingQueue"]

_FLUSH_SECONDS = 30.0
_FEW = 100
"""Pods that are asked about in one go."""
_TIMEOUT_NAME = "UnschedulableTimeout"
FORCE_ACTIVATE = "ForceActivate"
_ADDED, _UPDATED = "UnschedulablePodAdd", "UnschedulablePodUpdate"
_FAILED, _BACKOFF_COMPLETE, _POPPED = "ScheduleAttemptFailure", "BackoffComplete", "PopFromBackoffQ"


@dataclass(frozen=True, slots=True)
class Interests:
    """What the queue asks the steps of one profile."""

    gates: Sequence[PreEnqueue] = ()
    concerns: Sequence[tuple[str, Concern]] = ()
    """With the names of the steps whose they are."""


class SchedulingQueue:
    """All pods that have no node and want one from us."""

    def __init__(
        self,
        clock: Clock,
        rank: Callable[[PodInfo, float], Rank],
        interests: Mapping[str, Interests],
        *,
        backoff: Backoff | None = None,
        longest_wait_seconds: float = 300.0,
        incoming: Callable[[str, str], None] = lambda queue, event: None,
    ) -> None:
        """`interests`: by profile. `incoming` is told of every pod that enters a queue, with the event's name."""
        self._clock = clock
        self._rank = rank
        self._interests = interests
        self._backoff = backoff or Backoff()
        self._longest_wait = longest_wait_seconds
        self._incoming = incoming
        self._active = Heap()
        self._waiting = Heap()  # after a refusal; they may go as soon as nobody else wants to
        self._failing = Heap()  # after an error, which is to pass first
        self._unschedulable = Unschedulable()
        self._moves: deque[Slices[None]] = deque()
        self._arrived = asyncio.Event()
        self.nominations = Nominations()

    def sizes(self) -> dict[str, int]:
        """For the metric pending_pods."""
        gated = sum(bool(entry.gate) for entry in self._unschedulable.values())
        return {
            "active": len(self._active),
            "backoff": len(self._waiting) + len(self._failing),
            "unschedulable": len(self._unschedulable) - gated,
            "gated": gated,
        }

    def refusers(self) -> Counter[tuple[str, str]]:
        """How many unschedulable pods each step refused, by step and profile."""
        return Counter(
            (step, entry.pod.template.scheduler_name) for entry in self._unschedulable.values() for step in entry.steps
        )

    # In and out

    def add(self, pod: PodInfo) -> None:
        """A new pod."""
        self._activate(QueuedPod(pod, self._clock.monotonic()), _ADDED)

    async def arrival(self) -> None:
        """Wait until there may be something to `settle` or to `take`, after there was nothing."""
        self._arrived.clear()
        await self._arrived.wait()

    def take(self) -> QueuedPod | None:
        """The next pod to try, if there is one."""
        entry = self._active.pop()
        if entry is None:
            entry = self._waiting.pop()
            if entry is None:
                return None
            self._incoming("active", _POPPED)
            self._note_first(entry)
        entry.attempts += 1
        return entry

    def put_back(self, entry: QueuedPod) -> None:
        """A pod that got no node; `entry.steps` says who refused it, and is empty after an error."""
        if self._find(entry.pod.uid) is not None:
            return
        if entry.steps:
            entry.refusals += 1
            entry.errors = 0
        else:
            entry.errors += 1
        entry.since = self._clock.monotonic()
        entry.ready_at = None
        entry.flushed = False
        if entry.steps:
            self._unschedulable.add(entry)
            self._incoming("unschedulable", _FAILED)
        else:
            self._requeue(entry, _FAILED)

    def update(self, old: PodInfo, new: PodInfo) -> None:
        """A waiting pod changed; it may fit now."""
        uid = new.uid
        for heap in (self._active, self._waiting, self._failing):
            entry = heap.get(uid)
            if entry is not None:
                entry.pod = new
                self.nominations.update(old, new)
                return
        entry = self._unschedulable.get(uid)
        if entry is None:
            self._activate(QueuedPod(new, self._clock.monotonic()), _UPDATED)
            return
        entry.pod = new
        self.nominations.update(old, new)
        for event in pod_events(old, new):
            if self._is_worth_trying(entry, event, self._concerned(event)[new.template.scheduler_name]):
                self._unschedulable.pop(uid)
                self._requeue(entry, event.name)
                if uid not in self._unschedulable:
                    return

    def delete(self, uid: str) -> None:
        self.nominations.forget(uid)
        for heap in (self._active, self._waiting, self._failing):
            heap.remove(uid)
        self._unschedulable.pop(uid)

    def activate(self, uids: Iterable[str]) -> None:
        """Try these at once, if they wait at all."""
        for uid in uids:
            entry = self._unschedulable.pop(uid) or self._waiting.remove(uid) or self._failing.remove(uid)
            if entry is not None:
                self._activate(entry, FORCE_ACTIVATE)

    def reconsider(self, uid: str, gate: str) -> None:
        """Try a pod that `gate` kept out of the queue, for it won't any more."""
        entry = self._unschedulable.get(uid)
        if entry is not None and entry.gate == gate:
            self.activate([uid])

    def _find(self, uid: str) -> QueuedPod | None:
        found = self._active.get(uid) or self._waiting.get(uid) or self._failing.get(uid)
        return found or self._unschedulable.get(uid)

    # From one queue to another

    def move(self, event: Event, chosen: Callable[[PodInfo], bool] | None = None) -> None:
        """Something happened: try those again that it may help, of the `chosen` ones.

        Where many have to be asked, that is left to `settle`.
        """
        if not len(self._unschedulable):
            return
        concerned = self._concerned(event)
        entries = self._unschedulable.refused_by({step for steps in concerned.values() for step in steps})
        if not entries:
            return
        work = self._move(event, chosen, concerned, entries)
        if len(entries) <= _FEW:
            finish(work)
        else:
            self._moves.append(work)
            self._arrived.set()

    def settle(self) -> Slices[None]:
        """Do what was left."""
        while self._moves:
            yield from self._moves.popleft()

    def _concerned(self, event: Event) -> dict[str, dict[str, list[Hint]]]:
        """By profile: the steps that an event concerns, with whom to ask."""
        found: dict[str, dict[str, list[Hint]]] = {}
        for profile, interests in self._interests.items():
            steps = found[profile] = {}
            for step, concern in interests.concerns:
                if concern.covers(event):
                    steps.setdefault(step, []).append(concern.hint)
        return found

    def _move(
        self,
        event: Event,
        chosen: Callable[[PodInfo], bool] | None,
        concerned: Mapping[str, Mapping[str, list[Hint]]],
        entries: Sequence[QueuedPod],
    ) -> Slices[None]:
        for number, entry in enumerate(entries, 1):
            uid = entry.pod.uid
            if self._unschedulable.get(uid) is entry and (chosen is None or chosen(entry.pod)):
                hints = concerned[entry.pod.template.scheduler_name]
                if (not entry.gate or entry.gate in hints) and self._is_worth_trying(entry, event, hints):
                    self._unschedulable.pop(uid)
                    self._requeue(entry, event.name)
            if number % _FEW == 0:
                yield

    def flush_backoff(self) -> None:
        """Try those whose back-off is over."""
        now = self._backoff.aligned(self._clock.monotonic())
        for heap in (self._waiting, self._failing):
            while (entry := heap.first()) is not None and self._ready_at(entry) < now:
                heap.pop()
                self._activate(entry, _BACKOFF_COMPLETE, asks_gates=False)

    def flush_leftovers(self) -> None:
        """Try those that nothing helped for long."""
        now = self._clock.monotonic()
        for entry in self._unschedulable.values():
            if now - entry.since > self._longest_wait and not entry.gate:
                entry.flushed = True
                self._unschedulable.pop(entry.pod.uid)
                self._requeue(entry, _TIMEOUT_NAME)

    async def keep_flushing(self) -> NoReturn:
        """Do both in time, until cancelled."""
        next_leftovers = self._clock.monotonic() + _FLUSH_SECONDS
        while True:
            await self._clock.sleep(WINDOW_SECONDS - self._clock.monotonic() % WINDOW_SECONDS)
            self.flush_backoff()
            if self._clock.monotonic() >= next_leftovers:
                next_leftovers = self._clock.monotonic() + _FLUSH_SECONDS
                self.flush_leftovers()

    def _requeue(self, entry: QueuedPod, event: str) -> None:
        """Into the active queue, or where it has to wait before."""
        if self._ready_at(entry) < self._backoff.aligned(self._clock.monotonic()):
            self._activate(entry, event)
            return
        if self._is_gated(entry, event):
            return
        heap = self._waiting if entry.steps else self._failing
        heap.add(entry, (self._ready_at(entry), *self._rank(entry.pod, entry.since)))
        self._incoming("backoff", event)
        self._arrived.set()

    def _activate(self, entry: QueuedPod, event: str, *, asks_gates: bool = True) -> None:
        if asks_gates and self._is_gated(entry, event):
            return
        self._note_first(entry)
        self._active.add(entry, self._rank(entry.pod, entry.since))
        self._incoming("active", event)
        if event in (_ADDED, _UPDATED):
            self.nominations.promise(entry.pod, None)
        self._arrived.set()

    def _note_first(self, entry: QueuedPod) -> None:
        if entry.first_attempt is None:
            entry.first_attempt = self._clock.monotonic()

    def _ready_at(self, entry: QueuedPod) -> float:
        """When its back-off is over; minus infinity where there is none."""
        attempts = entry.errors or entry.refusals
        if not attempts or not self._backoff.most:
            return float("-inf")
        if entry.ready_at is None:
            entry.ready_at = self._backoff.aligned(entry.since + self._backoff.seconds(attempts))
        return entry.ready_at

    # Asking the steps

    def _is_gated(self, entry: QueuedPod, event: str) -> bool:
        """Ask whether it may be queued at all; if not, it is unschedulable without an attempt."""
        gates = self._interests[entry.pod.template.scheduler_name].gates
        for step in sorted(gates, key=lambda step: step.name != entry.gate):
            verdict: Verdict | None = step.pre_enqueue(entry.pod)
            if verdict is not None:
                entry.gate = step.name
                entry.steps.add(step.name)
                self._unschedulable.add(entry)
                self._incoming("gated", event)
                return True
        entry.gate = ""
        return False

    @staticmethod
    def _is_worth_trying(entry: QueuedPod, event: Event, hints: Mapping[str, list[Hint]]) -> bool:
        return any(hint(entry.pod, event) for step in entry.steps for hint in hints.get(step, ()))
