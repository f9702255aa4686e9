"""What a job's status may say, and how it may change.

Most is only checked where it changes: what once slipped in doesn't keep anybody from telling something else.
Source: validateJobStatus, ValidateJobStatusUpdate in k8s.io/kubernetes/pkg/apis/batch/validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_apiserver.registry.fields import nonnegative
from hyperkube_apiserver.registry.indexes import common_index, parse_indexes
from hyperkube_machinery.errors import FieldError

__all__ = ["validate_job_status"]

Tree = Mapping[str, Any]

_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")


def validate_job_status(obj: Tree, old: Tree) -> list[FieldError]:
    status, before, spec = obj.get("status") or {}, old.get("status") or {}, obj.get("spec") or {}
    return [
        *(error for field in _COUNTS for error in nonnegative(status.get(field), f"status.{field}")),
        *_uncounted(status.get("uncountedTerminatedPods") or {}),
        *_completion(status, before),
        *_finish(status, before, spec),
        *_indexes(status, before, spec),
        *_success(status, before, spec),
        *_changes(status, before, spec),
    ]


def _holds(status: Tree, kind: str, value: str = "True") -> bool:
    conditions = status.get("conditions") or ()
    return any((one.get("type"), one.get("status")) == (kind, value) for one in conditions)


def _differs(status: Tree, before: Tree, *kinds: str) -> bool:
    """Whether it became, or ceased to be, true that any of these conditions holds."""
    return any(_holds(status, kind) for kind in kinds) != any(_holds(before, kind) for kind in kinds)


def _changed(status: Tree, before: Tree, field: str) -> bool:
    return bool(status.get(field) != before.get(field)) and bool(status.get(field) or before.get(field))


def _conditions(text: str) -> FieldError:
    return FieldError("FieldValueInvalid", "status.conditions", text, shows_value=False)


def _uncounted(pods: Tree) -> Iterator[FieldError]:
    seen: set[str] = set()
    for field in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(field) or ()):
            path = f"status.uncountedTerminatedPods.{field}[{index}]"
            if not uid:
                yield FieldError.invalid(path, uid, "must not be empty")
            elif uid in seen:
                yield FieldError.duplicate(path, uid)
            seen.add(uid)


def _completion(status: Tree, before: Tree) -> Iterator[FieldError]:
    """Whether the job is complete, and since when."""
    complete, failed = _holds(status, "Complete"), _holds(status, "Failed")
    started, completed = status.get("startTime"), status.get("completionTime")
    newly = _differs(status, before, "Complete")
    path = "status.completionTime"
    if complete and failed and (newly or _differs(status, before, "Failed")):
        yield _conditions("cannot set Complete=True and Failed=true conditions")
    if complete and _holds(status, "FailureTarget") and (newly or _differs(status, before, "FailureTarget")):
        yield _conditions("cannot set Complete=True and FailureTarget=true conditions")
    if newly or _changed(status, before, "completionTime"):
        if completed and not complete:
            text = "cannot set completionTime when there is no Complete=True condition"
            yield FieldError.invalid(path, completed, text)
        if complete and not completed:
            yield FieldError.required(path, "completionTime is required for Complete jobs")
    moved = _changed(status, before, "startTime") or _changed(status, before, "completionTime")
    if moved and started and completed and completed < started:
        yield FieldError.invalid(path, completed, "must be equal to or after `startTime`")
    failing = _differs(status, before, "Failed") or _changed(status, before, "failedIndexes")
    if failing and failed and not _holds(status, "FailureTarget"):
        yield _conditions("cannot set Failed=True condition without the FailureTarget=true condition")
    completing = newly or _differs(status, before, "SuccessCriteriaMet")
    if completing and complete and not _holds(status, "SuccessCriteriaMet"):
        yield _conditions("cannot set Complete=True condition without the SuccessCriteriaMet=true condition")


def _finish(status: Tree, before: Tree, spec: Tree) -> Iterator[FieldError]:
    """What a job that has ended no longer has."""
    newly = _differs(status, before, "Complete", "Failed")
    active, ready = status.get("active") or 0, status.get("ready")
    if _holds(status, "Complete") or _holds(status, "Failed"):
        if active > 0 and (newly or _changed(status, before, "active")):
            yield FieldError.invalid("status.active", active, "active>0 is invalid for finished job")
        never_ran = spec.get("suspend") and spec.get("completions") == 0
        if not status.get("startTime") and not never_ran and (newly or _changed(status, before, "startTime")):
            yield FieldError.required("status.startTime", "startTime is required for finished job")
        pods = status.get("uncountedTerminatedPods") or {}
        if any(pods.values()) and (newly or _changed(status, before, "uncountedTerminatedPods")):
            shown = {"Succeeded": pods.get("succeeded"), "Failed": pods.get("failed")}
            yield FieldError.invalid("status.uncountedTerminatedPods", shown, "must be empty for finished job")
        terminating = status.get("terminating") or 0
        if terminating > 0 and (newly or _changed(status, before, "terminating")):
            yield FieldError.invalid("status.terminating", terminating, "terminating>0 is invalid for finished job")
    if (
        ready is not None
        and ready > active
        and (_changed(status, before, "ready") or _changed(status, before, "active"))
    ):
        yield FieldError.invalid("status.ready", ready, "cannot set more ready pods than active")


def _indexes(status: Tree, before: Tree, spec: Tree) -> Iterator[FieldError]:
    completed, failed = status.get("completedIndexes") or "", status.get("failedIndexes")
    completions = spec.get("completions")
    completed_changes = completed != (before.get("completedIndexes") or "")
    failed_changes = failed != before.get("failedIndexes")
    if completed_changes:
        yield from _parsed("completedIndexes", completed, completions)
    if failed_changes and failed is not None and spec.get("backoffLimitPerIndex") is not None:
        yield from _parsed("failedIndexes", failed, completions)
    if completed_changes and completed and spec.get("completionMode") != "Indexed":
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield FieldError.invalid("status.completedIndexes", completed, text)
    if failed is None:
        return
    if failed_changes and spec.get("backoffLimitPerIndex") is None:
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield FieldError.invalid("status.failedIndexes", failed, text)
    if (failed_changes or completed_changes) and completions is not None:
        both = common_index(completed, failed, completions)
        if both is not None:
            text = f"failedIndexes and completedIndexes overlap at index: {both}"
            yield FieldError.invalid("status.failedIndexes", failed, text)


def _parsed(field: str, text: str, completions: int | None) -> Iterator[FieldError]:
    try:
        parse_indexes(text, completions) if completions is not None else []
    except ValueError as exc:
        yield FieldError.invalid(f"status.{field}", text, f"error parsing {field}: {exc}")


def _success(status: Tree, before: Tree, spec: Tree) -> Iterator[FieldError]:
    """The verdict that comes before the job is complete."""
    met = _holds(status, "SuccessCriteriaMet")
    if met and _holds(status, "Failed"):
        yield _conditions("cannot set SuccessCriteriaMet=True and Failed=true conditions")
    if met and _holds(status, "FailureTarget"):
        yield _conditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
    if spec.get("successPolicy") is not None and not met and _holds(status, "Complete"):
        yield _conditions("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")


def _changes(status: Tree, before: Tree, spec: Tree) -> Iterator[FieldError]:
    for kind in ("Failed", "Complete", "FailureTarget"):
        if _holds(before, kind) and not _holds(status, kind):
            yield _conditions(f"cannot disable the terminal {kind}=True condition")
    scales = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for field in ("failed",) if scales else ("failed", "succeeded"):
        count = status.get(field) or 0
        if count < (before.get(field) or 0):
            yield FieldError.invalid(f"status.{field}", count, f"cannot decrease the {field} counter")
    completed, started = status.get("completionTime"), status.get("startTime")
    if completed and before.get("completionTime") and completed != before["completionTime"]:
        yield FieldError.invalid("status.completionTime", completed, "field is immutable")
    resumes = _holds(before, "Suspended") and _holds(status, "Suspended", "False")
    if before.get("startTime") and started != before["startTime"] and not spec.get("suspend") and not resumes:
        text = "field is immutable for unsuspended job once set"
        yield FieldError.invalid("status.startTime", started, text)
    had, has = _holds(before, "SuccessCriteriaMet"), _holds(status, "SuccessCriteriaMet")
    if had and not has:
        yield _conditions("cannot disable the SuccessCriteriaMet=True condition")
    if _holds(before, "Complete") and not had and has:
        yield _conditions("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions")
