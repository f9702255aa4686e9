"""Disruption budgets: how many pods there must be, how many are well, and how many may be taken away.

Source: k8s.io/kubernetes/pkg/controller/disruption and k8s.io/component-helpers/apps/poddisruptionbudget.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.podstates import condition_of, is_ready, is_terminal
from hyperkube_controller_manager.rollout import resolved
from hyperkube_machinery import meta, timestamps

__all__ = ["budget_status", "counts", "disrupted_since", "failed_status", "needs_scale", "stale_disruption"]

Tree = Mapping[str, Any]

DELETION_SECONDS = 120.0
"""An eviction that was granted and did not delete its pod within this time is taken to have failed."""

_CONDITION = "DisruptionAllowed"


def needs_scale(budget: Tree) -> bool:
    """Whether the budget is about a part of all pods that should be, rather than of those that are."""
    spec = budget.get("spec") or {}
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def counts(budget: Tree, pods: int, scale: int) -> tuple[int, int]:
    """How many pods are expected, and how many of them must be well. Raises ValueError for what is no amount."""
    spec = budget.get("spec") or {}
    if spec.get("maxUnavailable") is not None:
        return scale, max(scale - resolved(spec["maxUnavailable"], scale, up=True), 0)
    least = spec.get("minAvailable")
    if isinstance(least, str):
        return scale, resolved(least, scale, up=True)
    return (pods, least) if least is not None else (0, 0)


def disrupted_since(budget: Tree, pods: Iterable[Tree], now: float) -> tuple[dict[str, str], list[Tree], float | None]:
    """The pods whose eviction was granted and is still to be seen, those that it failed for, and when to look again."""
    noted = (budget.get("status") or {}).get("disruptedPods") or {}
    awaited: dict[str, str] = {}
    failed: list[Tree] = []
    waits: list[float] = []
    for pod in pods:
        since = noted.get(meta.name(pod))
        if since is None or meta.deletion_timestamp(pod) is not None:
            continue
        left = timestamps.parse(since) + DELETION_SECONDS - now
        if left < 0:
            failed.append(pod)
        else:
            awaited[meta.name(pod)] = since
            waits.append(left)
    return awaited, failed, min(waits, default=None)


def budget_status(
    budget: Tree, pods: Sequence[Tree], counted: tuple[int, int], awaited: Mapping[str, str], now: str
) -> dict[str, Any] | None:
    """The status that the budget should have; None if it has it."""
    expected, desired = counted
    healthy = sum(
        is_ready(pod) for pod in pods if meta.deletion_timestamp(pod) is None and meta.name(pod) not in awaited
    )
    # Without an expected pod none may go: the first may be about to come.
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    before = budget.get("status") or {}
    generation = meta.generation(budget)
    reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "conditions": _conditions(before, *reason, "", generation, now),
    }
    if awaited:
        status["disruptedPods"] = dict(awaited)
    return None if status == before else status


def failed_status(budget: Tree, why: str, now: str) -> dict[str, Any]:
    """The status of a budget that could not be counted: nothing may be taken away."""
    before = budget.get("status") or {}
    generation = before.get("observedGeneration") or 0
    conditions = _conditions(before, "False", "SyncFailed", why, generation, now)
    return {**before, "disruptionsAllowed": 0, "conditions": conditions}


def _conditions(before: Tree, status: str, reason: str, message: str, generation: int, now: str) -> list[Tree]:
    listed = list(before.get("conditions") or ())
    at = next((index for index, one in enumerate(listed) if one.get("type") == _CONDITION), len(listed))
    old = listed[at] if at < len(listed) else {}
    since = old.get("lastTransitionTime") if old.get("status") == status else now
    condition: dict[str, Any] = {"type": _CONDITION, "status": status}
    if generation:
        condition["observedGeneration"] = generation
    listed[at : at + 1] = [{**condition, "lastTransitionTime": since, "reason": reason, "message": message}]
    return listed


def stale_disruption(pod: Tree, now: float) -> float | None:
    """Seconds until the pod may be said to stay after all, although it was to be disrupted; None if it was not."""
    if meta.deletion_timestamp(pod) is not None or is_terminal(pod):
        return None
    condition = condition_of(pod, "DisruptionTarget")
    if condition is None or condition.get("status") != "True" or condition.get("reason") == "TerminationByKubelet":
        return None
    since = condition.get("lastTransitionTime")
    return max(timestamps.parse(since) + DELETION_SECONDS - now, 0.0) if since else 0.0
