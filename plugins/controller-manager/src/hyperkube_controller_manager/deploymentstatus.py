"""The status of a deployment, whose conditions `kubectl rollout status` reads. Computed from values.

Source: k8s.io/kubernetes/pkg/controller/deployment/{sync,progress}.go and its util package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hyperkube_controller_manager import conditions
from hyperkube_controller_manager.rollout import Wanted
from hyperkube_machinery import timestamps
from hyperkube_machinery.meta import generation, name

__all__ = [
    "condition",
    "has_deadline",
    "is_complete",
    "pause_conditions",
    "rollout_status",
    "seconds_to_deadline",
    "status_of",
]

_FOR_EVER = (1 << 31) - 1
_COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")

Tree = Mapping[str, Any]


def condition(kind: str, status: str, reason: str, message: str, now: float) -> dict[str, Any]:
    when = timestamps.format_seconds(now)
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": when,
        "lastTransitionTime": when,
        "reason": reason,
        "message": message,
    }


def has_deadline(deployment: Tree) -> bool:
    """Whether a rollout without progress is to be told of."""
    return deployment["spec"].get("progressDeadlineSeconds") not in (None, _FOR_EVER)


def _total(sets: Iterable[Tree], field: str) -> int:
    return sum((one.get("status") or {}).get(field) or 0 for one in sets)


def status_of(deployment: Tree, new: Tree | None, old: Sequence[Tree], now: float) -> dict[str, Any]:
    """What the replica sets add up to, with the condition Available; other conditions stay."""
    sets = [*old, *([new] if new is not None else [])]
    wanted = Wanted.of(deployment)
    current = deployment.get("status") or {}
    available = _total(sets, "availableReplicas")
    counts = {
        "observedGeneration": generation(deployment),
        "replicas": _total(sets, "replicas"),
        "updatedReplicas": _total([new] if new is not None else [], "replicas"),
        "readyReplicas": _total(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(one["spec"].get("replicas", 1) for one in sets) - available),
    }
    status: dict[str, Any] = {field: count for field, count in counts.items() if count}
    terminating = _terminating(sets)
    if terminating is not None:
        status["terminatingReplicas"] = terminating
    if current.get("collisionCount") is not None:
        status["collisionCount"] = current["collisionCount"]
    if available >= wanted.least_available:
        told = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        told = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    status["conditions"] = conditions.replaced(current.get("conditions"), condition("Available", *told, now))
    return status


def _terminating(sets: Sequence[Tree]) -> int | None:
    """How many pods are on their way out; None if a replica set does not tell."""
    total = 0
    for one in sets:
        status = one.get("status") or {}
        if status.get("terminatingReplicas") is not None:
            total += status["terminatingReplicas"]
        elif status.get("observedGeneration"):
            return None
    return total


def is_complete(deployment: Tree, status: Tree) -> bool:
    """Whether all pods are of the new version and available, and no old ones are left."""
    replicas = deployment["spec"].get("replicas", 1)
    fields = ("updatedReplicas", "replicas", "availableReplicas")
    current = (status.get("observedGeneration") or 0) >= generation(deployment)
    return current and all((status.get(field) or 0) == replicas for field in fields)


def _has_progressed(before: Tree, after: Tree) -> bool:
    """Whether there is more of the new or less of the old than `before`."""
    was = {field: before.get(field) or 0 for field in _COUNTS}
    now = {field: after.get(field) or 0 for field in _COUNTS}
    return (
        now["updatedReplicas"] > was["updatedReplicas"]
        or now["replicas"] - now["updatedReplicas"] < was["replicas"] - was["updatedReplicas"]
        or now["readyReplicas"] > was["readyReplicas"]
        or now["availableReplicas"] > was["availableReplicas"]
    )


def rollout_status(deployment: Tree, new: Tree | None, old: Sequence[Tree], now: float) -> dict[str, Any]:
    """The status during a rollout: `status_of`, and the conditions Progressing and ReplicaFailure."""
    status = status_of(deployment, new, old, now)
    if not has_deadline(deployment):
        status["conditions"] = conditions.without(status["conditions"], "Progressing")
    else:
        status["conditions"] = _with_progress(deployment, status, new, now)
    failure = _replica_failure(new, old)
    if failure is not None:
        status["conditions"] = conditions.replaced(status["conditions"], failure)
    else:
        status["conditions"] = conditions.without(status["conditions"], "ReplicaFailure")
    return status


def _with_progress(deployment: Tree, status: Tree, new: Tree | None, now: float) -> list[Tree]:
    held: list[Tree] = status["conditions"]
    current = conditions.find((deployment.get("status") or {}).get("conditions"), "Progressing")
    all_new = (status.get("replicas") or 0) == (status.get("updatedReplicas") or 0)
    if all_new and current is not None and current.get("reason") == "NewReplicaSetAvailable":
        return held  # no rollout is under way
    subject = f'ReplicaSet "{name(new)}"' if new is not None else f'Deployment "{name(deployment)}"'
    if is_complete(deployment, status):
        text = f"{subject} has successfully progressed."
        return conditions.replaced(held, condition("Progressing", "True", "NewReplicaSetAvailable", text, now))
    if _has_progressed(deployment.get("status") or {}, status):
        # Replaced even where status and reason stay: the time of the last progress is what the deadline counts from.
        progress = condition("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", now)
        if current is not None and current.get("status") == "True":
            progress["lastTransitionTime"] = current.get("lastTransitionTime")
        return [*conditions.without(held, "Progressing"), progress]
    if _is_late(deployment, held, now):
        text = f"{subject} has timed out progressing."
        return conditions.replaced(held, condition("Progressing", "False", "ProgressDeadlineExceeded", text, now))
    return held


def _is_late(deployment: Tree, held: Sequence[Tree], now: float) -> bool:
    current = conditions.find(held, "Progressing")
    if current is None or current.get("reason") == "NewReplicaSetAvailable":
        return False
    return current.get("reason") == "ProgressDeadlineExceeded" or _deadline(deployment, current) < now


def _deadline(deployment: Tree, progressing: Tree) -> float:
    updated = timestamps.parse(progressing["lastUpdateTime"]) if progressing.get("lastUpdateTime") else 0.0
    return updated + float(deployment["spec"]["progressDeadlineSeconds"])


def _replica_failure(new: Tree | None, old: Sequence[Tree]) -> Tree | None:
    """Why pods can't be made or deleted, by the new replica set first, else by the oldest one listed."""
    for one in [*([new] if new is not None else []), *old]:
        failure = conditions.find((one.get("status") or {}).get("conditions"), "ReplicaFailure")
        if failure is not None:
            return {**failure, "lastUpdateTime": failure.get("lastTransitionTime")}
    return None


def seconds_to_deadline(deployment: Tree, now: float) -> float | None:
    """When a deployment of which nothing is heard is to be looked at again; None is never."""
    status = deployment.get("status") or {}
    progressing = conditions.find(status.get("conditions"), "Progressing")
    if not has_deadline(deployment) or progressing is None:
        return None
    if is_complete(deployment, status) or progressing.get("reason") == "ProgressDeadlineExceeded":
        return None
    # Timestamps have no fractions, so that the deadline is surely over only a second later.
    return max(0.0, _deadline(deployment, progressing) - now) + 1


def pause_conditions(deployment: Tree, now: float) -> list[Tree] | None:
    """The conditions once pausing or resuming is told of; None if it is, or needs not be.

    A paused deployment makes no progress, so that resuming has to begin the deadline anew.
    """
    held = (deployment.get("status") or {}).get("conditions") or []
    current = conditions.find(held, "Progressing")
    reason = "" if current is None else current.get("reason")
    paused = bool(deployment["spec"].get("paused"))
    if not has_deadline(deployment) or reason == "ProgressDeadlineExceeded" or paused == (reason == "DeploymentPaused"):
        return None
    told = ("DeploymentPaused", "Deployment is paused") if paused else ("DeploymentResumed", "Deployment is resumed")
    return conditions.replaced(held, condition("Progressing", "Unknown", *told, now))
