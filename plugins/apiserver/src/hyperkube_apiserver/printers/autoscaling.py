"""Rows of HorizontalPodAutoscalers, as autoscaling/v2 has them.

Source: k8s.io/kubernetes/pkg/printers/internalversion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperkube_apiserver.printers.cells import NONE, UNSET, Tree, age, name

__all__ = ["horizontal_pod_autoscaler"]

_SHOWN = 2
_UNKNOWN = "<unknown>"
_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def horizontal_pod_autoscaler(obj: Tree, now: float) -> list[Any]:
    """Name, Reference, Targets, MinPods, MaxPods, Replicas, Age."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    target = spec.get("scaleTargetRef") or {}
    fewest = spec.get("minReplicas")
    return [
        name(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _targets(spec.get("metrics") or (), status.get("currentMetrics") or ()),
        UNSET if fewest is None else str(fewest),
        spec.get("maxReplicas") or 0,
        status.get("currentReplicas") or 0,
        age(obj, now),
    ]


def _targets(metrics: Sequence[Tree], statuses: Sequence[Tree]) -> str:
    """Current values and targets of the first metrics."""
    if not metrics:
        return NONE
    listed = [_target(metric, statuses[index] if index < len(statuses) else {}) for index, metric in enumerate(metrics)]
    more = len(listed) - _SHOWN
    shown = ", ".join(listed[:_SHOWN])
    return f"{shown} + {more} more..." if more > 0 else shown


def _target(metric: Tree, status: Tree) -> str:
    kind = metric.get("type") or ""
    if kind not in _SOURCES:
        return "<unknown type>"
    source, said = metric.get(_SOURCES[kind]) or {}, status.get(_SOURCES[kind])
    target, current = source.get("target") or {}, (said or {}).get("current") or {}
    average = target.get("averageValue")
    if kind in ("Resource", "ContainerResource"):
        if average is not None:
            now = _UNKNOWN if said is None else _amount(current.get("averageValue"))
            return f"{source.get('name', '')}: {now}/{average}"
        use = _percent(current.get("averageUtilization"), _UNKNOWN)
        return f"{source.get('name', '')}: {use}/{_percent(target.get('averageUtilization'), '<auto>')}"
    if kind == "Pods":
        return f"{_UNKNOWN if said is None else _amount(current.get('averageValue'))}/{_amount(average)}"
    if average is not None:
        return f"{current.get('averageValue') or _UNKNOWN}/{average} (avg)"
    return f"{_UNKNOWN if said is None else _amount(current.get('value'))}/{_amount(target.get('value'))}"


def _amount(value: str | None) -> str:
    return "<nil>" if value is None else value


def _percent(value: int | None, absent: str) -> str:
    return absent if value is None else f"{value}%"
