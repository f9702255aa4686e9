"""Conversions between types: `int("1")`, `string(1.5)`, `timestamp(…)` … Source: cel-go's common/types."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from hyperkube_machinery.cel import types
from hyperkube_machinery.cel.arithmetic import INT_MAX, INT_MIN, UINT_MAX, checked_int, checked_uint
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.texts import show_double
from hyperkube_machinery.cel.times import (
    MAX_SECONDS,
    MIN_SECONDS,
    SECOND,
    parse_duration,
    parse_timestamp,
    show_duration,
    show_timestamp,
)
from hyperkube_machinery.cel.types import Type
from hyperkube_machinery.cel.values import Duration, Timestamp, UInt

__all__ = ["CONVERSIONS"]

_INT = re.compile(r"[+-]?[0-9]{1,40}")
_UINT = re.compile(r"[0-9]{1,40}")
_DOUBLE = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE)
_BOOLS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def _failed(given: Type, wanted: Type) -> EvaluationError:
    return EvaluationError(f"type conversion error from '{given.name}' to '{wanted.name}'")


def _same(value: Any) -> Any:
    return value


def _string_to_bool(text: str) -> bool:
    if text not in _BOOLS:
        raise _failed(types.STRING, types.BOOL)
    return _BOOLS[text]


def _string_to_int(text: str) -> int:
    if not _INT.fullmatch(text) or not INT_MIN <= int(text) <= INT_MAX:
        raise _failed(types.STRING, types.INT)
    return int(text)


def _string_to_uint(text: str) -> UInt:
    if not _UINT.fullmatch(text) or int(text) > UINT_MAX:
        raise _failed(types.STRING, types.UINT)
    return UInt(text)


def _string_to_double(text: str) -> float:
    if not _DOUBLE.fullmatch(text):
        raise _failed(types.STRING, types.DOUBLE)
    number = float(text)
    if math.isinf(number) and "n" not in text.lower():
        raise _failed(types.STRING, types.DOUBLE)
    return number


def _double_to_int(number: float) -> int:
    if not -(2.0**63) < number < 2.0**63:
        raise EvaluationError("integer overflow")
    return int(number)


def _double_to_uint(number: float) -> UInt:
    if not 0 <= number < 2.0**64:
        raise EvaluationError("unsigned integer overflow")
    return UInt(number)


def _bytes_to_string(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


def _string_to_timestamp(text: str) -> Timestamp:
    timestamp = parse_timestamp(text)
    if timestamp is None:
        raise _failed(types.STRING, types.TIMESTAMP)
    return _in_range(timestamp)


def _int_to_timestamp(seconds: int) -> Timestamp:
    return _in_range(Timestamp(seconds * SECOND))


def _in_range(timestamp: Timestamp) -> Timestamp:
    if not MIN_SECONDS <= timestamp.nanoseconds // SECOND <= MAX_SECONDS:
        raise EvaluationError("timestamp overflow")
    return timestamp


def _string_to_duration(text: str) -> Duration:
    duration = parse_duration(text)
    if duration is None:
        raise _failed(types.STRING, types.DURATION)
    return duration


_T = types

CONVERSIONS: dict[str, tuple[tuple[str, Type, Type, Callable[[Any], Any]], ...]] = {
    "bool": (
        ("bool_to_bool", _T.BOOL, _T.BOOL, _same),
        ("string_to_bool", _T.STRING, _T.BOOL, _string_to_bool),
    ),
    "bytes": (
        ("bytes_to_bytes", _T.BYTES, _T.BYTES, _same),
        ("string_to_bytes", _T.STRING, _T.BYTES, str.encode),
    ),
    "double": (
        ("double_to_double", _T.DOUBLE, _T.DOUBLE, _same),
        ("int64_to_double", _T.INT, _T.DOUBLE, float),
        ("string_to_double", _T.STRING, _T.DOUBLE, _string_to_double),
        ("uint64_to_double", _T.UINT, _T.DOUBLE, float),
    ),
    "duration": (
        ("duration_to_duration", _T.DURATION, _T.DURATION, _same),
        ("int64_to_duration", _T.INT, _T.DURATION, Duration),
        ("string_to_duration", _T.STRING, _T.DURATION, _string_to_duration),
    ),
    "int": (
        ("int64_to_int64", _T.INT, _T.INT, _same),
        ("double_to_int64", _T.DOUBLE, _T.INT, _double_to_int),
        ("duration_to_int64", _T.DURATION, _T.INT, lambda duration: duration.nanoseconds),
        ("string_to_int64", _T.STRING, _T.INT, _string_to_int),
        ("timestamp_to_int64", _T.TIMESTAMP, _T.INT, lambda timestamp: timestamp.nanoseconds // SECOND),
        ("uint64_to_int64", _T.UINT, _T.INT, lambda number: checked_int(int(number))),
    ),
    "string": (
        ("string_to_string", _T.STRING, _T.STRING, _same),
        ("bool_to_string", _T.BOOL, _T.STRING, lambda value: "true" if value else "false"),
        ("bytes_to_string", _T.BYTES, _T.STRING, _bytes_to_string),
        ("double_to_string", _T.DOUBLE, _T.STRING, show_double),
        ("duration_to_string", _T.DURATION, _T.STRING, show_duration),
        ("int64_to_string", _T.INT, _T.STRING, str),
        ("timestamp_to_string", _T.TIMESTAMP, _T.STRING, show_timestamp),
        ("uint64_to_string", _T.UINT, _T.STRING, lambda number: str(int(number))),
    ),
    "timestamp": (
        ("timestamp_to_timestamp", _T.TIMESTAMP, _T.TIMESTAMP, _same),
        ("int64_to_timestamp", _T.INT, _T.TIMESTAMP, _int_to_timestamp),
        ("string_to_timestamp", _T.STRING, _T.TIMESTAMP, _string_to_timestamp),
    ),
    "uint": (
        ("uint64_to_uint64", _T.UINT, _T.UINT, _same),
        ("double_to_uint64", _T.DOUBLE, _T.UINT, _double_to_uint),
        ("int64_to_uint64", _T.INT, _T.UINT, checked_uint),
        ("string_to_uint64", _T.STRING, _T.UINT, _string_to_uint),
    ),
}
"""By function: overload id, argument, result, implementation."""
