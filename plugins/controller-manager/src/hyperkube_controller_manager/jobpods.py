"""What a job asks of its pods: their indexes, when they ended, and what a new one looks like. Computed from values.

Source: k8s.io/kubernetes/pkg/controller/job/{job_controller,indexed_job_utils,backoff_utils}.go.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.jobpolicies import judged
from hyperkube_controller_manager.podstates import condition_of, creation_time, phase
from hyperkube_controller_manager.templates import pod_from
from hyperkube_machinery import timestamps
from hyperkube_machinery.meta import annotations_of, deletion_timestamp, finalizers, metadata, name

__all__ = [
    "INDEX",
    "TRACKING",
    "failures_at_index",
    "has_failed",
    "index_of",
    "is_indexed",
    "is_tracked",
    "job_pod",
    "limit_per_index",
    "only_replaces_failed",
    "pause_seconds",
    "restarts",
    "when_ended",
]

Tree = Mapping[str, Any]

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
_FAILURES = "batch.kubernetes.io/job-index-failure-count"
_IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
_INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
_LONGEST_PREFIX = 58  # of a generated name
_FIRST_PAUSE_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 600.0


def is_indexed(job: Tree) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def limit_per_index(job: Tree) -> int | None:
    """How often each index may fail, where each has its own limit."""
    return job["spec"].get("backoffLimitPerIndex")  # type: ignore[no-any-return]


def only_replaces_failed(job: Tree) -> bool:
    """Whether a pod that is being deleted is replaced only once it has ended."""
    return job["spec"].get("podReplacementPolicy") == "Failed" or job["spec"].get("podFailurePolicy") is not None


def is_tracked(pod: Tree) -> bool:
    """Whether the pod is kept until its end is counted."""
    return TRACKING in finalizers(pod)


def index_of(pod: Tree) -> int | None:
    return _number(annotations_of(pod).get(INDEX, ""))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text) < 1 << 31 else None


def has_failed(pod: Tree, job: Tree) -> bool:
    """A pod that was deleted counts as failed too, as it may never come to tell how it ended."""
    if phase(pod) == "Failed":
        return True
    if only_replaces_failed(job):
        return False
    return deletion_timestamp(pod) is not None and phase(pod) != "Succeeded"


def failures_at_index(pod: Tree, *, ignored: bool) -> int:
    """How often the pod's index had failed before; `ignored` adds the failures that did not count."""
    annotations = annotations_of(pod)
    counted = _number(annotations.get(_FAILURES, "")) or 0
    return counted + (_number(annotations.get(_IGNORED_FAILURES, "")) or 0 if ignored else 0)


def when_ended(pod: Tree) -> float:
    """When the pod ended, in seconds since the epoch, as well as can be told."""
    status = pod.get("status") or {}
    sidecars = _sidecars(pod)
    started = [one for one in status.get("initContainerStatuses") or () if one.get("name") in sidecars]
    times = [_finished(one) for one in [*(status.get("containerStatuses") or ()), *started]]
    known = [time for time in times if time is not None]
    if known and len(known) == len(times):
        return max(known)
    ready = condition_of(pod, "Ready") or {}
    if ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return timestamps.parse(ready["lastTransitionTime"])
    deleted = deletion_timestamp(pod)
    if deleted is not None:
        return timestamps.parse(deleted) - (metadata(pod).get("deletionGracePeriodSeconds") or 0)
    return creation_time(pod) or 0.0


def _sidecars(pod: Tree) -> set[str]:
    containers = (pod.get("spec") or {}).get("initContainers") or ()
    return {one["name"] for one in containers if one.get("restartPolicy") == "Always"}


def _finished(status: Tree) -> float | None:
    finished = ((status.get("state") or {}).get("terminated") or {}).get("finishedAt")
    return timestamps.parse(finished) if finished else None


def pause_seconds(failures: int, last: float, now: float) -> float:
    """How long to wait before another try after so many failures in a row, the last at `last`."""
    if failures == 0:
        return 0.0
    pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 16), _LONGEST_PAUSE_SECONDS)
    return max(0.0, last + pause - now)


def job_pod(job: Tree, reference: Tree, index: int | None, replaced: Tree | None) -> dict[str, Any]:
    """A new pod; of an indexed job the one of `index`, which goes on counting the failures of `replaced`."""
    pod = pod_from(job["spec"]["template"], job, reference)
    meta = pod["metadata"]
    meta["finalizers"] = list(dict.fromkeys([*(meta.get("finalizers") or ()), TRACKING]))
    if index is None:
        return pod
    spec = pod["spec"]
    for containers in ("initContainers", "containers"):
        if spec.get(containers):
            spec[containers] = [_told_its_index(container) for container in spec[containers]]
    spec["hostname"] = f"{name(job)}-{index}"
    suffix = f"-{index}-"
    meta["generateName"] = name(job)[: _LONGEST_PREFIX - len(suffix)] + suffix
    meta["labels"] = {**(meta.get("labels") or {}), INDEX: str(index)}
    meta["annotations"] = {**(meta.get("annotations") or {}), INDEX: str(index), **_failure_counts(job, replaced)}
    return pod


def _told_its_index(container: Tree) -> dict[str, Any]:
    variables = container.get("env") or []
    if any(variable.get("name") == _INDEX_VARIABLE for variable in variables):
        return dict(container)
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    return {**container, "env": [*copy.deepcopy(variables), {"name": _INDEX_VARIABLE, "valueFrom": source}]}


def _failure_counts(job: Tree, replaced: Tree | None) -> dict[str, str]:
    if limit_per_index(job) is None:
        return {}
    if replaced is None:
        return {_FAILURES: "0"}
    counted = failures_at_index(replaced, ignored=False)
    ignored = failures_at_index(replaced, ignored=True) - counted
    if judged(job, replaced).counts:
        counted += 1
    else:
        ignored += 1
    return {_FAILURES: str(counted), **({_IGNORED_FAILURES: str(ignored)} if ignored else {})}


def restarts(pods: Iterable[Tree]) -> int:
    """How often containers of pods that have not ended were restarted."""
    total = 0
    for pod in pods:
        if phase(pod) in ("Pending", "Running"):
            status = pod.get("status") or {}
            statuses: Sequence[Tree] = [
                *(status.get("initContainerStatuses") or ()),
                *(status.get("containerStatuses") or ()),
            ]
            total += sum(one.get("restartCount") or 0 for one in statuses)
    return total
