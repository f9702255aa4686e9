"""Cron jobs. Source: k8s.io/kubernetes/pkg/{registry,apis}/batch."""

from __future__ import annotations

import re

from hyperkube_apiserver.registry.fields import nonnegative, one_of
from hyperkube_apiserver.registry.jobs import default_failure_policy, job_warnings, validate_job_spec
from hyperkube_apiserver.registry.podspec.defaults import fill
from hyperkube_apiserver.registry.schedules import complaint, is_time_zone
from hyperkube_apiserver.registry.strategy import Policy, Strategy, Tree, WriteContext
from hyperkube_apiserver.registry.workloads import default_template, drop_disabled_of
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError

__all__ = ["CronJobs"]

_TEMPLATE = "spec.jobTemplate.spec.template"


class CronJobs(Strategy):
    counts_generation = True

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
        template = spec.setdefault("jobTemplate", {})
        template.setdefault("metadata", {})
        job = template.setdefault("spec", {})
        default_failure_policy(job)
        default_template(job)

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        drop_disabled_of(obj, path=_TEMPLATE)
        super().prepare_for_create(obj, context)

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        drop_disabled_of(obj, old, _TEMPLATE)
        super().prepare_for_update(obj, old, context)

    def validate_object(self, obj: Tree) -> list[FieldError]:
        name = meta.name(obj)
        errors = _validate_cron(obj.get("spec") or {}, None, self.policy)
        if len(name) > 52:
            # Eleven characters are added to it for a job's name.
            errors.append(FieldError.invalid("metadata.name", name, "must be no more than 52 characters"))
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return _validate_cron(obj.get("spec") or {}, old.get("spec") or {}, self.policy)

    def validate_update(self, obj: Tree, old: Tree, subresource: str = "") -> list[FieldError]:
        if subresource == "status":
            return self.validate_common_update(obj, old)
        return super().validate_update(obj, old, subresource)

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        schedule = (obj.get("spec") or {}).get("schedule") or ""
        texts = job_warnings(obj, old, "spec.jobTemplate.spec")
        if old is not None and "TZ" in schedule:
            page = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/"
            # The path is upstream's.
            texts.append(
                f"cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see {page} for more details"
            )
        return texts


def _validate_cron(spec: Tree, old: Tree | None, policy: Policy) -> list[FieldError]:
    schedule, zone = spec.get("schedule") or "", spec.get("timeZone")
    errors: list[FieldError] = []
    if not schedule:
        errors.append(FieldError.required("spec.schedule"))
    else:
        if wrong := complaint(schedule):
            errors.append(FieldError.invalid("spec.schedule", schedule, wrong))
        tolerated = old is not None and "TZ" in (old.get("schedule") or "")
        if "TZ" in schedule and not tolerated:
            text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            errors.append(FieldError.invalid("spec.schedule", schedule, text))
        elif "TZ" in schedule and zone is not None:
            text = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
            errors.append(FieldError.invalid("spec.schedule", schedule, text))
    errors += nonnegative(spec.get("startingDeadlineSeconds"), "spec.startingDeadlineSeconds")
    if zone is not None and (old is None or old.get("timeZone") != zone):
        errors += _validate_time_zone(zone, "spec.timeZone")
    errors += one_of(spec["concurrencyPolicy"], ("Allow", "Forbid", "Replace"), "spec.concurrencyPolicy")
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    errors += validate_job_spec(job, "spec.jobTemplate.spec", policy)
    if job.get("selector") is not None:
        text = "`selector` will be auto-generated"
        errors.append(FieldError.invalid("spec.jobTemplate.spec.selector", job["selector"], text))
    if job.get("manualSelector"):
        errors.append(FieldError.not_supported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false")))
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        errors += nonnegative(spec.get(field), f"spec.{field}")
    return errors


def _validate_time_zone(zone: str, path: str) -> list[FieldError]:
    if not zone:
        return [FieldError.invalid(path, zone, "timeZone must be nil or non-empty string")]
    for part in zone.split("/"):
        if part in (".", "..") or part.startswith("-") or not re.fullmatch("[A-Za-z0-9+_-]{1,14}", part):
            return [FieldError.invalid(path, zone, f"unknown time zone {zone}")]
    if zone.lower() == "local":
        text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        return [FieldError.invalid(path, zone, text)]
    return [] if is_time_zone(zone) else [FieldError.invalid(path, zone, f"unknown time zone {zone}")]
