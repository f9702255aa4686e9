"""The quality-of-service class of a pod. Source: k8s.io/kubernetes/pkg/apis/core/helper/qos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hyperkube_machinery.quantity import Quantity

__all__ = ["qos_class"]

_Amounts = tuple[int, int]  # billionths of a core and of a byte; 0 where nothing is said


def qos_class(spec: Mapping[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort, by what the containers, or the pod, request and are limited to."""
    if spec.get("resources"):
        parts = [spec["resources"]]
    else:
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        parts = [container.get("resources") or {} for container in containers]
    requests = [_amounts(part.get("requests")) for part in parts]
    limits = [_amounts(part.get("limits")) for part in parts]
    if not any(map(any, requests)) and not any(map(any, limits)):
        return "BestEffort"
    return "Guaranteed" if all(map(all, limits)) and _sum(requests) == _sum(limits) else "Burstable"


def _amounts(told: Mapping[str, str] | None) -> _Amounts:
    return (_billionths(told.get("cpu")), _billionths(told.get("memory"))) if told else (0, 0)


def _billionths(amount: str | None) -> int:
    return max(Quantity.parse(amount).nano, 0) if amount else 0


def _sum(amounts: Iterable[_Amounts]) -> list[int]:
    return [sum(each) for each in zip(*amounts, strict=True)]
