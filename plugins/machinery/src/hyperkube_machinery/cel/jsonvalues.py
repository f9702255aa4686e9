"""From what JSON data hold to values of the declared types that JSON has no form for."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.times import parse_duration, parse_timestamp
from hyperkube_machinery.cel.types import Kind, Type
from hyperkube_machinery.cel.values import UInt

__all__ = ["reader_of"]


def reader_of(type: Type) -> Callable[[Any], Any] | None:
    """What makes values of this type from JSON's; None: they are JSON's own. Values that are made already stay."""
    match type.kind:
        case Kind.DOUBLE:
            return _double
        case Kind.UINT:
            return _uint
        case Kind.TIMESTAMP:
            return _timestamp
        case Kind.DURATION:
            return _duration
        case Kind.BYTES:
            return _bytes
        case Kind.WRAPPER:
            return reader_of(type.parameters[0])
        case Kind.LIST:
            read = reader_of(type.parameters[0])
            return None if read is None else _items(read)
        case Kind.MAP:
            read = reader_of(type.parameters[1])
            return None if read is None else _values(read)
    return None


def _double(value: Any) -> Any:
    return float(value) if value.__class__ is int else value


def _uint(value: Any) -> Any:
    return UInt(value) if value.__class__ is int and value >= 0 else value


def _timestamp(value: Any) -> Any:
    if value.__class__ is not str:
        return value
    timestamp = parse_timestamp(value) or parse_timestamp(f"{value}T00:00:00Z")
    if timestamp is None:
        raise EvaluationError(f"invalid timestamp {value!r}")
    return timestamp


def _duration(value: Any) -> Any:
    if value.__class__ is not str:
        return value
    duration = parse_duration(value)
    if duration is None:
        raise EvaluationError(f"invalid duration {value!r}")
    return duration


def _bytes(value: Any) -> Any:
    if value.__class__ is not str:
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise EvaluationError("invalid base64") from None


def _items(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: [read(item) for item in value] if isinstance(value, list) else value


def _values(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: {key: read(item) for key, item in value.items()} if value.__class__ is dict else value
