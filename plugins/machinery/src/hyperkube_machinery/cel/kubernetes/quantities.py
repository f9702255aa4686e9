"""Quantities in expressions: `quantity("1Gi").isGreaterThan(quantity("900M"))`.

Source: k8s.io/apiserver/pkg/cel/library/quantity.go, k8s.io/apimachinery/pkg/api/resource.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache, total_ordering
from typing import ClassVar

from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.kubernetes import typenames
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.types import BOOL, DOUBLE, INT, STRING, Type
from hyperkube_machinery.quantity import Quantity, QuantityError

__all__ = ["QUANTITIES", "QuantityValue"]

_INT64 = range(-(2**63), 2**63)
_NANO = 10**9
_MOST_DIGITS = 18
_parts_re = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]*))?(.*)", re.DOTALL)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class QuantityValue:
    """A quantity, and whether upstream counts it in 64-bit integers: only that ever makes it one in expressions."""

    amount: Quantity
    scaled: tuple[int, int] | None = field(default=None)
    """A number and the power of ten that it is to be multiplied by; None if it does not fit, or is beyond that."""

    cel_type: ClassVar[Type] = typenames.QUANTITY

    @classmethod
    def parse(cls, text: str) -> QuantityValue:
        """Raises QuantityError."""
        return _parsed(text)

    @property
    def integer(self) -> int | None:
        """The whole number it is, None for `1.5`, but for `1.0` too: upstream does not look that far."""
        if self.scaled is None:
            return None
        number, exponent = self.scaled
        return _fitting(number * 10**exponent) if exponent >= 0 else None

    @property
    def approximation(self) -> float:
        try:
            if self.scaled is None:
                return self.amount.nano / _NANO
            number, exponent = self.scaled
            return float(number) * 10.0**exponent if exponent else float(number)
        except OverflowError:
            return math.copysign(math.inf, self.amount.nano)

    def plus(self, other: QuantityValue) -> QuantityValue:
        return QuantityValue(self.amount + other.amount, _sum(self.scaled, other.scaled))

    def minus(self, other: QuantityValue) -> QuantityValue:
        scaled = None if other.scaled is None else (-other.scaled[0], other.scaled[1])
        return QuantityValue(self.amount - other.amount, _sum(self.scaled, scaled))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QuantityValue) and self.amount == other.amount

    def __lt__(self, other: QuantityValue) -> bool:
        return self.amount < other.amount

    def __hash__(self) -> int:
        return hash(self.amount)

    def __str__(self) -> str:
        return str(self.amount)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> QuantityValue:
    return QuantityValue(Quantity.parse(text), _scaled(text))


def _fitting(number: int) -> int | None:
    return number if number in _INT64 else None


def _scaled(text: str) -> tuple[int, int] | None:
    match = _parts_re.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, suffix = match[1], match[2] or "0", match[3] or "", match[4]
    if suffix in _BINARY:
        power = _BINARY[suffix]
        if fraction or 15 - len(whole) - power * 3 // 10 - 1 < 0:
            return None
        factor, exponent = 1 << power, 0
    else:
        exponent = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])
        factor, exponent = 1, exponent - len(fraction)
        if len(whole) + len(fraction) > _MOST_DIGITS:
            return None
    number = _fitting(int(whole + fraction) * factor)
    if number is None or exponent < -9:
        return None
    return (-number if sign == "-" else number), exponent


def _sum(one: tuple[int, int] | None, other: tuple[int, int] | None) -> tuple[int, int] | None:
    if one is None or other is None:
        return None
    if other[0] == 0:
        return one
    if one[0] == 0:
        return other
    least = min(one[1], other[1])
    numbers = [_fitting(number * 10 ** (exponent - least)) for number, exponent in (one, other)]
    if None in numbers:
        return None
    total = _fitting(sum(number for number in numbers if number is not None))
    return None if total is None else (total, least)


def _parse(text: str) -> QuantityValue:
    try:
        return QuantityValue.parse(text)
    except QuantityError as exc:
        raise EvaluationError(str(exc)) from None


def _is_quantity(text: str) -> bool:
    try:
        Quantity.parse(text)
    except QuantityError:
        return False
    return True


def _as_integer(quantity: QuantityValue) -> int:
    if (number := quantity.integer) is None:
        raise EvaluationError("cannot convert value to integer")
    return number


def _of_int(number: int) -> QuantityValue:
    return QuantityValue(Quantity(number * _NANO, "exponent"), (number, 0))


def _compare(one: QuantityValue, other: QuantityValue) -> int:
    return (one.amount.nano > other.amount.nano) - (one.amount.nano < other.amount.nano)


def _sign(quantity: QuantityValue) -> int:
    return (quantity.amount.nano > 0) - (quantity.amount.nano < 0)


_Q = typenames.QUANTITY

QUANTITIES = Library(
    name="kubernetes.quantity",
    types={_Q.name: _Q},
    functions=(
        Function("quantity", Overload("string_to_quantity", (STRING,), _Q, _parse)),
        Function("isQuantity", Overload("is_quantity_string", (STRING,), BOOL, _is_quantity)),
        Function("sign", Overload("quantity_sign", (_Q,), INT, _sign)),
        Function(
            "isGreaterThan",
            Overload("quantity_is_greater_than", (_Q, _Q), BOOL, lambda one, other: one > other, member=True),
        ),
        Function(
            "isLessThan", Overload("quantity_is_less_than", (_Q, _Q), BOOL, lambda one, other: one < other, member=True)
        ),
        Function("compareTo", Overload("quantity_compare_to", (_Q, _Q), INT, _compare, member=True)),
        Function(
            "asApproximateFloat",
            Overload("quantity_get_float", (_Q,), DOUBLE, lambda quantity: quantity.approximation, member=True),
        ),
        Function("asInteger", Overload("quantity_get_int", (_Q,), INT, _as_integer, member=True)),
        Function(
            "isInteger",
            Overload("quantity_is_integer", (_Q,), BOOL, lambda quantity: quantity.integer is not None, member=True),
        ),
        Function(
            "add",
            Overload("quantity_add", (_Q, _Q), _Q, QuantityValue.plus, member=True),
            Overload("quantity_add_int", (_Q, INT), _Q, lambda one, other: one.plus(_of_int(other)), member=True),
        ),
        Function(
            "sub",
            Overload("quantity_sub", (_Q, _Q), _Q, QuantityValue.minus, member=True),
            Overload("quantity_sub_int", (_Q, INT), _Q, lambda one, other: one.minus(_of_int(other)), member=True),
        ),
    ),
)
