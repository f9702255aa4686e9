"""Cron jobs: a job for each time that a schedule is due.

Source: k8s.io/kubernetes/pkg/controller/cronjob/cronjob_controllerv2.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from hyperkube_controller_manager.claims import is_controlled_by
from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.cronschedule import Schedule, parse, zone_of
from hyperkube_controller_manager.crontimes import due, ended_as, job_for, job_name, seconds_to_next, spent
from hyperkube_controller_manager.dependents import BY_CONTROLLER, Owners, by_controller, follow
from hyperkube_controller_manager.podcontrol import FAILURES, is_ending_namespace
from hyperkube_machinery import timestamps
from hyperkube_machinery.builtin import CRON_JOBS, JOBS
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.events import EventType
from hyperkube_machinery.informers import key_of
from hyperkube_machinery.meta import deletion_timestamp, name, namespace, resource_version, uid

__all__ = ["run"]

Tree = Mapping[str, Any]


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    controller = _CronJobs(context)
    await context.synced()
    await controller.run()


class _CronJobs:
    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._clock = context.clock
        self._recorder = context.recorder
        self._cron_jobs = context.informers.of(CRON_JOBS)
        self._jobs = context.informers.of(JOBS, indexes={BY_CONTROLLER: by_controller})
        self._owners = Owners(self._cron_jobs, CRON_JOBS.kind)
        self._controller = Controller(
            context.name,
            self._reconcile,
            workers=context.options.concurrent_cron_job_syncs,
            clock=context.clock,
            metrics=context.metrics,
        )
        self._cron_jobs.on_change(self._on_change)
        follow(self._jobs, self._owners, self._enqueue)

    async def run(self) -> None:
        await self._controller.run()

    def _enqueue(self, cron_job: Tree) -> None:
        self._controller.queue.add(key_of(cron_job))

    def _on_change(self, old: Tree | None, new: Tree | None) -> None:
        if new is None:
            return
        timing = ("schedule", "timeZone")
        if old is None or all(old["spec"].get(field) == new["spec"].get(field) for field in timing):
            self._enqueue(new)
            return
        # What the new schedule would have been due before the change is not made up for.
        try:
            wait = seconds_to_next(new, _schedule(new), self._clock.now())
        except ValueError:
            text = f"unparseable schedule for cronjob: {new['spec'].get('schedule')}"
            self._tell(new, "Warning", "UnParseableCronJobSchedule", text)
            return
        if wait is not None:
            self._controller.queue.add_after(key_of(new), wait)

    def _tell(self, cron_job: Tree, kind: EventType, reason: str, message: str) -> None:
        self._recorder.event(cron_job, kind, reason, message)

    async def _reconcile(self, key: str) -> float | None:
        cron_job = self._cron_jobs.get(key)
        if cron_job is None:
            return None
        before = cron_job.get("status") or {}
        status: dict[str, Any] = {**before, "active": list(before.get("active") or ())}
        jobs = self._owners.dependents_of(cron_job, self._jobs)
        try:
            await self._clean_up(cron_job, jobs, status)
            await self._take_stock(cron_job, jobs, status)
            wait = await self._start(cron_job, status)
        except APIError as exc:
            if not is_ending_namespace(exc):
                raise
            wait = None
        finally:
            # Written whatever failed: what was made or deleted is to be known.
            shown = {field: value for field, value in status.items() if value}
            if shown != {field: value for field, value in before.items() if value}:
                await self._client.replace(CRON_JOBS, {**cron_job, "status": shown}, subresource="status")
        return wait

    async def _clean_up(self, cron_job: Tree, jobs: Sequence[Tree], status: dict[str, Any]) -> None:
        """Delete finished jobs beyond what is kept of them."""
        spec = cron_job["spec"]
        gone = spent(jobs, "Complete", spec.get("successfulJobsHistoryLimit"))
        gone += spent(jobs, "Failed", spec.get("failedJobsHistoryLimit"))
        for job in gone:
            if deletion_timestamp(job) is None:
                await self._delete(cron_job, job, status)

    async def _delete(self, cron_job: Tree, job: Tree, status: dict[str, Any]) -> bool:
        try:
            await self._client.delete(JOBS, name(job), namespace(job), uid=uid(job), propagation="Background")
        except FAILURES as exc:
            self._tell(cron_job, "Warning", "FailedDelete", f"Deleted job: {exc}")
            return False
        _forget(status, uid(job))
        self._tell(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {name(job)}")
        return True

    async def _take_stock(self, cron_job: Tree, jobs: Sequence[Tree], status: dict[str, Any]) -> None:
        """Let the status list the jobs that go on, and tell of those that ended or are gone."""
        for job in jobs:
            ended, is_listed = ended_as(job), _lists(status, uid(job))
            if ended and is_listed:
                _forget(status, uid(job))
                self._tell(cron_job, "Normal", "SawCompletedJob", f"Saw completed job: {name(job)}, condition: {ended}")
            elif not ended and not is_listed and not await self._is_listed_by_now(cron_job, job):
                text = f"Saw a job that the controller did not create or forgot: {name(job)}"
                self._tell(cron_job, "Warning", "UnexpectedJob", text)
            if ended == "Complete":
                completed = (job.get("status") or {}).get("completionTime") or ""
                status["lastSuccessfulTime"] = max(status.get("lastSuccessfulTime") or "", completed)
        known = {uid(job) for job in jobs}
        for reference in list(status["active"]):
            if reference.get("uid") not in known and not await self._is_there(reference):
                self._tell(cron_job, "Normal", "MissingJob", f"Active job went missing: {reference.get('name')}")
                _forget(status, reference.get("uid") or "")

    async def _is_listed_by_now(self, cron_job: Tree, job: Tree) -> bool:
        fresh = await self._client.get(CRON_JOBS, name(cron_job), namespace(cron_job))
        return _lists(fresh.get("status") or {}, uid(job))

    async def _is_there(self, reference: Tree) -> bool:
        try:
            await self._client.get(JOBS, reference["name"], reference["namespace"])
        except APIError as exc:
            if exc.code != 404:
                raise
            return False
        return True

    async def _start(self, cron_job: Tree, status: dict[str, Any]) -> float | None:
        """Make the job that is due, if one is; the seconds until the next may be."""
        spec, now = cron_job["spec"], self._clock.now()
        if deletion_timestamp(cron_job) is not None or spec.get("suspend"):
            return None
        schedule = self._known_schedule(cron_job)
        if schedule is None:
            return None
        try:
            found = due(cron_job, schedule, now)
        except ValueError as exc:
            self._tell(cron_job, "Warning", "InvalidSchedule", f"invalid schedule: {spec.get('schedule')} : {exc}")
            return None
        if found.missed_many:
            text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._tell(cron_job, "Warning", "TooManyMissedTimes", text)
        if found.at is not None:
            await self._start_at(cron_job, status, found.at, now)
        return seconds_to_next({**cron_job, "status": status}, schedule, now)

    def _known_schedule(self, cron_job: Tree) -> Schedule | None:
        spec = cron_job["spec"]
        text, zone_name = spec.get("schedule") or "", spec.get("timeZone")
        if zone_name:
            try:
                zone_of(zone_name)
            except ValueError as exc:
                self._tell(cron_job, "Warning", "UnknownTimeZone", f'invalid timeZone: "{zone_name}": {exc}')
                return None
        if "TZ" in text:
            told = (
                f'CRON_TZ or TZ used in schedule "{text}" is not officially supported, see '
                "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
            )
            self._tell(cron_job, "Warning", "UnsupportedSchedule", told)
        try:
            return _schedule(cron_job)
        except ValueError as exc:
            self._tell(cron_job, "Warning", "UnparseableSchedule", f'unparseable schedule: "{text}" : {exc}')
            return None

    async def _start_at(self, cron_job: Tree, status: dict[str, Any], at: float, now: float) -> None:
        spec = cron_job["spec"]
        deadline = spec.get("startingDeadlineSeconds")
        if deadline is not None and at + deadline < now:
            told = format_datetime(datetime.fromtimestamp(at, UTC))
            self._tell(cron_job, "Warning", "MissSchedule", f"Missed scheduled time to start a job: {told}")
            return
        moment = timestamps.format_seconds(at)
        active: list[Tree] = status["active"]
        if status.get("lastScheduleTime") == moment or job_name(cron_job, at) in {one.get("name") for one in active}:
            return  # it was made
        policy = spec.get("concurrencyPolicy")
        if policy == "Forbid" and active:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._tell(cron_job, "Normal", "JobAlreadyActive", text)
            return
        if policy == "Replace":
            await self._replace(cron_job, status)
        job = await self._made(cron_job, at)
        if job is not None and not _lists(status, uid(job)):
            status["active"] = [*status["active"], _reference(job)]
            status["lastScheduleTime"] = moment

    async def _replace(self, cron_job: Tree, status: dict[str, Any]) -> None:
        for reference in list(status["active"]):
            try:
                job = await self._client.get(JOBS, reference["name"], reference["namespace"])
            except FAILURES as exc:
                self._tell(cron_job, "Warning", "FailedGet", f"Get job: {exc}")
                raise
            if not await self._delete(cron_job, job, status):
                raise APIError.conflict(JOBS, name(job), "it could not be replaced")

    async def _made(self, cron_job: Tree, at: float) -> Tree | None:
        """The job of that time; None if its name is somebody else's."""
        wanted = job_for(cron_job, at)
        try:
            made = await self._client.create(JOBS, wanted, namespace(cron_job))
        except FAILURES as exc:
            if isinstance(exc, APIError) and exc.reason == "AlreadyExists":
                found = await self._client.get(JOBS, name(wanted), namespace(cron_job))
                return found if is_controlled_by(found, cron_job) else None
            if not is_ending_namespace(exc):
                self._tell(cron_job, "Warning", "FailedCreate", f"Error creating job: {exc}")
            raise
        self._tell(cron_job, "Normal", "SuccessfulCreate", f"Created job {name(made)}")
        return made


def _schedule(cron_job: Tree) -> Schedule:
    """Raises ValueError for one that can't be read."""
    zone_name = cron_job["spec"].get("timeZone")
    return parse(cron_job["spec"].get("schedule") or "", zone_of(zone_name) if zone_name else None)


def _lists(status: Tree, job_uid: str) -> bool:
    return any(reference.get("uid") == job_uid for reference in status.get("active") or ())


def _forget(status: dict[str, Any], job_uid: str) -> None:
    status["active"] = [reference for reference in status["active"] if reference.get("uid") != job_uid]


def _reference(job: Tree) -> dict[str, Any]:
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "namespace": namespace(job),
        "name": name(job),
        "uid": uid(job),
        "resourceVersion": resource_version(job),
    }
