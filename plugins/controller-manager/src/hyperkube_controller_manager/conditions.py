"""Conditions in the status of workloads.

Source: the condition helpers of k8s.io/kubernetes/pkg/controller/deployment/util and pkg/controller/replicaset.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["find", "replaced", "without"]

Condition = Mapping[str, Any]


def find(conditions: Iterable[Condition] | None, kind: str) -> Condition | None:
    """The condition of one type."""
    return next((one for one in conditions or () if one.get("type") == kind), None)


def without(conditions: Iterable[Condition] | None, kind: str) -> list[Condition]:
    """All conditions but that of one type."""
    return [one for one in conditions or () if one.get("type") != kind]


def replaced(conditions: Iterable[Condition] | None, condition: Condition) -> list[Condition]:
    """The conditions with `condition` as the last, unless one of its type has its status and reason already.

    The time of the last transition is kept where the status stays the same.
    """
    held = list(conditions or ())
    current = find(held, condition["type"])
    if current is not None and current.get("status") == condition["status"]:
        if current.get("reason") == condition.get("reason"):
            return held
        condition = {**condition, "lastTransitionTime": current.get("lastTransitionTime")}
    return [*without(held, condition["type"]), condition]
