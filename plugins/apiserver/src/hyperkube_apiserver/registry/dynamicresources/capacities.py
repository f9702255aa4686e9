"""How much of a device several claims may ask for. Source: k8s.io/kubernetes/pkg/apis/resource/validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.dynamicresources.parts import validate_each
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.quantity import Quantity

__all__ = ["validate_capacity"]

Tree = Mapping[str, Any]

_MOST_VALUES = 10


def validate_capacity(capacity: Tree, path: str, *, shared: bool) -> list[FieldError]:
    """Only of a device that is `shared` a part may be asked for."""
    policy = capacity.get("requestPolicy")
    if policy is None:
        return []
    path = f"{path}.requestPolicy"
    if not shared:
        return [FieldError.forbidden(path, "allowMultipleAllocations must be true")]
    values, span = policy.get("validValues") or (), policy.get("validRange")
    if values and span is not None:
        text = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
        return [FieldError.forbidden(path, text)]
    if not values and span is None:
        return []
    field = "validValues" if values else "validRange"
    if (default := policy.get("default")) is None:
        return [FieldError.required(f"{path}.default", f"required when {field} is defined")]
    whole = Quantity.parse(capacity.get("value") or "0")
    if values:
        return _validate_values(values, Quantity.parse(default), whole, f"{path}.{field}")
    return _validate_range(span or {}, Quantity.parse(default), whole, f"{path}.{field}")


def _validate_values(texts: Sequence[str], default: Quantity, whole: Quantity, path: str) -> list[FieldError]:
    values = [Quantity.parse(text) for text in texts]
    errors = [
        FieldError.invalid(f"{path}[{index}]", str(value), "values must be sorted in ascending order")
        for index, value in enumerate(values)
        if index and values[index - 1].nano > value.nano
    ]

    def value(one: Quantity, at: str) -> list[FieldError]:
        if one.nano <= whole.nano:
            return []
        return [FieldError.invalid(at, str(one), f"option is larger than capacity value: {whole}")]

    errors += validate_each(values, _MOST_VALUES, value, path, lambda one: str(one.value))
    if len(values) > _MOST_VALUES or default not in values:
        text = "default value is not valid according to the requestPolicy"
        errors.append(FieldError.invalid(path, str(default), text))
    return errors


def _validate_range(span: Tree, default: Quantity, whole: Quantity, path: str) -> list[FieldError]:
    if span.get("min") is None:
        return [FieldError.required(f"{path}.min", "required when validRange is defined")]
    low = Quantity.parse(span["min"])
    errors: list[FieldError] = []
    if low.nano > whole.nano:
        errors.append(FieldError.invalid(f"{path}.min", str(low), f"min is larger than capacity value: {whole}"))
    if default.nano < low.nano:
        errors.append(FieldError.invalid(f"{path}.min", str(default), f"default is less than min: {low}"))
    high = None if span.get("max") is None else Quantity.parse(span["max"])
    if high is not None:
        at = f"{path}.max"
        if low.nano > high.nano:
            errors.append(FieldError.invalid(at, str(low), f"min is larger than max: {high}"))
        if high.nano > whole.nano:
            errors.append(FieldError.invalid(at, str(high), f"max is larger than capacity value: {whole}"))
        if default.nano > high.nano:
            errors.append(FieldError.invalid(at, str(default), f"default is more than max: {high}"))
    if span.get("step") is not None:
        ends = [default] if high is None else [default, high]
        errors += _validate_step(Quantity.parse(span["step"]), low, ends, whole, f"{path}.step")
    return errors


def _validate_step(
    step: Quantity, low: Quantity, ends: Sequence[Quantity], whole: Quantity, path: str
) -> list[FieldError]:
    errors: list[FieldError] = []
    if (low + step).nano > whole.nano:
        text = f"one step {low + step} is larger than capacity value: {whole}"
        errors.append(FieldError.invalid(path, str(step), text))
    for end in ends:
        # Upstream divides by a step of 0, and fails; here nothing is a multiple of it.
        if not step.value or (end.value - low.value) % step.value:
            text = f"value is not a multiple of a given step ({step}) from ({low})"
            errors.append(FieldError.invalid(path, str(end), text))
    return errors
