"""Jobs: pods that run until enough of them have done their work.

Source: k8s.io/kubernetes/pkg/controller/job/job_controller.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_controller_manager.claims import claim, claims_of
from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.dependents import BY_CONTROLLER, Owners, by_controller, follow
from hyperkube_controller_manager.expectations import Expectations
from hyperkube_controller_manager.jobpods import TRACKING, is_tracked, job_pod, pause_seconds
from hyperkube_controller_manager.jobrecords import Record, Records
from hyperkube_controller_manager.jobtally import Tally, condition, counted, finished_status, tallied, with_condition
from hyperkube_controller_manager.jobview import (
    Ending,
    JobView,
    ending_of,
    is_finished,
    seconds_to_deadline,
    staffing,
)
from hyperkube_controller_manager.pacing import Pacing, aside
from hyperkube_controller_manager.podcontrol import FAILURES, PodControl, in_slow_start, is_ending_namespace, together
from hyperkube_controller_manager.podstates import is_ready
from hyperkube_controller_manager.templates import controller_reference
from hyperkube_machinery import timestamps
from hyperkube_machinery.builtin import JOBS, PODS
from hyperkube_machinery.companions import companions
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.informers import key_of
from hyperkube_machinery.meta import (
    controller_of,
    deletion_timestamp,
    generation,
    name,
    namespace,
    resource_version,
    uid,
)
from hyperkube_machinery.selectors import label_selector
from hyperkube_machinery.workqueue import WorkQueue

__all__ = ["run"]

Tree = Mapping[str, Any]

_CONTROLLER = "kubernetes.io/job-controller"
_BATCH_SECONDS = 1.0  # changes of pods within this time are counted together
_FIRST_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 60.0


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    controller = _Jobs(context)
    await context.synced()
    await controller.run()


@dataclass(slots=True)
class _Counts:
    """Of the job's pods, after what this look did."""

    active: int
    ready: int
    terminating: int

    def remove(self, pod: Tree) -> None:
        """The pod, which was active, is deleted."""
        self.active -= 1
        self.ready -= is_ready(pod)
        self.terminating += 1


class _Jobs:
    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._clock = context.clock
        self._recorder = context.recorder
        self._pod_control = PodControl(context.client, context.recorder)
        self._expectations = Expectations(context.clock)
        self._pacing = Pacing(context.clock)
        self._records = Records()
        self._released: dict[str, set[str]] = {}  # by job, pods whose finalizer was taken, though the cache shows it
        self._written: dict[str, int] = {}  # by job, the version that was written last
        self._finished: dict[str, str] = {}  # by job, the UID of that whose end was written, though not seen
        self._jobs = context.informers.of(JOBS, indexes={BY_CONTROLLER: by_controller})
        self._pods = context.informers.of(PODS, indexes={BY_CONTROLLER: by_controller})
        self._owners = Owners(self._jobs, JOBS.kind)
        self._queue = _queue(context, "job")
        self._orphans = _queue(context, "job_orphan_pod")
        workers, clock = context.options.concurrent_job_syncs, context.clock
        self._controller = Controller(context.name, self._reconcile, queue=self._queue, workers=workers, clock=clock)
        self._orphan_controller = Controller(
            context.name, self._release_orphan, queue=self._orphans, workers=workers, clock=clock
        )
        self._jobs.on_change(self._on_job)
        follow(self._pods, self._owners, self._enqueue, self._expectations)
        self._pods.on_change(self._on_pod)

    async def run(self) -> None:
        async with companions(self._orphan_controller.run()):
            await self._controller.run()

    def _enqueue(self, job: Tree) -> None:
        key = key_of(job)
        self._queue.add_after(key, max(_BATCH_SECONDS, self._pacing.wait(key)))

    def _on_job(self, old: Tree | None, new: Tree | None) -> None:
        if old is not None and (new is None or uid(old) != uid(new)):
            self._forget(key_of(old))
            self._look_at_pods_of(old)
        if new is None:
            return
        if is_finished(new):
            self._look_at_pods_of(new)
        elif old is not None and generation(old) == generation(new):
            self._enqueue(new)
        else:
            self._queue.add(key_of(new))

    def _forget(self, key: str) -> None:
        self._expectations.forget(key)
        self._pacing.forget(key)
        self._records.forget(key)
        self._released.pop(key, None)
        self._written.pop(key, None)
        self._finished.pop(key, None)

    def _look_at_pods_of(self, job: Tree) -> None:
        for pod in self._owners.dependents_of(job, self._pods):
            if is_tracked(pod):
                self._orphans.add(key_of(pod))

    def _on_pod(self, old: Tree | None, new: Tree | None) -> None:
        for pod in (old, new):
            is_gone = new is None or not is_tracked(new)
            if pod is not None and is_gone and (job := self._owners.owner_of(pod)) is not None:
                self._released.get(key_of(job), set()).discard(uid(pod))
        if new is not None and is_tracked(new) and self._is_orphan(new):
            self._orphans.add(key_of(new))

    def _is_orphan(self, pod: Tree) -> bool:
        """Whether no job will count the pod any more, so that nothing should keep it."""
        reference = controller_of(pod)
        if reference is None:
            return True
        if (reference.get("kind"), reference.get("apiVersion")) != (JOBS.kind, JOBS.api_version):
            return False
        job = self._owners.owner_of(pod)
        return job is None or (is_finished(job) and not _is_managed_elsewhere(job))

    async def _release_orphan(self, key: str) -> None:
        pod = self._pods.get(key)
        if pod is not None and is_tracked(pod) and self._is_orphan(pod):
            await self._release(pod)

    async def _release(self, pod: Tree) -> None:
        """Take the finalizer from the pod; one that is gone has none. Raises APIError and ClientError."""
        patch = {"metadata": {"uid": uid(pod), "$deleteFromPrimitiveList/finalizers": [TRACKING]}}
        try:
            await self._client.patch(PODS, name(pod), patch, namespace(pod), kind="strategic")
        except APIError as exc:
            if exc.code != 404:
                raise

    async def _reconcile(self, key: str) -> float | None:
        job = self._jobs.get(key)
        if job is None:
            self._forget(key)
            return None
        if is_finished(job):
            self._forget(key)
            return None
        if _is_managed_elsewhere(job) or self._finished.get(key) == uid(job):
            return None
        if int(resource_version(job)) < self._written.get(key, 0):
            return _BATCH_SECONDS  # pods that the written status counts would be made up for
        # Known before the pods are looked at: one that the cache shows released later may be shown kept by now.
        satisfied, released = self._expectations.satisfied(key), frozenset(self._released.get(key, ()))
        view = JobView(job, await self._claimed(job), released)
        with self._pacing.look(key):
            await aside(len(view.pods), view.count)
        return await self._bring_on(view, key, satisfied=satisfied)

    async def _claimed(self, job: Tree) -> list[Tree]:
        selector = label_selector(job["spec"].get("selector"))
        claims = claims_of(job, selector.matches, self._owners.dependents_of(job, self._pods, orphans=True))
        return await claim(self._client, JOBS, job, claims, PODS, finalizer=TRACKING)

    async def _bring_on(self, view: JobView, key: str, *, satisfied: bool) -> float | None:
        now = self._clock.now()
        status = dict(view.status)
        if not status.get("startTime") and not view.suspended:
            status["startTime"] = timestamps.format_seconds(now)
        record = self._records.after(key, view.newly_succeeded, view.newly_failed)
        counts = _Counts(len(view.active), view.ready, view.terminating)
        ending = ending_of(view, now)
        failure: Exception | None = None
        waits = [seconds_to_deadline(view, now)] if ending is None else []
        if ending is not None:
            failure, all_gone = await self._stop(view, counts)
            if not all_gone or not satisfied:
                ending = None  # pods may be left that the cache does not show
        else:
            managed = satisfied and deletion_timestamp(view.job) is None
            if managed:
                failure, wait = await self._staff(view, key, counts, record)
                waits.append(wait)
            if _is_done(view, counts):
                text = "Reached expected number of succeeded pods"
                ending = Ending("SuccessCriteriaMet", "CompletionsReached", text)
            elif managed:
                status = self._told_of_suspension(view, status, now)
        status.update({"active": counts.active, "ready": counts.ready, "terminating": counts.terminating})
        if not counts.active:
            del status["active"]
        await self._track(view, key, status, ending, record)
        if failure is not None:
            raise failure
        return min((wait for wait in waits if wait is not None), default=None)

    async def _stop(self, view: JobView, counts: _Counts) -> tuple[Exception | None, bool]:
        """Delete what runs; its finalizers stay until it is counted."""

        async def delete(pod: Tree) -> None:
            try:
                await self._pod_control.delete(pod, view.job)
            except APIError as exc:
                if exc.code != 404:
                    raise
            counts.remove(pod)

        outcome = await together(delete, view.active)
        return next(iter(outcome.failures), None), not outcome.failures

    async def _staff(
        self, view: JobView, key: str, counts: _Counts, record: Record
    ) -> tuple[Exception | None, float | None]:
        """Make or delete pods; the failure, and the seconds until more may be made."""
        now = self._clock.now()
        plan = staffing(view, pause_seconds(record.failures, record.last_failure, now), now)
        if plan.delete:
            return await self._delete(view.job, key, plan.delete, counts), None
        if plan.create:
            return await self._create(view, key, plan.create, counts), None
        return None, max(plan.wait, _BATCH_SECONDS) if plan.wait else None

    async def _create(
        self, view: JobView, key: str, indexes: Sequence[int | None], counts: _Counts
    ) -> Exception | None:
        reference = controller_reference(view.job, JOBS.api_version, JOBS.kind)

        async def create(position: int) -> None:
            index = indexes[position]
            replaced = None if index is None else view.kept_for_replacement.get(index)
            try:
                await self._pod_control.create_pod(job_pod(view.job, reference, index, replaced), view.job)
            except APIError as exc:
                if not is_ending_namespace(exc):
                    raise

        self._expectations.expect(key, creations=len(indexes))
        outcome = await in_slow_start(len(indexes), create)
        self._expectations.created(key, len(indexes) - outcome.successes)
        counts.active += outcome.successes
        return next(iter(outcome.failures), None)

    async def _delete(self, job: Tree, key: str, pods: Sequence[Tree], counts: _Counts) -> Exception | None:
        """Delete pods that are too many: they count neither as succeeded nor as failed, so nothing keeps them."""

        async def delete(pod: Tree) -> None:
            try:
                if is_tracked(pod):
                    await self._release(pod)
                await self._pod_control.delete(pod, job)
            except FAILURES as exc:
                self._expectations.deleted(key, key_of(pod))
                if not (isinstance(exc, APIError) and exc.code == 404):
                    raise
            counts.remove(pod)

        self._expectations.expect(key, deletions=[key_of(pod) for pod in pods])
        outcome = await together(delete, pods)
        return next(iter(outcome.failures), None)

    def _told_of_suspension(self, view: JobView, status: dict[str, Any], now: float) -> dict[str, Any]:
        word = "suspended" if view.suspended else "resumed"
        value, text = "True" if view.suspended else "False", f"Job {word}"
        told = with_condition(status, condition("Suspended", value, f"Job{word.capitalize()}", text, now))
        if told.get("conditions") == status.get("conditions"):
            return status
        self._recorder.event(view.job, "Normal", word.capitalize(), text)
        # The deadline is about the time that the job runs without a break.
        told.pop("startTime", None)
        if not view.suspended:
            told["startTime"] = timestamps.format_seconds(now)
        return told

    async def _track(
        self, view: JobView, key: str, status: dict[str, Any], ending: Ending | None, record: Record
    ) -> None:
        """Count the pods that ended, and let them go; then let the job be over, if it is."""
        now = self._clock.now()
        tally = tallied(view, status, ending, now)
        job = view.job
        if tally.status != view.status:
            job = await self._write(key, job, tally.status)
            self._records.keep(key, record)
        gone, failure = await self._release_counted(key, tally)
        kept = {uid(pod) for pod in view.pods if view.is_pending(pod)} - gone
        after = counted(job.get("status") or {}, kept)
        finished = None
        if ending is not None and not tally.is_full and failure is None:
            finished = finished_status(after, ending, now)
        if (finished or after) != (job.get("status") or {}):
            await self._write(key, job, finished or after)
        if failure is not None:
            raise failure
        if finished is not None and ending is not None:
            self._finished[key] = uid(job)
            self._tell_end(job, finished, ending.final)

    async def _write(self, key: str, job: Tree, status: Tree) -> Tree:
        written = await self._client.replace(JOBS, {**job, "status": status}, subresource="status")
        self._written[key] = int(resource_version(written))
        return written

    async def _release_counted(self, key: str, tally: Tally) -> tuple[set[str], Exception | None]:
        """Take the finalizers of the pods that the stored status tells of; those that went, by UID, and a failure."""
        if not tally.release:
            return set(), None
        gone: set[str] = set()
        released = self._released.setdefault(key, set())
        released.update(uid(pod) for pod in tally.release)

        async def release(pod: Tree) -> None:
            try:
                await self._release(pod)
            except FAILURES:
                released.discard(uid(pod))
                raise
            gone.add(uid(pod))

        outcome = await together(release, tally.release)
        return gone, next(iter(outcome.failures), None)

    def _tell_end(self, job: Tree, status: Tree, ending: Ending) -> None:
        if ending.kind != "Complete":
            self._recorder.event(job, "Warning", ending.reason, ending.message)
            return
        completions = job["spec"].get("completions")
        if completions is not None and (status.get("succeeded") or 0) > completions:
            text = "Too many succeeded pods running after completion count reached"
            self._recorder.event(job, "Warning", "TooManySucceededPods", text)
        self._recorder.event(job, "Normal", "Completed", "Job completed")


def _queue(context: ControllerContext, queue_name: str) -> WorkQueue[str]:
    return WorkQueue(
        context.clock,
        name=queue_name,
        metrics=context.metrics,
        first_retry_seconds=_FIRST_RETRY_SECONDS,
        longest_retry_seconds=_LONGEST_RETRY_SECONDS,
    )


def _is_managed_elsewhere(job: Tree) -> bool:
    return job["spec"].get("managedBy") not in (None, _CONTROLLER)


def _is_done(view: JobView, counts: _Counts) -> bool:
    """Whether enough pods have succeeded, and none runs; without a number the first success is enough."""
    enough = view.succeeded > 0 if view.completions is None else view.succeeded >= view.completions
    return enough and counts.active == 0
