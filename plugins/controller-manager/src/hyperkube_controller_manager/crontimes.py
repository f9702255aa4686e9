"""Which run of a cron job is due, and what the job for it looks like. Computed from values.

Source: k8s.io/kubernetes/pkg/controller/cronjob/utils.go.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hyperkube_controller_manager import conditions
from hyperkube_controller_manager.cronschedule import Schedule, zone_of
from hyperkube_controller_manager.podstates import creation_time
from hyperkube_controller_manager.templates import controller_reference
from hyperkube_machinery import timestamps
from hyperkube_machinery.builtin import CRON_JOBS
from hyperkube_machinery.meta import annotations_of, labels_of, name, namespace

__all__ = ["Due", "due", "ended_as", "job_for", "job_name", "seconds_to_next", "spent"]

Tree = Mapping[str, Any]

_SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_LEEWAY_SECONDS = 0.1
_MANY = 100


@dataclass(frozen=True, slots=True)
class Due:
    """The latest run that should have begun by now, if one should; times are seconds since the epoch."""

    since: float  # what runs are counted from
    at: float | None = None
    missed: int = 0  # how many before it, about

    @property
    def missed_many(self) -> bool:
        return self.missed > _MANY


def due(cron_job: Tree, schedule: Schedule, now: float, *, within_deadline: bool = True) -> Due:
    """Raises ValueError, as upstream words it, for a schedule that is due more than once a second, or never again."""
    spec, status = cron_job["spec"], cron_job.get("status") or {}
    last = status.get("lastScheduleTime")
    since = timestamps.parse(last) if last else creation_time(cron_job) or 0.0
    deadline = spec.get("startingDeadlineSeconds")
    if within_deadline and deadline is not None:
        since = max(since, now - deadline)
    first = schedule.next(since)
    if first is not None and now < first:
        return Due(since)
    second = None if first is None else schedule.next(first)
    if second is not None and now < second:
        return Due(since, first)
    between = 0 if first is None or second is None else round(second - first)
    if first is None or between < 1:
        raise ValueError("time difference between two schedules is less than 1 second")
    # Counted by the first two, and then looked for from shortly before: years may have passed.
    missed = int(now - first) // between + 1
    latest = None
    candidate = schedule.next(first + (missed - 2) * between)
    while candidate is not None and candidate <= now:
        latest = candidate
        candidate = schedule.next(candidate)
    return Due(since, latest, missed)


def seconds_to_next(cron_job: Tree, schedule: Schedule, now: float) -> float | None:
    """When to look again; None if it will never be due."""
    try:
        found = due(cron_job, schedule, now, within_deadline=False)
        base = found.at if found.at is not None else now if found.missed else found.since
    except ValueError:
        base = now
    following = schedule.next(base)
    return None if following is None else max(0.0, following - now) + _LEEWAY_SECONDS


def job_name(cron_job: Tree, at: float) -> str:
    """The name of the run's job: the same for whoever makes it, so that it is made once."""
    return f"{name(cron_job)}-{int(at) // 60}"


def job_for(cron_job: Tree, at: float) -> dict[str, Any]:
    template = copy.deepcopy(cron_job["spec"].get("jobTemplate") or {})
    zone_name = cron_job["spec"].get("timeZone")
    moment = datetime.fromtimestamp(int(at), zone_of(zone_name) if zone_name else UTC).isoformat()
    if moment.endswith("+00:00"):
        moment = moment.removesuffix("+00:00") + "Z"
    meta = {
        "name": job_name(cron_job, at),
        "namespace": namespace(cron_job),
        "labels": dict(labels_of(template)),
        "annotations": {**annotations_of(template), _SCHEDULED_AT: moment},
        "ownerReferences": [controller_reference(cron_job, CRON_JOBS.api_version, CRON_JOBS.kind)],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": template.get("spec") or {}}


def ended_as(job: Tree) -> str:
    """`Complete` or `Failed`; empty while it goes on."""
    held = (job.get("status") or {}).get("conditions")
    ends = (kind for kind in ("Complete", "Failed") if (conditions.find(held, kind) or {}).get("status") == "True")
    return next(ends, "")


def spent(jobs: Iterable[Tree], ended: str, limit: int | None) -> list[Tree]:
    """The jobs beyond the `limit` of those that have `ended` so, oldest first."""
    if limit is None:
        return []
    found = sorted((job for job in jobs if ended_as(job) == ended), key=_by_start)
    return found[: max(0, len(found) - limit)]


def _by_start(job: Tree) -> tuple[bool, str, str]:
    started = (job.get("status") or {}).get("startTime") or ""
    return not started, started, name(job)
