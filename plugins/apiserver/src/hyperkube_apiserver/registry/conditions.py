"""Conditions as newer kinds have them (metav1.Condition). Source: k8s.io/apimachinery/pkg/apis/meta/v1/validation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.fields import one_of
from hyperkube_apiserver.registry.meta import validate_label_key
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import regex_error

__all__ = ["validate_conditions"]

Tree = Mapping[str, Any]

_REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_reason_re = re.compile(_REASON)
_REASON_TEXT = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_'"
)
_REASON_BYTES = 1 << 10
_MESSAGE_BYTES = 32 << 10


def validate_conditions(conditions: Sequence[Tree], path: str) -> list[FieldError]:
    """What is wrong with each, and types that come twice."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        kind = condition.get("type") or ""
        if kind in seen:
            errors.append(FieldError.duplicate(f"{path}[{index}].type", kind))
        seen.add(kind)
        errors += _validate_condition(condition, f"{path}[{index}]")
    return errors


def _validate_condition(condition: Tree, path: str) -> list[FieldError]:
    errors = validate_label_key(condition.get("type") or "", f"{path}.type")
    errors += one_of(condition.get("status") or "", ("False", "True", "Unknown"), f"{path}.status")
    generation = condition.get("observedGeneration") or 0
    if generation < 0:
        errors.append(
            FieldError.invalid(f"{path}.observedGeneration", generation, "must be greater than or equal to zero")
        )
    if not condition.get("lastTransitionTime"):
        errors.append(FieldError.required(f"{path}.lastTransitionTime"))
    reason = condition.get("reason") or ""
    if not reason:
        errors.append(FieldError.required(f"{path}.reason"))
    elif not _reason_re.fullmatch(reason):
        examples = ("my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")
        text = regex_error(_REASON_TEXT, _REASON, *examples)
        errors.append(FieldError.invalid(f"{path}.reason", reason, text))
    if len(reason.encode()) > _REASON_BYTES:
        errors.append(FieldError.too_long(f"{path}.reason", _REASON_BYTES))
    if len((condition.get("message") or "").encode()) > _MESSAGE_BYTES:
        errors.append(FieldError.too_long(f"{path}.message", _MESSAGE_BYTES))
    return errors
