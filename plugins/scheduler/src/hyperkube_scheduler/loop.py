"""The scheduler itself: takes a pod from the queue, has a node chosen, and binds it while the next one has its turn.

    pop ─→ choose ─┬→ assume ─→ reserve ─→ (permit ─→ pre-bind ─→ bind ─→ post-bind)     in a task of its own
                   └→ post-filter ─→ put back, with an event and a condition that say why

Source: k8s.io/kubernetes/pkg/scheduler/schedule_one.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, NoReturn

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import Companions
from hyperkube_scheduler.algorithm import Algorithm
from hyperkube_scheduler.cache import Cache
from hyperkube_scheduler.changes import Changes
from hyperkube_scheduler.framework.diagnosis import NO_NODES, Diagnosis
from hyperkube_scheduler.framework.events import Action, Event, Kind
from hyperkube_scheduler.framework.interface import Cycle, Nomination
from hyperkube_scheduler.framework.pipeline import Pipeline
from hyperkube_scheduler.framework.verdicts import SKIP, Code, Verdict
from hyperkube_scheduler.instruments import Instruments
from hyperkube_scheduler.pace import Pace
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.queue import SchedulingQueue
from hyperkube_scheduler.reporting import Recorder, StatusWriter
from hyperkube_scheduler.waiting import QueuedPod

__all__ = ["Scheduler"]

log = logging.getLogger(__name__)

_PREEMPTION = "DefaultPreemption"  # what attempts are counted of; others take nothing from pods

_MOST_BINDINGS = 10
"""At a time: more would not be bound sooner, and each wants a connection of its own."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """An attempt that came to nothing."""

    message: str
    steps: frozenset[str] = frozenset()
    """Who refused; nobody where something went wrong."""
    rejected: bool = True
    nomination: Nomination | None = None


class Scheduler:
    """Schedules pods, one after the other."""

    def __init__(
        self,
        *,
        clock: Clock,
        cache: Cache,
        queue: SchedulingQueue,
        changes: Changes,
        algorithm: Algorithm,
        pipelines: Mapping[str, Pipeline],
        instruments: Instruments,
        recorder: Callable[[str], Recorder],
        statuses: StatusWriter,
        tasks: Companions,
    ) -> None:
        """`pipelines` and `recorder` by profile; `tasks` are where bindings run."""
        self._clock = clock
        self._cache = cache
        self._queue = queue
        self._changes = changes
        self._algorithm = algorithm
        self._pipelines = pipelines
        self._instruments = instruments
        self._recorder = recorder
        self._statuses = statuses
        self._tasks = tasks
        self._pace = Pace(clock)
        self._free = asyncio.Semaphore(_MOST_BINDINGS)
        self.bindings = 0
        """That are going on."""

    async def run(self) -> NoReturn:
        """Schedule until cancelled."""
        while True:
            await self._pace.run(self._queue.settle())
            entry = self._queue.take()
            if entry is None:
                await self._queue.arrival()
                self._pace.start()
                continue
            await self.attempt(entry)
            await self._pace.breathe()

    async def attempt(self, entry: QueuedPod) -> None:
        """Try one pod."""
        pod = entry.pod
        if pod.terminating:
            self._tell(pod, "Warning", "FailedScheduling", f"skip schedule deleting pod: {pod.key}", "Scheduling")
            return
        if self._cache.is_assumed(pod.uid):
            return
        await self._free.acquire()
        is_bound_for_binding = False
        try:
            with self._changes.held():
                is_bound_for_binding = await self._try(entry)
            await self._pace.run(self._changes.catch_up())
        finally:
            if not is_bound_for_binding:
                self._free.release()

    async def _try(self, entry: QueuedPod) -> bool:
        """Whether a node was found, and the pod is being bound to it."""
        began = self._clock.monotonic()
        pipeline = self._pipelines[entry.pod.template.scheduler_name]
        if not self._cache.nodes:
            self._fail(entry, _Failure(NO_NODES, nomination=Nomination("")), began)
            return False
        cycle = Cycle(entry.pod, self._cache)
        try:
            node = await self._choose(pipeline, cycle)
        except Exception as exc:  # a flaw that one pod brings to light must not keep all others waiting
            log.exception("pod %s can't be judged", entry.pod.key)
            node = _Failure(f"{type(exc).__name__}: {exc}", rejected=False, nomination=Nomination(""))
        self._instruments.algorithm_seconds.observe(self._clock.monotonic() - began)
        if isinstance(node, _Failure):
            self._fail(entry, node, began)
            return False
        placed = self._cache.assume(entry.pod, node)
        self._queue.nominations.forget(placed.uid)
        for step in pipeline.reserves:
            refusal = step.reserve(cycle, node)
            if refusal is not None:
                self._undo(pipeline, cycle, placed)
                self._fail(entry, self._refused_on(node, refusal), began)
                return False
        self.bindings += 1
        self._tasks.start(self._bind(pipeline, cycle, entry, placed, began), name=f"binding of {placed.key}")
        return True

    async def _choose(self, pipeline: Pipeline, cycle: Cycle) -> str | _Failure:
        """The node's name, or why there is none."""
        found = await self._pace.run(self._algorithm.choose(pipeline, cycle, self._queue.nominations.by_node))
        if found.diagnosis is not None:
            return await self._post_filter(pipeline, cycle, found.diagnosis)
        return found.node

    async def _post_filter(self, pipeline: Pipeline, cycle: Cycle, diagnosis: Diagnosis) -> _Failure:
        """Try to make room."""
        nomination: Nomination | None = None
        messages: list[str] = []
        for step in pipeline.post_filters:
            self._instruments.preemptions.inc(step.name == _PREEMPTION)
            found, verdict = await self._pace.run(step.post_filter(cycle, diagnosis))
            nomination = found or nomination
            if verdict is None:
                messages = []
                break
            messages.append(verdict.message)
        diagnosis.post_filter_message = ", ".join(messages)
        return _Failure(diagnosis.message, frozenset(diagnosis.steps), nomination=nomination)

    # Binding

    async def _bind(self, pipeline: Pipeline, cycle: Cycle, entry: QueuedPod, pod: PodInfo, began: float) -> None:
        try:
            failure = await self._run_binding(pipeline, pod)
            if failure is None:
                self._bound(pipeline, entry, pod, began)
            else:
                self._changes.do(partial(self._binding_failed, pipeline, cycle, entry, pod, failure, began))
        finally:
            self.bindings -= 1
            self._free.release()

    async def _run_binding(self, pipeline: Pipeline, pod: PodInfo) -> _Failure | None:
        node = pod.node_name
        for permitting in pipeline.permits:
            verdict = await permitting.permit(pod, node)
            if verdict is not None:
                return self._refused_on(node, verdict)
        for preparing in pipeline.pre_binds:
            verdict = await preparing.pre_bind(pod, node)
            if verdict is not None:
                return _broken("PreBind", verdict)
        for binding in pipeline.binds:
            verdict = await binding.bind(pod, node)
            if verdict is None:
                return None
            if verdict is not SKIP:
                return _broken("Bind", verdict)
        return _broken("Bind", Verdict(Code.ERROR, ("no step binds this pod",)))

    def _bound(self, pipeline: Pipeline, entry: QueuedPod, pod: PodInfo, began: float) -> None:
        now = self._clock.monotonic()
        log.debug("pod %s goes to node %s", pod.key, pod.node_name)
        self._instruments.attempt("scheduled", pipeline.name, now - began)
        first = entry.first_attempt if entry.first_attempt is not None else began
        self._instruments.scheduled(entry.attempts, now - first)
        if entry.flushed:
            self._instruments.after_flush.inc()
        note = f"Successfully assigned {pod.key} to {pod.node_name}"
        self._tell(pod, "Normal", "Scheduled", note, "Binding")
        for step in pipeline.post_binds:
            step.post_bind(pod, pod.node_name)

    def _binding_failed(
        self, pipeline: Pipeline, cycle: Cycle, entry: QueuedPod, pod: PodInfo, failure: _Failure, began: float
    ) -> None:
        self._undo(pipeline, cycle, pod)
        self._fail(entry, failure, began)
        # What it would have taken is free again, for others.
        self._queue.move(Event(Kind.POD, Action.DELETE, old=pod), lambda other: other.uid != pod.uid)

    def _undo(self, pipeline: Pipeline, cycle: Cycle, pod: PodInfo) -> None:
        for step in reversed(pipeline.reserves):
            step.unreserve(cycle, pod.node_name)
        self._cache.forget(pod.uid)

    # Failing

    @staticmethod
    def _refused_on(node: str, verdict: Verdict) -> _Failure:
        if not verdict.rejects:
            return _Failure(verdict.message, rejected=False, nomination=Nomination(""))
        diagnosis = Diagnosis(1)
        diagnosis.refuse(node, verdict)
        return _Failure(diagnosis.message, frozenset(diagnosis.steps), nomination=Nomination(""))

    def _fail(self, entry: QueuedPod, failure: _Failure, began: float) -> None:
        """Put a pod back, and say why."""
        profile = entry.pod.template.scheduler_name
        result = "unschedulable" if failure.rejected else "error"
        self._instruments.attempt(result, profile, self._clock.monotonic() - began)
        pod = self._changes.pending.get(entry.pod.uid)
        if pod is None:
            return  # it is gone, or somebody else has bound it
        entry.pod = pod
        entry.steps = set(failure.steps)
        self._queue.put_back(entry)
        self._queue.nominations.promise(pod, failure.nomination)
        level = log.debug if failure.rejected else log.error
        level("pod %s can't be scheduled: %s", pod.key, failure.message)
        self._tell(pod, "Warning", "FailedScheduling", failure.message, "Scheduling")
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable" if failure.rejected else "SchedulerError",
            "message": failure.message,
        }
        self._statuses.write(pod, condition, failure.nomination)

    def _tell(self, pod: PodInfo, kind: Literal["Normal", "Warning"], reason: str, note: str, action: str) -> None:
        recorder = self._recorder(pod.template.scheduler_name)
        recorder.event(pod.tree, kind, reason, note, action=action)


def _broken(point: str, verdict: Verdict) -> _Failure:
    """Where refusing is no longer an answer: tried again after a while, whoever it was."""
    said = f'running {point} plugin "{verdict.step}": {verdict.message}' if verdict.step else verdict.message
    return _Failure(said, rejected=False, nomination=Nomination(""))
