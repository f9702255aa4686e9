"""What is asked of custom resources beside their schemas: numbers of replicas, and when rules are not asked.

Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource (validator.go, strategy.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.schema.converted import go_value

__all__ = ["CHECKS_LEFT", "is_blocking", "validate_scale"]

Tree = Mapping[str, Any]

CHECKS_LEFT = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)
_BLOCKING = frozenset(
    {"FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"}
)
_MOST_REPLICAS = (1 << 31) - 1
_GO_TYPES = {str: "string", bool: "bool", int: "int64", float: "float64"}


def is_blocking(error: FieldError) -> bool:
    """Whether rules can't be asked of an object of which this is said."""
    return error.reason in _BLOCKING


def validate_scale(obj: Tree, scale: Mapping[str, Any] | None, *, status_only: bool = False) -> list[FieldError]:
    """What is wrong with what the scale subresource (`scale`, as the definition has it) would read of `obj`."""
    if scale is None:
        return []
    errors = [] if status_only else _replicas(obj, scale.get("specReplicasPath") or "")
    errors += _replicas(obj, scale.get("statusReplicasPath") or "")
    path = scale.get("labelSelectorPath")
    if path is not None:
        value, wrong = _nested(obj, path, str)
        if wrong:
            errors.append(FieldError.invalid(path, value or "", wrong))
    return errors


def _replicas(obj: Tree, path: str) -> list[FieldError]:
    value, wrong = _nested(obj, path, int)
    count = value or 0
    if not wrong and count < 0:
        wrong = "should be a non-negative integer"
    elif not wrong and count > _MOST_REPLICAS:
        wrong = f"should be less than or equal to {_MOST_REPLICAS}"
    return [FieldError.invalid(path, count, wrong)] if wrong else []


def _nested(obj: Tree, path: str, wanted: type) -> tuple[Any, str]:
    """The value at a simple path, None if there is none; and why it is not what is wanted."""
    names = path.removeprefix(".").split(".")
    value: Any = obj
    for index, name in enumerate(names):
        if value is None:
            return None, ""
        if not isinstance(value, dict):
            return None, _accessor(names[: index + 1], value, "map[string]interface{}")
        if name not in value:
            return None, ""
        value = value[name]
    if type(value) is wanted:
        return value, ""
    return None, _accessor(names, value, _GO_TYPES[wanted])


def _accessor(names: list[str], value: Any, wanted: str) -> str:
    shown = "<nil>" if value is None else go_value(value)
    type_ = "<nil>" if value is None else _GO_TYPES.get(type(value)) or _container(value)
    return f".{'.'.join(names)} accessor error: {shown} is of the type {type_}, expected {wanted}"


def _container(value: Any) -> str:
    return "[]interface {}" if isinstance(value, list) else "map[string]interface {}"
