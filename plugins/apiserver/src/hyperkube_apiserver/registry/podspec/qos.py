"""The quality-of-service class of a pod. Source: k8s.io/kubernetes/pkg/apis/core/helper/qos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_machinery.quantity import Quantity

__all__ = ["qos_class"]

_COUNTED = ("cpu", "memory")


def qos_class(spec: Mapping[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort, by what the containers, or the pod, request and are limited to."""
    if spec.get("resources"):
        parts = [spec["resources"]]
    else:
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        parts = [container.get("resources") or {} for container in containers]
    requests, limits = _sum(parts, "requests"), _sum(parts, "limits")
    if not requests and not limits:
        return "BestEffort"
    bounded = all(set(_COUNTED) <= set(_amounts(part.get("limits") or {})) for part in parts)
    equal = len(requests) == len(limits) and all(limits.get(name) == amount for name, amount in requests.items())
    return "Guaranteed" if bounded and equal else "Burstable"


def _amounts(amounts: Mapping[str, str]) -> dict[str, Quantity]:
    parsed = {name: Quantity.parse(amounts[name]) for name in _COUNTED if name in amounts}
    return {name: amount for name, amount in parsed.items() if amount.nano > 0}


def _sum(parts: list[Mapping[str, Any]], field: str) -> dict[str, Quantity]:
    total: dict[str, Quantity] = {}
    for part in parts:
        for name, amount in _amounts(part.get(field) or {}).items():
            total[name] = total[name] + amount if name in total else amount
    return total
