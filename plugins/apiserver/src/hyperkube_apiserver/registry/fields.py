"""Checks of one field each, which the rules of many kinds are made of. A path is what a cause calls the field.

Source: k8s.io/kubernetes/pkg/apis/core/validation, k8s.io/apimachinery/pkg/apis/meta/v1/validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.meta import validate_label_key, validate_labels
from hyperkube_machinery import names
from hyperkube_machinery.errors import FieldError

__all__ = [
    "dns_label",
    "dns_subdomain",
    "invalid_each",
    "nonnegative",
    "one_of",
    "port_number",
    "positive",
    "qualified",
    "validate_label_selector",
    "validate_operator",
]

Tree = Mapping[str, Any]

NEGATIVE = "must be greater than or equal to 0"
NOT_POSITIVE = "must be greater than zero"


def invalid_each(path: str, value: Any, texts: Iterable[str]) -> list[FieldError]:
    return [FieldError.invalid(path, value, text) for text in texts]


def checked(check: Callable[[str], list[str]], value: str, path: str) -> list[FieldError]:
    return invalid_each(path, value, check(value))


def dns_label(value: str, path: str) -> list[FieldError]:
    return checked(names.dns1123_label, value, path)


def dns_subdomain(value: str, path: str) -> list[FieldError]:
    return checked(names.dns1123_subdomain, value, path)


def qualified(value: str, path: str) -> list[FieldError]:
    return checked(names.qualified_name, value, path)


def port_number(value: int, path: str) -> list[FieldError]:
    return invalid_each(path, value, names.port_number(value))


def nonnegative(value: int | None, path: str) -> list[FieldError]:
    """Absent numbers are fine; so is 0."""
    return [FieldError.invalid(path, value, NEGATIVE)] if value is not None and value < 0 else []


def positive(value: int | None, path: str) -> list[FieldError]:
    return [FieldError.invalid(path, value, NOT_POSITIVE)] if value is not None and value <= 0 else []


def one_of(value: str, allowed: Iterable[str], path: str, *, required: bool = False) -> list[FieldError]:
    """`value` is among `allowed` (told sorted). If `required`, an empty one is missing rather than unsupported."""
    if required and not value:
        return [FieldError.required(path)]
    allowed = sorted(allowed)
    return [] if value in allowed else [FieldError.not_supported(path, value, allowed)]


def validate_operator(operator: str, values: Sequence[str], path: str) -> list[FieldError]:
    """The set operators of label and node selectors, each with as many values as it takes."""
    if operator in ("In", "NotIn"):
        text = "must be specified when `operator` is 'In' or 'NotIn'"
        return [] if values else [FieldError.required(f"{path}.values", text)]
    if operator in ("Exists", "DoesNotExist"):
        text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        return [FieldError.forbidden(f"{path}.values", text)] if values else []
    return [FieldError.invalid(f"{path}.operator", operator, "not a valid selector operator")]


def validate_label_selector(selector: Tree | None, path: str, *, checks_values: bool = True) -> list[FieldError]:
    """What is wrong with a selector; some kinds once took values that no label can have, and keep those they hold."""
    if selector is None:
        return []
    errors = validate_labels(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        at = f"{path}.matchExpressions[{index}]"
        values = expression.get("values") or []
        errors += validate_operator(expression.get("operator") or "", values, at)
        errors += validate_label_key(expression.get("key") or "", f"{at}.key")
        for position, value in enumerate(values if checks_values else ()):
            errors += checked(names.label_value, value, f"{at}.values[{position}]")
    return errors
