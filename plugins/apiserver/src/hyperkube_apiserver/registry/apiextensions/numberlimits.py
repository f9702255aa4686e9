"""What a schema says of numbers: their range, by type and format, and their limits.

Go holds integers and fractions against a limit in different ways; and where a limit itself is out of range, both are
taken for fractions.
Source: k8s.io/kube-openapi/pkg/validation/validate (validator.go, values.go).
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from hyperkube_machinery.schema.converted import go_value

__all__ = ["is_in_range", "is_multiple", "is_whole", "wrong_numbers"]

Tree = Mapping[str, Any]
Told = tuple[float | None, str]

_CLOSE = 1e-9
_LOWEST = -(1 << 63)


def wrong_numbers(value: float, type_: str, format_: str, schema: Tree, at: str) -> Iterator[Told]:
    """What is wrong with a number, and the value to show; None where it is about the schema rather than the value."""
    if not is_in_range(value, type_, format_):
        yield _out_of_range("Checked", type_, format_, at)
    factor, low, high = schema.get("multipleOf"), schema.get("minimum"), schema.get("maximum")
    if factor is not None:
        given = value
        if not is_in_range(factor, type_, format_):
            yield _out_of_range("MultipleOf", type_, format_, at)
            given = float(value)
        yield from _multiple(given, factor, at)
    if low is not None:
        compare = operator.le if schema.get("exclusiveMinimum") else operator.lt
        words = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield from _bound(value, low, compare, "Minimum boundary", words, type_, format_, at)
    if high is not None:
        compare = operator.ge if schema.get("exclusiveMaximum") else operator.gt
        words = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield from _bound(value, high, compare, "Maximum boundary", words, type_, format_, at)


def _out_of_range(called: str, type_: str, format_: str, at: str) -> Told:
    asked = f"with format {format_}" if format_ else "(default format)"
    return None, f"{called} value must be of type {type_} {asked} in {at}"


def _multiple(value: float, factor: float, at: str) -> Iterator[Told]:
    factor = int64(factor) if isinstance(value, int) else float(factor)
    if factor <= 0:
        yield factor, f"factor MultipleOf declared for {at} must be positive: {go_value(factor)}"
    elif not is_multiple(value, factor):
        yield _shown(value), f"{at} in body should be a multiple of {go_value(factor)}"


def _bound(
    value: float, bound: float, is_wrong: Any, called: str, words: str, type_: str, format_: str, at: str
) -> Iterator[Told]:
    if not is_in_range(bound, type_, format_):
        yield _out_of_range(called, type_, format_, at)
        value = float(value)
    bound = int64(bound) if isinstance(value, int) else float(bound)
    if is_wrong(value, bound):
        yield _shown(value), f"{at} in body should be {words} {go_value(bound)}"


def int64(value: float) -> int:
    """What Go makes of a float in 64 bits: its whole part, or the lowest number there is."""
    whole = int(value)
    return whole if _LOWEST <= whole < -_LOWEST else _LOWEST


def _shown(value: float) -> float:
    """2.0 is shown as 2, but 2000000.0 as 2e+06."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e6 else value


def is_whole(value: float) -> bool:
    """Whether a float is as good as an integer that JavaScript knows, too. Source: go-openapi/swag/conv."""
    if not abs(value) < 1 << 53:
        return False
    whole = math.floor(abs(value) + 0.5)
    return abs(value) == whole or abs(abs(value) - whole) < _CLOSE * whole


def is_in_range(value: float, type_: str, format_: str) -> bool:
    if type_ == "integer":
        bits = 31 if format_ == "int32" else 63
        # Go holds the shortest digits of a float that large against the bounds, and not the float.
        return value == int(value) and -(1 << bits) <= int(Decimal(repr(value))) < 1 << bits
    if format_ == "float":
        try:
            struct.pack("f", value)
        except OverflowError:
            return False
    return True


def is_multiple(value: float, factor: float) -> bool:
    """`factor` is positive once Go has it as `value` is."""
    if isinstance(value, int):
        return value % int64(factor) == 0
    return is_whole(value / factor if factor >= 1 else 1 / factor * value)
