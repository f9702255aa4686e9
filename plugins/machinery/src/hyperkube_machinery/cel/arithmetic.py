"""Sums, products and comparisons of values whose types are known only now, with every overflow an error.

Source: cel-go's common/types/{int,uint,double,string,bytes,list,timestamp,duration,overflow,compare}.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.times import MAX_SECONDS, MIN_SECONDS, SECOND
from hyperkube_machinery.cel.values import Duration, Timestamp, UInt

__all__ = ["add", "compare", "divide", "modulo", "multiply", "negate", "subtract"]

INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1
_JOINABLE = (str, bytes, list)
_ADDABLE = (int, float, UInt, str, bytes, list, Timestamp, Duration)
_NUMBERS = (int, float, UInt)
_COMPARABLE = (bool, int, float, UInt, str, bytes, Timestamp, Duration)


def add(one: Any, other: Any) -> Any:
    kind, other_kind = type(one), type(other)
    if kind is other_kind:
        if kind is int:
            return checked_int(one + other)
        if kind in _JOINABLE or kind is float:
            return one + other
        if kind is UInt:
            return checked_uint(int(one) + int(other))
        if kind is Duration:
            return Duration(checked_int(one.nanoseconds + other.nanoseconds))
    if kind is Timestamp and other_kind is Duration:
        return _moved(one, other.nanoseconds)
    if kind is Duration and other_kind is Timestamp:
        return _moved(other, one.nanoseconds)
    if isinstance(one, list) and isinstance(other, list):  # one of them knows better how it grows
        return one + other
    raise _no_overload("_+_", one, _ADDABLE)


def subtract(one: Any, other: Any) -> Any:
    kind, other_kind = type(one), type(other)
    if kind is other_kind:
        if kind is int:
            return checked_int(one - other)
        if kind is float:
            return one - other
        if kind is UInt:
            return checked_uint(int(one) - int(other))
        if kind is Duration or kind is Timestamp:
            return Duration(checked_int(one.nanoseconds - other.nanoseconds))
    if kind is Timestamp and other_kind is Duration:
        if other.nanoseconds == INT_MIN:
            raise EvaluationError("integer overflow")
        return _moved(one, -other.nanoseconds)
    raise _no_overload("_-_", one, (int, float, UInt, Timestamp, Duration))


def multiply(one: Any, other: Any) -> Any:
    kind = type(one)
    if kind is type(other):
        if kind is int:
            return checked_int(one * other)
        if kind is float:
            return one * other
        if kind is UInt:
            return checked_uint(int(one) * int(other))
    raise _no_overload("_*_", one, _NUMBERS)


def divide(one: Any, other: Any) -> Any:
    kind = type(one)
    if kind is type(other):
        if kind is float:
            return _divided(one, other)
        if kind is int or kind is UInt:
            if other == 0:
                raise EvaluationError("division by zero")
            quotient = abs(int(one)) // abs(int(other))
            if kind is UInt:
                return UInt(quotient)
            return checked_int(-quotient if (one < 0) != (other < 0) else quotient)
    raise _no_overload("_/_", one, _NUMBERS)


def modulo(one: Any, other: Any) -> Any:
    kind = type(one)
    if kind is type(other) and (kind is int or kind is UInt):
        if other == 0:
            raise EvaluationError("modulus by zero")
        if one == INT_MIN and other == -1:
            raise EvaluationError("integer overflow")
        rest = abs(int(one)) % abs(int(other))
        return UInt(rest) if kind is UInt else (-rest if one < 0 else rest)
    raise _no_overload("_%_", one, (int, UInt))


def negate(value: Any) -> Any:
    if type(value) is int:
        return checked_int(-value)
    if type(value) is float:
        return -value
    if type(value) is Duration:
        return Duration(checked_int(-value.nanoseconds))
    raise EvaluationError("no such overload" if type(value) is bool else "no such overload: -_")


def compare(name: str, decide: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """The comparison `decide` (such as `operator.lt`) for values of any types; `name` is its function's."""

    def compared(one: Any, other: Any) -> bool:
        kind, other_kind = type(one), type(other)
        if kind in _NUMBERS and other_kind in _NUMBERS:
            if kind is float or other_kind is float:
                one, other = float(one), float(other)
                if math.isnan(one) or math.isnan(other):
                    raise EvaluationError("NaN values cannot be ordered")
            return decide(one, other)
        if kind is other_kind and kind in _COMPARABLE:
            return decide(one, other)
        raise _no_overload(name, one, _COMPARABLE)

    return compared


def checked_int(number: int) -> int:
    if INT_MIN <= number <= INT_MAX:
        return number
    raise EvaluationError("integer overflow")


def checked_uint(number: int) -> UInt:
    if 0 <= number <= UINT_MAX:
        return UInt(number)
    raise EvaluationError("unsigned integer overflow")


def _moved(timestamp: Timestamp, nanoseconds: int) -> Timestamp:
    moved = timestamp.nanoseconds + nanoseconds
    if not MIN_SECONDS <= moved // SECOND <= MAX_SECONDS:
        raise EvaluationError("timestamp overflow")
    return Timestamp(moved, timestamp.offset_seconds)


def _divided(one: float, other: float) -> float:
    if other:
        return one / other
    if math.isnan(one) or one == 0:
        return math.nan
    return math.copysign(math.inf, one) * math.copysign(1, other)


def _no_overload(function: str, one: Any, able: tuple[type, ...]) -> EvaluationError:
    """The error of an operator whose left side could do it for other right sides, or couldn't at all."""
    return EvaluationError("no such overload" if type(one) in able else f"no such overload: {function}")
