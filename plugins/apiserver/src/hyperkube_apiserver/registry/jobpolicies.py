"""When pods fail a job and when it has succeeded early.

Source: validatePodFailurePolicy, validateSuccessPolicy in k8s.io/kubernetes/pkg/apis/batch/validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.registry.fields import nonnegative, qualified
from hyperkube_apiserver.registry.indexes import parse_indexes
from hyperkube_machinery.errors import FieldError

__all__ = ["validate_failure_policy", "validate_success_policy"]

Tree = Mapping[str, Any]

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_MOST_RULES = 20


def _one_of_required(value: str, allowed: tuple[str, ...], path: str) -> list[FieldError]:
    if not value:
        listed = " ".join(f'"{word}"' for word in allowed)
        return [FieldError.required(path, f"valid values: [{listed}]")]
    return [] if value in allowed else [FieldError.not_supported(path, value, allowed)]


def validate_failure_policy(spec: Tree, path: str) -> list[FieldError]:
    policy = spec.get("podFailurePolicy")
    if policy is None:
        return []
    rules = policy.get("rules") or ()
    errors = [FieldError.too_many(f"{path}.rules", len(rules), _MOST_RULES)] if len(rules) > _MOST_RULES else []
    pod = (spec.get("template") or {}).get("spec") or {}
    names = {one.get("name") or "" for field in ("containers", "initContainers") for one in pod.get(field) or ()}
    for index, rule in enumerate(rules):
        at, action = f"{path}.rules[{index}]", rule.get("action") or ""
        if action == "FailIndex":
            if spec.get("backoffLimitPerIndex") is None:
                text = "requires the backoffLimitPerIndex to be set"
                errors.append(FieldError.invalid(f"{at}.action", action, text))
        else:
            errors += _one_of_required(action, _ACTIONS, f"{at}.action")
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
        if codes is not None:
            errors += _validate_exit_codes(codes, names, f"{at}.onExitCodes")
        if len(conditions) > _MOST_RULES:
            errors.append(FieldError.too_many(f"{at}.onPodConditions", len(conditions), _MOST_RULES))
        for position, pattern in enumerate(conditions):
            where = f"{at}.onPodConditions[{position}]"
            errors += qualified(pattern.get("type") or "", f"{where}.type")
            errors += _one_of_required(pattern.get("status") or "", ("False", "True", "Unknown"), f"{where}.status")
        if (codes is None) == (not conditions):
            what = "both OnExitCodes and OnPodConditions is not supported"
            what = "one of OnExitCodes and OnPodConditions is required" if codes is None else what
            errors.append(FieldError("FieldValueInvalid", at, f"specifying {what}", shows_value=False))
    return errors


def _validate_exit_codes(codes: Tree, names: set[str], path: str) -> list[FieldError]:
    operator, values = codes.get("operator") or "", codes.get("values") or []
    errors = _one_of_required(operator, ("In", "NotIn"), f"{path}.operator")
    container = codes.get("containerName")
    if container is not None and container not in names:
        text = "must be one of the container or initContainer names in the pod template"
        errors.append(FieldError.invalid(f"{path}.containerName", container, text))
    if not values:
        errors.append(FieldError.invalid(f"{path}.values", codes.get("values"), "at least one value is required"))
    elif len(values) > 255:
        errors.append(FieldError.too_many(f"{path}.values", len(values), 255))
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            errors.append(FieldError.invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator"))
        if value in values[:index]:
            errors.append(FieldError.duplicate(f"{path}.values[{index}]", value))
    if values != sorted(values):
        errors.append(FieldError.invalid(f"{path}.values", values, "must be ordered"))
    return errors


def validate_success_policy(spec: Tree, path: str) -> list[FieldError]:
    policy = spec.get("successPolicy")
    if policy is None:
        return []
    rules = policy.get("rules") or ()
    if spec.get("completionMode") != "Indexed":
        shown = [
            {"SucceededIndexes": rule.get("succeededIndexes"), "SucceededCount": rule.get("succeededCount")}
            for rule in rules
        ]
        return [FieldError.invalid(path, {"Rules": shown or None}, "requires indexed completion mode")]
    errors: list[FieldError] = []
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        errors.append(FieldError.required(f"{path}.rules", text))
    if len(rules) > _MOST_RULES:
        errors.append(FieldError.too_many(f"{path}.rules", len(rules), _MOST_RULES))
    for index, rule in enumerate(rules):
        errors += _validate_success_rule(rule, spec.get("completions") or 0, f"{path}.rules[{index}]")
    return errors


def _validate_success_rule(rule: Tree, completions: int, path: str) -> list[FieldError]:
    indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    errors: list[FieldError] = []
    if indexes is None and count is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        errors.append(FieldError.required(path, text))
    total = 0
    if indexes is not None:
        if len(indexes) > 64 * 1024:
            errors.append(FieldError.too_long(f"{path}.succeededIndexes", 64 * 1024))
        try:
            total = _count_indexes(indexes, completions)
        except ValueError as exc:
            text = f"error parsing succeededIndexes: {exc}"
            errors.append(FieldError.invalid(f"{path}.succeededIndexes", indexes, text))
    if count is not None:
        at = f"{path}.succeededCount"
        errors += nonnegative(count, at)
        if count > completions:
            text = f"must be less than or equal to {completions} (the number of specified completions)"
            errors.append(FieldError.invalid(at, count, text))
        if indexes is not None and count > total:
            why = "(the number of indexes in the specified succeededIndexes field)"
            errors.append(FieldError.invalid(at, count, f"must be less than or equal to {total} {why}"))
    return errors


def _count_indexes(text: str, completions: int) -> int:
    """How many indexes `1,3-5` are. Raises ValueError with the parser's complaint."""
    return sum(last - first + 1 for first, last in parse_indexes(text, completions))
