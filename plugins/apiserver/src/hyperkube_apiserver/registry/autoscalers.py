"""HorizontalPodAutoscalers, as autoscaling/v2 has them. Source: k8s.io/kubernetes/pkg/{registry,apis}/autoscaling."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

from hyperkube_apiserver.registry.amounts import validate_container_resource_name
from hyperkube_apiserver.registry.fields import NEGATIVE, NOT_POSITIVE, checked, dns_label, nonnegative, one_of
from hyperkube_apiserver.registry.podspec.defaults import fill
from hyperkube_apiserver.registry.strategy import Strategy, Tree
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import path_segment
from hyperkube_machinery.quantity import Quantity

__all__ = ["HorizontalPodAutoscalers"]

_UTILIZATION = 80
_LONGEST_PERIOD_SECONDS = 1800
_LONGEST_WINDOW_SECONDS = 3600
_PERCENT = {"type": "Percent", "value": 100, "periodSeconds": 15}
_PODS = {"type": "Pods", "value": 4, "periodSeconds": 15}
_SOURCES = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


class HorizontalPodAutoscalers(Strategy):
    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, minReplicas=1)
        if not spec.get("metrics"):
            target = {"type": "Utilization", "averageUtilization": _UTILIZATION}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
        behavior = spec.get("behavior")
        if behavior is not None:
            # How long a scale-down is held back is a flag of the controller.
            up = {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [_PODS, _PERCENT]}
            down = {"selectPolicy": "Max", "policies": [_PERCENT]}
            for direction, rules in (("scaleUp", up), ("scaleDown", down)):
                given = behavior.get(direction) or {}
                said = {field: value for field, value in given.items() if value is not None}
                behavior[direction] = copy.deepcopy(rules) | said

    def initial_status(self, obj: Tree) -> Tree:
        return {"desiredReplicas": 0, "currentMetrics": None}

    def validate_object(self, obj: Tree) -> list[FieldError]:
        return _validate_spec(obj.get("spec") or {}, {})

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return _validate_spec(obj.get("spec") or {}, old.get("spec") or {})

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        status = obj.get("status") or {}
        return [
            error
            for field in ("currentReplicas", "desiredReplicas")
            for error in nonnegative(status.get(field), f"status.{field}")
        ]


def _validate_spec(spec: Tree, old: Tree) -> list[FieldError]:
    """What is wrong with `spec`; what was wrong with `old`, of an update, is let pass."""
    errors: list[FieldError] = []
    least = 0 if old.get("minReplicas") == 0 else 1
    fewest, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if fewest is not None and fewest < least:
        errors.append(FieldError.invalid("spec.minReplicas", fewest, f"must be greater than or equal to {least}"))
    if not most:
        errors.append(FieldError.required("spec.maxReplicas", "must be set and greater than 0"))
    elif most < 0:
        errors.append(FieldError.invalid("spec.maxReplicas", most, "must be greater than or equal to 1"))
    if fewest is not None and most < fewest:
        errors.append(FieldError.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    target, before = spec.get("scaleTargetRef") or {}, old.get("scaleTargetRef") or {}
    same = bool(old) and all((target.get(field) or "") == (before.get(field) or "") for field in ("apiVersion", "kind"))
    core = target.get("kind") == "ReplicationController"  # all that scales in core
    errors += _validate_reference(target, "spec.scaleTargetRef", any_version=same, any_group=core)
    errors += _validate_metrics(spec, any_version=_has_bad_reference(old))
    for direction in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(direction)
        if rules is not None:
            errors += _validate_rules(rules, f"spec.behavior.{direction}")
    return errors


def _validate_reference(
    reference: Tree, path: str, *, any_version: bool = False, any_group: bool = False
) -> list[FieldError]:
    errors: list[FieldError] = []
    for field in ("kind", "name"):
        value = reference.get(field) or ""
        errors += checked(path_segment, value, f"{path}.{field}") if value else [FieldError.required(f"{path}.{field}")]
    version = reference.get("apiVersion") or ""
    wrong = "" if any_version else _wrong_version(version, any_group)
    return [*errors, FieldError.invalid(f"{path}.apiVersion", version, wrong)] if wrong else errors


def _wrong_version(version: str, any_group: bool) -> str:
    if version.count("/") > 1:
        return f"unexpected GroupVersion string: {version}"
    in_group = version.partition("/")[0] if "/" in version else ""
    return "" if in_group or any_group else "apiVersion must specify API group"


def _has_bad_reference(spec: Tree) -> bool:
    """Whether an object that is stored names by a version that is none, which is then allowed to stay."""
    described = (
        (metric["object"].get("describedObject") or {}).get("apiVersion") or ""
        for metric in spec.get("metrics") or ()
        if metric.get("type") == "Object" and metric.get("object") is not None
    )
    return any(_wrong_version(version, True) for version in described)


def _validate_metrics(spec: Tree, *, any_version: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    metrics = spec.get("metrics") or ()
    for index, metric in enumerate(metrics):
        errors += _validate_metric(metric, f"spec.metrics[{index}]", any_version=any_version)
    if spec.get("minReplicas") == 0 and not any(one.get("type") in ("Object", "External") for one in metrics):
        text = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.append(FieldError.forbidden("spec.metrics", text))
    return errors


def _validate_metric(metric: Tree, path: str, *, any_version: bool) -> list[FieldError]:
    kind = metric.get("type") or ""
    errors = [] if kind else [FieldError.required(f"{path}.type", "must specify a metric source type")]
    unknown = one_of(kind, _SOURCES, f"{path}.type")
    errors += unknown
    present = [field for field in _SOURCES.values() if metric.get(field) is not None]
    if present:  # of several only the first is looked into
        source, at = metric[present[0]], f"{path}.{present[0]}"
        if present[0] == "object":
            described = source.get("describedObject") or {}
            errors += _validate_reference(described, f"{at}.describedObject", any_version=any_version, any_group=True)
        errors += _VALIDATORS[present[0]](source, at)
    if unknown:
        errors += unknown
    elif metric.get(_SOURCES[kind]) is None:
        errors.append(
            FieldError.required(f"{path}.{_SOURCES[kind]}", "must populate information for the given metric source")
        )
    if len(present) != 1:
        text = "must populate the given metric source only"
        errors += [FieldError.forbidden(f"{path}.{field}", text) for field in present if field != _SOURCES.get(kind)]
    return errors


def _validate_object(source: Tree, path: str) -> list[FieldError]:
    target = source.get("target") or {}
    errors = _validate_measured(source, path)
    if target.get("value") is None and target.get("averageValue") is None:
        text = "must set either a target value or averageValue"
        errors.append(FieldError.required(f"{path}.target.averageValue", text))
    return errors


def _validate_external(source: Tree, path: str) -> list[FieldError]:
    target = source.get("target") or {}
    errors = _validate_measured(source, path)
    given = [target.get(field) is not None for field in ("value", "averageValue")]
    if not any(given):
        text = "must set either a target value for metric or a per-pod target"
        errors.append(FieldError.required(f"{path}.target.averageValue", text))
    if all(given):
        text = "may not set both a target value for metric and a per-pod target"
        errors.append(FieldError.forbidden(f"{path}.target.value", text))
    return errors


def _validate_pods(source: Tree, path: str) -> list[FieldError]:
    errors = _validate_measured(source, path)
    if (source.get("target") or {}).get("averageValue") is None:
        text = "must specify a positive target averageValue"
        errors.append(FieldError.required(f"{path}.target.averageValue", text))
    return errors


def _validate_resource(source: Tree, path: str) -> list[FieldError]:
    errors = [] if source.get("name") else [FieldError.required(f"{path}.name", "must specify a resource name")]
    return errors + _validate_use(source, path)


def _validate_container_resource(source: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name, container = source.get("name") or "", source.get("container") or ""
    if name:
        errors += validate_container_resource_name(name, f"{path}.name")
    else:
        errors.append(FieldError.required(f"{path}.name", "must specify a resource name"))
    if container:
        errors += dns_label(container, f"{path}.container")
    else:
        errors.append(FieldError.required(f"{path}.container", "must specify a container"))
    return errors + _validate_use(source, path)


def _validate_use(source: Tree, path: str) -> list[FieldError]:
    """The target of what pods use: so much, or so much of what they ask for."""
    target = source.get("target") or {}
    errors = _validate_target(target, f"{path}.target")
    given = [target.get(field) is not None for field in ("averageUtilization", "averageValue")]
    if not any(given):
        text = "must set either a target raw value or a target utilization"
        errors.append(FieldError.required(f"{path}.target.averageUtilization", text))
    if all(given):
        text = "may not set both a target raw value and a target utilization"
        errors.append(FieldError.forbidden(f"{path}.target.averageValue", text))
    return errors


def _validate_measured(source: Tree, path: str) -> list[FieldError]:
    """The name of a metric, and its target."""
    name = (source.get("metric") or {}).get("name") or ""
    if name:
        errors = checked(path_segment, name, f"{path}.metric.name")
    else:
        errors = [FieldError.required(f"{path}.metric.name", "must specify a metric name")]
    return errors + _validate_target(source.get("target") or {}, f"{path}.target")


def _validate_target(target: Tree, path: str) -> list[FieldError]:
    kind = target.get("type") or ""
    errors = [] if kind else [FieldError.required(f"{path}.type", "must specify a metric target type")]
    if kind not in ("Utilization", "Value", "AverageValue"):
        errors.append(FieldError.invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue"))
    for field in ("value", "averageValue"):
        amount = target.get(field)
        if amount is not None and Quantity.parse(amount).nano <= 0:
            errors.append(FieldError.invalid(f"{path}.{field}", amount, "must be positive"))
    share = target.get("averageUtilization")
    if share is not None and share < 1:
        errors.append(FieldError.invalid(f"{path}.averageUtilization", share, "must be greater than 0"))
    return errors


_VALIDATORS: Mapping[str, Callable[[Tree, str], list[FieldError]]] = {
    "object": _validate_object,
    "external": _validate_external,
    "pods": _validate_pods,
    "resource": _validate_resource,
    "containerResource": _validate_container_resource,
}


def _validate_rules(rules: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        text = "must be greater than or equal to zero"
        errors.append(FieldError.invalid(f"{path}.stabilizationWindowSeconds", window, text))
    errors += _at_most(window or 0, _LONGEST_WINDOW_SECONDS, f"{path}.stabilizationWindowSeconds")
    if rules.get("selectPolicy") is not None:
        errors += one_of(rules["selectPolicy"], ("Max", "Min", "Disabled"), f"{path}.selectPolicy")
    if not rules.get("policies"):
        errors.append(FieldError.required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(rules.get("policies") or ()):
        errors += _validate_policy(policy, f"{path}.policies[{index}]")
    tolerance = rules.get("tolerance")
    if tolerance is not None and Quantity.parse(tolerance).nano < 0:
        errors.append(FieldError.invalid(f"{path}.tolerance", tolerance, NEGATIVE))
    return errors


def _validate_policy(policy: Tree, path: str) -> list[FieldError]:
    errors = one_of(policy.get("type") or "", ("Pods", "Percent"), f"{path}.type")
    for field in ("value", "periodSeconds"):
        value = policy.get(field) or 0
        if value <= 0:
            errors.append(FieldError.invalid(f"{path}.{field}", value, NOT_POSITIVE))
    return errors + _at_most(policy.get("periodSeconds") or 0, _LONGEST_PERIOD_SECONDS, f"{path}.periodSeconds")


def _at_most(value: int, most: int, path: str) -> list[FieldError]:
    return [FieldError.invalid(path, value, f"must be less than or equal to {most}")] if value > most else []
