"""Counting a job's pods, each once however often the controller dies in between.

A pod that ended is kept by a finalizer. First the status lists it as ended, then the finalizer goes, then the status
counts it and lists it no more: at every moment either the pod or the status tells of it. An index that succeeded is
simply in the list of completed indexes. Computed from values.
Source: k8s.io/kubernetes/pkg/controller/job/job_controller.go, trackJobStatusAndRemoveFinalizers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from hyperkube_controller_manager import conditions
from hyperkube_controller_manager.jobindexes import Indexes
from hyperkube_controller_manager.jobpods import has_failed, index_of, is_indexed
from hyperkube_controller_manager.jobpolicies import judged
from hyperkube_controller_manager.jobview import Ending, JobView
from hyperkube_controller_manager.podstates import phase
from hyperkube_machinery import timestamps
from hyperkube_machinery.meta import deletion_timestamp, uid

__all__ = ["Tally", "condition", "counted", "finished_status", "tallied", "with_condition"]

Tree = Mapping[str, Any]

_MOST_UNCOUNTED = 500  # pods that a status lists, so that it stays small, and no job makes others wait for long


def condition(kind: str, status: str, reason: str, message: str, now: float) -> dict[str, Any]:
    when = timestamps.format_seconds(now)
    told = {"type": kind, "status": status, "lastProbeTime": when, "lastTransitionTime": when}
    return {**told, "reason": reason, "message": message}


def with_condition(status: Tree, new: Tree) -> dict[str, Any]:
    """The status with the condition, unless it says the same already; what was never true isn't said to be false."""
    held = status.get("conditions") or []
    known = conditions.find(held, new["type"])
    if known is None:
        return dict(status) if new["status"] == "False" else {**status, "conditions": [*held, new]}
    if all((known.get(key) or "") == (new.get(key) or "") for key in ("status", "reason", "message")):
        return dict(status)
    return {**status, "conditions": [new if one is known else one for one in held]}


@dataclass(slots=True)
class Tally:
    """What to write before finalizers go, and whose."""

    status: dict[str, Any]
    release: list[Tree] = field(default_factory=list)
    is_full: bool = False  # more pods wait than fit into the status


def tallied(view: JobView, status: Tree, ending: Ending | None, now: float) -> Tally:
    """List the pods that ended in `status`; that of pods whose finalizer is gone already is counted first."""
    kept = {uid(pod) for pod in view.pods if view.is_pending(pod)}
    tally = Tally(counted(status, kept))
    uncounted = {which: list(uids) for which, uids in tally.status["uncountedTerminatedPods"].items()}
    new_indexes: set[int] = set()
    for pod in sorted(view.pods, key=_by_index):
        if not view.is_pending(pod) or not _may_go(view, pod, ending):
            continue
        tally.release.append(pod)
        if phase(pod) == "Succeeded" and uid(pod) not in uncounted.get("failed", ()):
            if not is_indexed(view.job):
                _list(uncounted, "succeeded", pod)
            elif (index := view.valid_index(pod)) is not None and index not in view.known_indexes:
                new_indexes.add(index)
        elif _counts_as_failed(view, pod, ending):
            _list(uncounted, "failed", pod)
        if len(new_indexes) + sum(len(uids) for uids in uncounted.values()) >= _MOST_UNCOUNTED:
            tally.is_full = True
            break
    tally.status["uncountedTerminatedPods"] = {which: uids for which, uids in uncounted.items() if uids}
    if is_indexed(view.job):
        tally.status = _with_indexes(view, tally.status, view.succeeded_indexes | Indexes.of(new_indexes))
    if ending is not None and ending.kind in ("FailureTarget", "SuccessCriteriaMet"):
        interim = condition(ending.kind, "True", ending.reason, ending.message, now)
        if conditions.find(status.get("conditions"), ending.kind) is None:
            tally.status = with_condition(tally.status, interim)
    return tally


def _by_index(pod: Tree) -> int:
    index = index_of(pod)
    return -1 if index is None else index


def _may_go(view: JobView, pod: Tree, ending: Ending | None) -> bool:
    """Whether nothing needs the pod any more."""
    if deletion_timestamp(view.job) is not None or ending is not None or phase(pod) == "Succeeded":
        return True
    if not has_failed(pod, view.job):
        return False
    index = index_of(pod)
    return index is None or view.kept_for_replacement.get(index) is not pod


def _counts_as_failed(view: JobView, pod: Tree, ending: Ending | None) -> bool:
    """Once a job has failed so has each of its pods that has not ended."""
    failed = has_failed(pod, view.job) or (ending is not None and not ending.succeeded)
    belongs = not is_indexed(view.job) or view.valid_index(pod) is not None
    return failed and belongs and judged(view.job, pod).counts


def _list(uncounted: dict[str, list[str]], which: str, pod: Tree) -> None:
    if uid(pod) not in uncounted.get(which, ()):
        uncounted.setdefault(which, []).append(uid(pod))


def _with_indexes(view: JobView, status: Tree, succeeded: Indexes) -> dict[str, Any]:
    counts = {"succeeded": len(succeeded), "completedIndexes": str(succeeded)}
    others = {key: value for key, value in status.items() if key not in counts}
    told: dict[str, Any] = {**others, **{key: value for key, value in counts.items() if value}}
    return told if view.failed_indexes is None else {**told, "failedIndexes": str(view.failed_indexes)}


def counted(status: Tree, kept: Collection[str]) -> dict[str, Any]:
    """The status with those that it lists and that are not `kept` (by UID) by a finalizer counted instead."""
    result = dict(status)
    left: dict[str, list[str]] = {}
    for which in ("succeeded", "failed"):
        listed = (status.get("uncountedTerminatedPods") or {}).get(which) or []
        staying = [one for one in listed if one in kept]
        if len(staying) < len(listed):
            result[which] = (status.get(which) or 0) + len(listed) - len(staying)
        if staying:
            left[which] = staying
    result["uncountedTerminatedPods"] = left
    return result


def finished_status(status: Tree, ending: Ending, now: float) -> dict[str, Any] | None:
    """The status of a job that is over; None while pods are still to be counted or to end."""
    if any((status.get("uncountedTerminatedPods") or {}).values()) or status.get("terminating"):
        return None
    final = ending.final
    result = with_condition(status, condition(final.kind, "True", final.reason, final.message, now))
    if final.kind == "Complete":
        result["completionTime"] = timestamps.format_seconds(now)
    return result
