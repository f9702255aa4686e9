"""One look at a job and its pods: what is counted, whether it is over, and which pods come and go. From values alone.

Source: k8s.io/kubernetes/pkg/controller/job/job_controller.go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hyperkube_controller_manager import conditions
from hyperkube_controller_manager.deletionorder import active_order
from hyperkube_controller_manager.jobindexes import NO_INDEXES, Indexes, first_free
from hyperkube_controller_manager.jobpods import (
    failures_at_index,
    has_failed,
    index_of,
    is_indexed,
    is_tracked,
    limit_per_index,
    only_replaces_failed,
    pause_seconds,
    restarts,
    when_ended,
)
from hyperkube_controller_manager.jobpolicies import judged, success_rule
from hyperkube_controller_manager.podstates import is_active, is_ready, is_terminating, phase
from hyperkube_machinery import timestamps
from hyperkube_machinery.meta import uid

__all__ = ["Ending", "JobView", "Staffing", "ending_of", "is_finished", "seconds_to_deadline", "staffing"]

Tree = Mapping[str, Any]

_BURST = 500  # pods that one look makes or deletes


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a job is over: the condition that says so."""

    kind: str  # SuccessCriteriaMet and FailureTarget come first; Complete and Failed when all pods have ended
    reason: str
    message: str

    @property
    def succeeded(self) -> bool:
        return self.kind in ("SuccessCriteriaMet", "Complete")

    @property
    def final(self) -> Ending:
        """The condition of the job when its pods have ended too."""
        return Ending("Complete" if self.succeeded else "Failed", self.reason, self.message)


def holds(job: Tree, kind: str) -> bool:
    return (conditions.find((job.get("status") or {}).get("conditions"), kind) or {}).get("status") == "True"


def is_finished(job: Tree) -> bool:
    return holds(job, "Complete") or holds(job, "Failed")


@dataclass(frozen=True)
class JobView:
    """A job and its pods. `released` are pods (by UID) that are counted, though the cache may not show it yet."""

    job: Tree
    pods: Sequence[Tree]
    released: Collection[str] = ()

    def count(self) -> None:
        """Find out now what is kept once it was asked for, and takes long where there are many pods."""
        _ = self.active, self.ready, self.terminating, self.succeeded, self.failed
        _ = self.kept_for_replacement, self.taken_indexes if is_indexed(self.job) else None

    @property
    def spec(self) -> Tree:
        return self.job["spec"]  # type: ignore[no-any-return]

    @property
    def status(self) -> Tree:
        return self.job.get("status") or {}

    @property
    def completions(self) -> int | None:
        return self.spec.get("completions")

    @property
    def suspended(self) -> bool:
        return bool(self.spec.get("suspend"))

    @cached_property
    def active(self) -> list[Tree]:
        return [pod for pod in self.pods if is_active(pod)]

    @cached_property
    def ready(self) -> int:
        return sum(is_ready(pod) for pod in self.active)

    @cached_property
    def terminating(self) -> int:
        return sum(is_terminating(pod) for pod in self.pods)

    def uncounted(self, which: str) -> list[str]:
        """The pods, by UID, that the status lists as ended (`succeeded` or `failed`), and does not count yet."""
        return (self.status.get("uncountedTerminatedPods") or {}).get(which) or []

    def valid_index(self, pod: Tree) -> int | None:
        """The pod's index, if it is one of the job's."""
        index = index_of(pod)
        return index if index is not None and index < (self.completions or 0) else None

    def is_pending(self, pod: Tree) -> bool:
        """Whether the pod, when it ends, is still to be counted."""
        return is_tracked(pod) and uid(pod) not in self.released

    def _newly(self, ended: Callable[[Tree], bool], counted: Iterable[str]) -> list[Tree]:
        known = set(counted)
        return [
            pod
            for pod in self.pods
            if self.is_pending(pod)
            and uid(pod) not in known
            and (not is_indexed(self.job) or self.valid_index(pod) is not None)
            and ended(pod)
        ]

    @cached_property
    def newly_succeeded(self) -> list[Tree]:
        return self._newly(lambda pod: phase(pod) == "Succeeded", self.uncounted("succeeded"))

    @cached_property
    def newly_failed(self) -> list[Tree]:
        return self._newly(lambda pod: has_failed(pod, self.job), self.uncounted("failed"))

    @cached_property
    def succeeded(self) -> int:
        if is_indexed(self.job):
            return len(self.succeeded_indexes)
        return (self.status.get("succeeded") or 0) + len(self.newly_succeeded) + len(self.uncounted("succeeded"))

    @cached_property
    def failed(self) -> int:
        counted = sum(judged(self.job, pod).counts for pod in self.newly_failed)
        return (self.status.get("failed") or 0) + counted + len(self.uncounted("failed"))

    @cached_property
    def known_indexes(self) -> Indexes:
        """The indexes that the status lists as succeeded."""
        return Indexes.parse(self.status.get("completedIndexes") or "", self.completions or 0)

    @cached_property
    def succeeded_indexes(self) -> Indexes:
        found = (self.valid_index(pod) for pod in self.pods if phase(pod) == "Succeeded" and is_tracked(pod))
        return self.known_indexes | Indexes.of({index for index in found if index is not None})

    @cached_property
    def failed_indexes(self) -> Indexes | None:
        """The indexes that have failed too often; None where they have no limit of their own."""
        if not is_indexed(self.job) or limit_per_index(self.job) is None:
            return None
        found = (self.valid_index(pod) for pod in self.pods if is_tracked(pod) and self._fails_its_index(pod))
        known = Indexes.parse(self.status.get("failedIndexes") or "", self.completions or 0)
        return known | Indexes.of({index for index in found if index is not None})

    def _fails_its_index(self, pod: Tree) -> bool:
        if not has_failed(pod, self.job):
            return False
        verdict = judged(self.job, pod)
        limit = limit_per_index(self.job) or 0
        return verdict.action == "FailIndex" or (verdict.counts and failures_at_index(pod, ignored=False) >= limit)

    @cached_property
    def kept_for_replacement(self) -> dict[int, Tree]:
        """Failed pods, by index, that stay until another takes their place: it has to go on counting from theirs."""
        if self.failed_indexes is None:
            return {}
        done = self.succeeded_indexes | self.failed_indexes | Indexes.of(self._indexes(self.active))
        kept: dict[int, Tree] = {}
        for pod in self.pods:
            index = self.valid_index(pod)
            if index is None or index in done or not self.is_pending(pod) or not has_failed(pod, self.job):
                continue
            if index not in kept or _failed_later(pod, kept[index]):
                kept[index] = pod
        return kept

    @staticmethod
    def _indexes(pods: Iterable[Tree]) -> set[int]:
        return {index for pod in pods if (index := index_of(pod)) is not None}

    @cached_property
    def taken_indexes(self) -> Indexes:
        """The indexes for which no pod is to be made."""
        taken = self.succeeded_indexes | Indexes.of(self._indexes(self.active))
        if only_replaces_failed(self.job):
            taken |= Indexes.of(self._indexes(pod for pod in self.pods if is_terminating(pod)))
        return taken | (self.failed_indexes or NO_INDEXES)


def _failed_later(pod: Tree, other: Tree) -> bool:
    failures, other_failures = failures_at_index(pod, ignored=True), failures_at_index(other, ignored=True)
    return other_failures <= failures and when_ended(pod) >= when_ended(other)


def ending_of(view: JobView, now: float) -> Ending | None:
    """Why the job is over, if it is for another reason than that all is done.

    What an earlier look has found stands. Then failure goes before success.
    """
    for kind, becomes in (("SuccessCriteriaMet", "SuccessCriteriaMet"), ("FailureTarget", "Failed")):
        known = conditions.find(view.status.get("conditions"), kind)
        if known is not None and known.get("status") == "True":
            return Ending(becomes, known.get("reason") or "", known.get("message") or "")
    return _failure(view, now) or _early_success(view)


def _failure(view: JobView, now: float) -> Ending | None:
    for pod in view.pods:
        if has_failed(pod, view.job) and (message := judged(view.job, pod).fails_job):
            return Ending("FailureTarget", "PodFailurePolicy", message)
    if view.failed > view.spec.get("backoffLimit", 6) or _restarted_too_often(view):
        return Ending("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = seconds_to_deadline(view, now)
    if left is not None and left <= 0:
        return Ending("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
    return _failed_indexes(view)


def _restarted_too_often(view: JobView) -> bool:
    if (view.spec["template"].get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    count, limit = restarts(view.pods), view.spec.get("backoffLimit", 6)
    return count >= limit if limit else count > 0


def _failed_indexes(view: JobView) -> Ending | None:
    failed, most = view.failed_indexes, view.spec.get("maxFailedIndexes")
    if failed is None or not len(failed):
        return None
    if most is not None and len(failed) > most:
        text = "Job has exceeded the specified maximal number of failed indexes"
        return Ending("FailureTarget", "MaxFailedIndexesExceeded", text)
    if len(failed) + len(view.succeeded_indexes) >= (view.completions or 0):
        return Ending("FailureTarget", "FailedIndexes", "Job has failed indexes")
    return None


def _early_success(view: JobView) -> Ending | None:
    rule = success_rule(view.job, view.succeeded_indexes) if is_indexed(view.job) else None
    return None if rule is None else Ending("SuccessCriteriaMet", "SuccessPolicy", f"Matched rules at index {rule}")


def seconds_to_deadline(view: JobView, now: float) -> float | None:
    """How long the job may go on; None if it has no deadline, or stands still."""
    limit, started = view.spec.get("activeDeadlineSeconds"), view.status.get("startTime")
    if limit is None or not started or view.suspended:
        return None
    return float(timestamps.parse(started) + limit - now)


@dataclass(frozen=True, slots=True)
class Staffing:
    """Which pods go, or how many come: never both, as going makes room that has to be seen first."""

    delete: list[Tree] = field(default_factory=list)
    create: list[int | None] = field(default_factory=list)  # indexes, or None where pods have none
    wait: float = 0.0  # seconds before pods that are missing may be made


def staffing(view: JobView, pause: float, now: float) -> Staffing:
    """`pause` is how long not to make pods because others failed a moment ago (where indexes do not count alone)."""
    if view.suspended:
        return Staffing(delete=_superfluous(view, len(view.active)))
    wanted = _wanted(view)
    superfluous = _superfluous(view, max(0, len(view.active) - wanted))
    if superfluous:
        return Staffing(delete=superfluous[:_BURST])
    going = view.terminating if only_replaces_failed(view.job) else 0
    missing = min(wanted - going - len(view.active), _BURST)
    if missing <= 0:
        return Staffing()
    if view.failed_indexes is not None:
        return _by_own_pauses(view, first_free(view.taken_indexes, view.completions or 0, missing), now)
    if pause > 0:
        return Staffing(wait=pause)
    if is_indexed(view.job):
        return Staffing(create=[*first_free(view.taken_indexes, view.completions or 0, missing)])
    return Staffing(create=[None] * missing)


def _wanted(view: JobView) -> int:
    parallelism: int = view.spec.get("parallelism", 1)
    if view.completions is None:
        return len(view.active) if view.succeeded else parallelism
    return max(0, min(view.completions - view.succeeded, parallelism))


def _by_own_pauses(view: JobView, indexes: Iterable[int], now: float) -> Staffing:
    """Those of the indexes that have waited long enough since they failed; if none has, how long the first must."""
    ready: list[int | None] = []
    pauses: list[float] = []
    for index in indexes:
        failed = view.kept_for_replacement.get(index)
        failures = 0 if failed is None else failures_at_index(failed, ignored=True) + 1
        pause = 0.0 if failed is None else pause_seconds(failures, when_ended(failed), now)
        if pause > 0:
            pauses.append(pause)
        else:
            ready.append(index)
    return Staffing(create=ready) if ready else Staffing(wait=min(pauses, default=0.0))


def _superfluous(view: JobView, least: int) -> list[Tree]:
    """At least so many of the active pods, those that are furthest from being done first; and all duplicates."""
    surplus, left = _duplicates(view) if is_indexed(view.job) else ([], view.active)
    return surplus + sorted(left, key=active_order)[: max(0, least - len(surplus))]


def _duplicates(view: JobView) -> tuple[list[Tree], list[Tree]]:
    by_index: dict[int, list[Tree]] = {}
    surplus: list[Tree] = []
    for pod in view.active:
        index = view.valid_index(pod)
        if index is None:
            surplus.append(pod)
        else:
            by_index.setdefault(index, []).append(pod)
    left = []
    for _, pods in sorted(by_index.items()):
        *others, best = sorted(pods, key=active_order)
        surplus += others
        left.append(best)
    return surplus, left
