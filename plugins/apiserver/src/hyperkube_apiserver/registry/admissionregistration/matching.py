"""Which requests webhooks and policies are about: rules, selectors, conditions and parameters.

Source: k8s.io/kubernetes/pkg/apis/admissionregistration/validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.admissionregistration.expressions import Expressions
from hyperkube_apiserver.registry.fields import one_of, qualified, validate_label_selector
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import path_segment

__all__ = [
    "FAILURE_POLICIES",
    "MATCH_POLICIES",
    "REINVOCATION_POLICIES",
    "default_match_resources",
    "default_rules",
    "validate_match_conditions",
    "validate_match_resources",
    "validate_mutable_operations",
    "validate_rule",
]

Tree = dict[str, Any]

FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
REINVOCATION_POLICIES = ("IfNeeded", "Never")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_MUTABLE_OPERATIONS = ("*", "CONNECT", "CREATE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_MOST_CONDITIONS = 64


def default_rules(rules: Sequence[Tree] | None) -> None:
    for rule in rules or ():
        rule.setdefault("scope", "*")


def default_match_resources(resources: Tree | None) -> None:
    if resources is None:
        return
    resources.setdefault("matchPolicy", "Equivalent")
    for field in ("namespaceSelector", "objectSelector"):
        resources.setdefault(field, {})
    for field in ("resourceRules", "excludeResourceRules"):
        default_rules(resources.get(field))


def validate_rule(rule: Mapping[str, Any], path: str) -> list[FieldError]:
    """Operations on resources."""
    operations = rule.get("operations") or []
    errors = _validate_wildcard(operations, f"{path}.operations", "operations")
    for index, operation in enumerate(operations):
        errors += one_of(operation, _OPERATIONS, f"{path}.operations[{index}]")
    errors += _validate_wildcard(rule.get("apiGroups") or [], f"{path}.apiGroups", "API groups")
    versions = rule.get("apiVersions") or []
    errors += _validate_wildcard(versions, f"{path}.apiVersions", "API versions")
    for index, version in enumerate(versions):
        if not version:
            errors.append(FieldError.required(f"{path}.apiVersions[{index}]"))
    errors += _validate_resources(rule.get("resources") or [], f"{path}.resources")
    if rule.get("scope") is not None:
        errors += one_of(rule["scope"], _SCOPES, f"{path}.scope")
    return errors


def _validate_wildcard(values: Sequence[str], path: str, called: str) -> list[FieldError]:
    """At least one value, and none beside `*`."""
    if not values:
        return [FieldError.required(path)]
    if len(values) > 1 and "*" in values:
        return [FieldError.invalid(path, values, f"if '*' is present, must not specify other {called}")]
    return []


def _validate_resources(resources: Sequence[str], path: str) -> list[FieldError]:
    if not resources:
        return [FieldError.required(path)]
    errors: list[FieldError] = []
    whole: set[str] = set()  # x of x/*
    everywhere: set[str] = set()  # x of */x
    plain = False  # of the last one without a subresource, as upstream has it
    for index, resource in enumerate(resources):
        at = f"{path}[{index}]"
        if not resource:
            errors.append(FieldError.required(at))
            continue
        name, slash, subresource = resource.partition("/")
        if not slash:
            plain = resource != "*"
            continue
        if name in whole:
            errors.append(FieldError.invalid(at, resource, f"if '{name}/*' is present, must not specify {resource}"))
        if subresource in everywhere:
            text = f"if '*/{subresource}' is present, must not specify {resource}"
            errors.append(FieldError.invalid(at, resource, text))
        if subresource == "*":
            whole.add(name)
        if name == "*":
            everywhere.add(subresource)
    if len(resources) > 1 and "*/*" in resources:
        text = "if '*/*' is present, must not specify other resources"
        errors.append(FieldError.invalid(path, resources, text))
    if "*" in resources and plain:
        text = "if '*' is present, must not specify other resources without subresources"
        errors.append(FieldError.invalid(path, resources, text))
    return errors


def validate_match_resources(resources: Mapping[str, Any] | None, path: str) -> list[FieldError]:
    if resources is None:
        return []
    errors: list[FieldError] = []
    errors += one_of(resources["matchPolicy"], MATCH_POLICIES, f"{path}.matchPolicy")
    for field in ("namespaceSelector", "objectSelector"):
        errors += validate_label_selector(resources[field], f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(resources.get(field) or ()):
            at = f"{path}.{field}[{index}]"
            errors += _validate_resource_names(rule.get("resourceNames") or (), f"{at}.resourceNames")
            errors += validate_rule(rule, at)
    return errors


def _validate_resource_names(names: Sequence[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, name in enumerate(names):
        at = f"{path}[{index}]"
        errors += [FieldError.invalid(at, name, text) for text in path_segment(name)]
        if name in names[:index]:
            errors.append(FieldError.duplicate(at, name))
    return errors


def validate_mutable_operations(resources: Mapping[str, Any] | None, path: str) -> list[FieldError]:
    """What is about to be deleted can't be changed any more."""
    return [
        error
        for rule in (resources or {}).get("resourceRules") or ()
        for operation in rule.get("operations") or ()
        for error in one_of(operation, _MUTABLE_OPERATIONS, f"{path}.resourceRules.operations")
    ]


def validate_match_conditions(
    conditions: Sequence[Mapping[str, Any]], path: str, *, params: bool = False
) -> list[FieldError]:
    """`params`: whether the conditions may mention parameters."""
    expressions = Expressions(params=params)
    errors: list[FieldError] = []
    if len(conditions) > _MOST_CONDITIONS:
        errors.append(FieldError.too_many(path, len(conditions), _MOST_CONDITIONS))
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        at, name = f"{path}[{index}]", condition.get("name") or ""
        if text := (condition.get("expression") or "").strip():
            errors += expressions.validate_condition(text, f"{at}.expression")
        else:
            errors.append(FieldError.required(f"{at}.expression"))
        if not name:
            errors.append(FieldError.required(f"{at}.name"))
            continue
        errors += qualified(name, f"{at}.name")
        if name in seen:
            errors.append(FieldError.duplicate(f"{at}.name", name))
        seen.add(name)
    return errors
