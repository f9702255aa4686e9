"""HorizontalPodAutoscalers of autoscaling/v1, which are stored as v2.

v1 has a field for one metric, the utilization of CPU. All else that v2 can say stands in annotations, as JSON of types
that no API serves: `_TYPES` tells of them. An annotation that can't be read is ignored, and lost.
Source: k8s.io/kubernetes/pkg/apis/autoscaling/v1/conversion.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson

from hyperkube_machinery.encoding import encode
from hyperkube_machinery.quantity import Quantity
from hyperkube_machinery.schema import Schemas, Walker, WrongType
from hyperkube_machinery.schema.table import OMITTED, WRITTEN, load_table

__all__ = ["HorizontalPodAutoscalerV1"]

Tree = dict[str, Any]

DEFAULT_UTILIZATION = 80

_ANNOTATION = "autoscaling.alpha.kubernetes.io/"
_METRICS, _CURRENT = _ANNOTATION + "metrics", _ANNOTATION + "current-metrics"
_BEHAVIOR, _CONDITIONS = _ANNOTATION + "behavior", _ANNOTATION + "conditions"
_OURS = frozenset(
    {
        *(_METRICS, _CURRENT, _BEHAVIOR, _CONDITIONS),
        *(_ANNOTATION + "scale-down-tolerance", _ANNOTATION + "scale-up-tolerance"),
    }
)

_SELECTOR = "*io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"
_REFERENCE = "io.k8s.api.autoscaling.v1.CrossVersionObjectReference"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.Time"
_SOURCES = ("object", "pods", "resource", "containerResource", "external")


def _struct(*fields: str) -> tuple[tuple[str, str, int], ...]:
    """Fields from `name type`, in the order in which they are written; `name?` only if it holds something."""
    split = (field.split(" ") for field in fields)
    return tuple((name.removesuffix("?"), type_, OMITTED if name.endswith("?") else WRITTEN) for name, type_ in split)


_TYPES = {
    "MetricSpec": _struct("type string", *(f"{name}? *{name}Source" for name in _SOURCES)),
    "objectSource": _struct(
        f"target {_REFERENCE}",
        "metricName string",
        f"targetValue {_QUANTITY}",
        f"selector? {_SELECTOR}",
        f"averageValue? *{_QUANTITY}",
    ),
    "podsSource": _struct("metricName string", f"targetAverageValue {_QUANTITY}", f"selector? {_SELECTOR}"),
    "resourceSource": _struct("name string", "targetAverageUtilization? *int32", f"targetAverageValue? *{_QUANTITY}"),
    "containerResourceSource": _struct(
        "name string", "targetAverageUtilization? *int32", f"targetAverageValue? *{_QUANTITY}", "container string"
    ),
    "externalSource": _struct(
        "metricName string",
        f"metricSelector? {_SELECTOR}",
        f"targetValue? *{_QUANTITY}",
        f"targetAverageValue? *{_QUANTITY}",
    ),
    "MetricStatus": _struct("type string", *(f"{name}? *{name}Status" for name in _SOURCES)),
    "objectStatus": _struct(
        f"target {_REFERENCE}",
        "metricName string",
        f"currentValue {_QUANTITY}",
        f"selector? {_SELECTOR}",
        f"averageValue? *{_QUANTITY}",
    ),
    "podsStatus": _struct("metricName string", f"currentAverageValue {_QUANTITY}", f"selector? {_SELECTOR}"),
    "resourceStatus": _struct("name string", "currentAverageUtilization? *int32", f"currentAverageValue {_QUANTITY}"),
    "containerResourceStatus": _struct(
        "name string", "currentAverageUtilization? *int32", f"currentAverageValue {_QUANTITY}", "container string"
    ),
    "externalStatus": _struct(
        "metricName string",
        f"metricSelector? {_SELECTOR}",
        f"currentValue {_QUANTITY}",
        f"currentAverageValue? *{_QUANTITY}",
    ),
    # An internal type without names for JSON.
    "Behavior": _struct("ScaleUp *Rules", "ScaleDown *Rules"),
    "Rules": _struct(
        "StabilizationWindowSeconds *int32", "SelectPolicy *string", "Policies []Policy", f"Tolerance *{_QUANTITY}"
    ),
    "Policy": _struct("Type string", "Value int32", "PeriodSeconds int32"),
    "Metrics": _struct("items []MetricSpec"),
    "CurrentMetrics": _struct("items []MetricStatus"),
    "Conditions": _struct("items []io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerCondition"),
}
# What a field of v1 is called in v2: name, selector and described object alike, the rest in `target` and `current`.
_TARGETS = {
    "object": {"targetValue": "value", "averageValue": "averageValue"},
    "pods": {"targetAverageValue": "averageValue"},
    "resource": {"targetAverageUtilization": "averageUtilization", "targetAverageValue": "averageValue"},
    "containerResource": {"targetAverageUtilization": "averageUtilization", "targetAverageValue": "averageValue"},
    "external": {"targetValue": "value", "targetAverageValue": "averageValue"},
}
_CURRENTS = {
    "object": {"currentValue": "value", "averageValue": "averageValue"},
    "pods": {"currentAverageValue": "averageValue"},
    "resource": {"currentAverageUtilization": "averageUtilization", "currentAverageValue": "averageValue"},
    "containerResource": {"currentAverageUtilization": "averageUtilization", "currentAverageValue": "averageValue"},
    "external": {"currentValue": "value", "currentAverageValue": "averageValue"},
}


class HorizontalPodAutoscalerV1:
    """v1's one metric as one of many, the rest from and to annotations."""

    def default(self, tree: Tree) -> None:
        spec = tree.setdefault("spec", {})
        if spec.get("minReplicas") is None:
            spec["minReplicas"] = 1

    def to_stored(self, tree: Tree) -> Tree:
        metadata, annotations = _without_annotations(tree)
        spec, status = dict(tree.get("spec") or {}), dict(tree.get("status") or {})
        metrics = []
        utilization = spec.pop("targetCPUUtilizationPercentage", None)
        if utilization is not None:
            metrics.append(_cpu(utilization))
        others = _read("Metrics", annotations.get(_METRICS))
        if others is not None:
            metrics = [_metric_from_v1(one) for one in others] + metrics
        # The default of v2 holds here too; only now is it known whether there is any metric.
        spec["metrics"] = metrics or [_cpu(DEFAULT_UTILIZATION)]
        behavior = _read_behavior(annotations.get(_BEHAVIOR))
        if behavior:
            spec["behavior"] = behavior
        current = status.pop("currentCPUUtilizationPercentage", None)
        if current is not None:
            about = {"name": "cpu", "current": {"averageUtilization": current}}
            status["currentMetrics"] = [{"type": "Resource", "resource": about}]
        more = _read("CurrentMetrics", annotations.get(_CURRENT))
        if more is not None:  # these say more than the field
            status["currentMetrics"] = [_status_from_v1(one) for one in more]
        conditions = _read("Conditions", annotations.get(_CONDITIONS))
        if conditions is not None:
            status["conditions"] = conditions
        return {**tree, "metadata": metadata, "spec": spec, "status": status}

    def from_stored(self, tree: Tree) -> Tree:
        metadata, _ = _without_annotations(tree)
        spec, status = dict(tree.get("spec") or {}), dict(tree.get("status") or {})
        metrics, behavior = spec.pop("metrics", None) or [], spec.pop("behavior", None)
        current, conditions = status.pop("currentMetrics", None) or [], status.pop("conditions", None) or []
        told: dict[str, Any] = {}
        cpu = [one for one in metrics if _is_cpu_utilization(one)]
        if cpu:
            spec["targetCPUUtilizationPercentage"] = cpu[0]["resource"]["target"]["averageUtilization"]
        others = [_metric_to_v1(one) for one in metrics if not _is_cpu_utilization(one)]
        if others:
            told[_METRICS] = _written("Metrics", others)
        for one in current:
            if _is_cpu(one) and (now := (one["resource"].get("current") or {}).get("averageUtilization")) is not None:
                status["currentCPUUtilizationPercentage"] = now
        if current:
            told[_CURRENT] = _written("CurrentMetrics", [_status_to_v1(one) for one in current])
        if behavior is not None:
            told[_BEHAVIOR] = _go_json(_walker("Behavior").read(_capitalized(behavior, str.upper))[0])
        if conditions:
            told[_CONDITIONS] = _written("Conditions", conditions)
        if told:
            metadata["annotations"] = {**(metadata.get("annotations") or {}), **told}
        return {**tree, "metadata": metadata, "spec": spec, "status": status}


def _without_annotations(tree: Tree) -> tuple[Tree, dict[str, str]]:
    """A copy of the metadata without what is ours, and all annotations."""
    metadata = dict(tree.get("metadata") or {})
    annotations = metadata.get("annotations") or {}
    if annotations:
        metadata["annotations"] = {key: value for key, value in annotations.items() if key not in _OURS}
    return metadata, annotations


def _cpu(utilization: int) -> Tree:
    target = {"type": "Utilization", "averageUtilization": utilization}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _is_cpu(metric: Tree) -> bool:
    return metric.get("type") == "Resource" and (metric.get("resource") or {}).get("name") == "cpu"


def _is_cpu_utilization(metric: Tree) -> bool:
    return _is_cpu(metric) and (metric["resource"].get("target") or {}).get("averageUtilization") is not None


# Annotations


@cache
def _schemas() -> Schemas:
    return Schemas(load_table().extended(_TYPES))


def _walker(name: str) -> Walker:
    return _schemas().walker(name)


def _read(name: str, text: str | None) -> list[Tree] | None:
    """The items of an annotation; None where there is none that can be read."""
    if text is None:
        return None
    try:
        items: list[Tree] = _walker(name).read({"items": orjson.loads(text)})[0].get("items") or []
    except (ValueError, WrongType):
        return None
    return items


def _read_behavior(text: str | None) -> Tree:
    if text is None:
        return {}
    try:
        read = _walker("Behavior").read(_capitalized(orjson.loads(text), str.upper))[0]
    except (ValueError, WrongType, AttributeError):
        return {}
    behavior: Tree = _said(_capitalized(read, str.lower))
    return behavior


def _written(name: str, items: list[Tree]) -> str:
    return _go_json(_walker(name).read({"items": items})[0]["items"])


def _go_json(value: Any) -> str:
    """JSON as Go's own encoder writes it: safe to stand in HTML."""
    escaped = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    return re.sub("[<>&\u2028\u2029]", lambda found: escaped[found[0]], encode(value).decode())


def _capitalized(value: Any, change: Callable[[str], str]) -> Any:
    """`value` with the first letter of each name changed, as internal types have no names of their own."""
    if isinstance(value, dict):
        return {change(name[:1]) + name[1:]: _capitalized(one, change) for name, one in value.items()}
    return [_capitalized(one, change) for one in value] if isinstance(value, list) else value


def _said(value: Any) -> Any:
    """`value` without its nulls."""
    if isinstance(value, dict):
        return {name: _said(one) for name, one in value.items() if one is not None}
    return [_said(one) for one in value] if isinstance(value, list) else value


# Metrics: `v1` has everything of a source side by side


def _metric_from_v1(metric: Tree) -> Tree:
    made: Tree = {"type": metric.get("type", "")}
    for name in _SOURCES:
        if (source := metric.get(name)) is not None:
            target = _moved(source, _TARGETS[name])
            if name == "object" and "averageValue" in target and not Quantity.parse(target.get("value", "0")):
                target.pop("value", None)  # v1 can't leave it out
            made[name] = {**_named(name, source), "target": {"type": _target_type(name, target), **target}}
    return made


def _target_type(name: str, target: Tree) -> str:
    match name:
        case "object":
            return "AverageValue" if "averageValue" in target else "Value"
        case "external":
            return "Value" if "value" in target else "AverageValue"
        case "pods":
            return "AverageValue"
        case _:
            return "Utilization" if "averageUtilization" in target else "AverageValue"


def _status_from_v1(metric: Tree) -> Tree:
    made: Tree = {"type": metric.get("type", "")}
    for name in _SOURCES:
        if (source := metric.get(name)) is not None:
            made[name] = {**_named(name, source), "current": _moved(source, _CURRENTS[name])}
    return made


def _metric_to_v1(metric: Tree) -> Tree:
    made: Tree = {"type": metric.get("type", "")}
    for name in _SOURCES:
        if (source := metric.get(name)) is not None:
            made[name] = _flat(name, source, source.get("target") or {}, _TARGETS[name])
    return made


def _status_to_v1(metric: Tree) -> Tree:
    made: Tree = {"type": metric.get("type", "")}
    for name in _SOURCES:
        if (source := metric.get(name)) is not None:
            made[name] = _flat(name, source, source.get("current") or {}, _CURRENTS[name])
    return made


def _moved(source: Tree, fields: dict[str, str]) -> Tree:
    return {field: source[name] for name, field in fields.items() if source.get(name) is not None}


def _named(name: str, source: Tree) -> Tree:
    """What a source of v2 measures, from one of v1."""
    if name in ("resource", "containerResource"):
        return {field: source[field] for field in ("name", "container") if field in source}
    metric: Tree = {"name": source.get("metricName", "")}
    selector = source.get("metricSelector" if name == "external" else "selector")
    if selector is not None:
        metric["selector"] = selector
    return {"metric": metric, "describedObject": source.get("target") or {}} if name == "object" else {"metric": metric}


def _flat(name: str, source: Tree, values: Tree, fields: dict[str, str]) -> Tree:
    """A source of v1 from one of v2 and its target or current values."""
    made = {old: values[field] for old, field in fields.items() if values.get(field) is not None}
    if name in ("resource", "containerResource"):
        return made | {field: source[field] for field in ("name", "container") if field in source}
    metric = source.get("metric") or {}
    made["metricName"] = metric.get("name", "")
    if metric.get("selector") is not None:
        made["metricSelector" if name == "external" else "selector"] = metric["selector"]
    if name == "object":
        made["target"] = source.get("describedObject") or {}
    return made
