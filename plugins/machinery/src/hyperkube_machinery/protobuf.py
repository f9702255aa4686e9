"""Protobuf bodies, decoded by the table of field numbers into the same trees that JSON gives.

kubectl from 1.32 on, client-go's typed clients and controller-runtime send built-in kinds so. A body is four bytes,
then a message that names apiVersion and kind and holds the object as another. Fields of unknown numbers are skipped, as
upstream skips them.
Source: k8s.io/apimachinery/pkg/runtime/serializer/protobuf, protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hyperkube_machinery.jsontext import MAX_DEPTH, BadJSON, parse
from hyperkube_machinery.schema.table import SCHEMA_DEFINITION, Table, Type

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BOXED_LISTS", "PREFIX", "BadProtobuf", "Envelope", "decode_message", "open_envelope"]

PREFIX = b"k8s\0"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Lists that are a message of their own.
BOXED_LISTS = {"v1.ExtraValue", "v1.Verbs"}

Fields = list[tuple[int, int, Any]]  # number, wire type, an integer or bytes


class BadProtobuf(ValueError):
    """A body is no message of its kind; the message is the API server's."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands around an object; apiVersion and kind may be empty."""

    api_version: str
    kind: str
    raw: bytes


def open_envelope(body: bytes) -> Envelope:
    """Take a body out of its envelope. Raises BadProtobuf."""
    if not body:
        raise BadProtobuf("empty data")
    if not body.startswith(PREFIX):
        shown = " ".join(str(byte) for byte in PREFIX)
        raise BadProtobuf(f"provided data does not appear to be a protobuf message, expected prefix [{shown}]")
    if len(body) == len(PREFIX):
        raise BadProtobuf("empty body")
    api_version = kind = ""
    raw = b""
    for number, wire, value in _fields(body[len(PREFIX) :]):
        if number == 1:
            for inner, inner_wire, text in _fields(_expect_bytes(wire, value)):
                if inner == 1:
                    api_version = _text(inner_wire, text)
                elif inner == 2:
                    kind = _text(inner_wire, text)
        elif number == 2:
            raw = _expect_bytes(wire, value)
    return Envelope(api_version, kind, raw)


def decode_message(table: Table, definition: str, data: bytes) -> dict[str, Any]:
    """The object of a message, as JSON would have it, zero values included. Raises BadProtobuf."""
    return _Decoder(table).struct(definition, data, {}, 0)


class _Decoder:
    def __init__(self, table: Table) -> None:
        self._table = table

    def struct(self, definition: str, data: bytes, out: dict[str, Any], depth: int) -> dict[str, Any]:
        if depth > MAX_DEPTH:
            raise BadProtobuf("exceeded max depth")
        self._read(self._table.fields_by_number(definition), data, out, depth)
        return out

    def _read(self, plan: dict[int, Any], data: bytes, out: dict[str, Any], depth: int) -> None:
        for number, wire, value in _fields(data):
            step = plan.get(number)
            if step is None:
                continue
            if isinstance(step, dict):  # a struct whose fields stand in this one
                self._read(step, _expect_bytes(wire, value), out, depth + 1)
                continue
            name, type_ = step
            if type_.kind == "list" and type_.name not in BOXED_LISTS:
                out.setdefault(name, []).extend(self._items(type_.element, wire, value, depth))
            elif type_.kind == "map":
                key, item = self._entry(type_.element, _expect_bytes(wire, value), depth)
                out.setdefault(name, {})[key] = item
            elif type_.kind == "struct":
                old = out.get(name)
                before = old if isinstance(old, dict) else {}
                out[name] = self.struct(type_.definition, _expect_bytes(wire, value), before, depth + 1)
            else:
                out[name] = self._value(type_, wire, value, depth)

    def _items(self, type_: Type, wire: int, value: Any, depth: int) -> list[Any]:
        if wire == _BYTES and type_.kind in {"int32", "int64", "bool"}:  # packed: many in one field
            return [self._value(type_, _VARINT, number, depth) for number in _varints(value)]
        return [self._value(type_, wire, value, depth)]

    def _entry(self, type_: Type, data: bytes, depth: int) -> tuple[str, Any]:
        """A key of a map and its value."""
        key, found = "", None
        for number, wire, value in _fields(data):
            if number == 1:
                key = _text(wire, value)
            elif number == 2:
                found = self._value(type_, wire, value, depth)
        return key, found

    def _value(self, type_: Type, wire: int, value: Any, depth: int) -> Any:
        kind = type_.kind
        if kind == "struct":
            return self.struct(type_.definition, _expect_bytes(wire, value), {}, depth + 1)
        if kind == "list":
            assert type_.element is not None
            boxed = _fields(_expect_bytes(wire, value))
            return [self._value(type_.element, inner, item, depth) for number, inner, item in boxed if number == 1]
        if kind.startswith("schema"):
            return self._schema_or(kind, _expect_bytes(wire, value), depth)
        return _SCALARS[kind](wire, value)

    def _schema_or(self, kind: str, data: bytes, depth: int) -> Any:
        """Where a schema, or a boolean, or a list of schemas or names may stand."""
        many: list[Any] = []
        schema: Any = None
        allows = False
        schema_number = 2 if kind == "schema-or-bool" else 1
        for number, wire, value in _fields(data):
            if number == schema_number:
                schema = self.struct(SCHEMA_DEFINITION, _expect_bytes(wire, value), {}, depth + 1)
            elif kind == "schema-or-bool" and number == 1:
                allows = _bool(wire, value)
            elif kind == "schema-or-array" and number == 2:
                many.append(self.struct(SCHEMA_DEFINITION, _expect_bytes(wire, value), {}, depth + 1))
            elif kind == "schema-or-strings" and number == 2:
                many.append(_text(wire, value))
        if schema is not None:
            return schema
        return allows if kind == "schema-or-bool" else many


def _fields(data: bytes) -> Fields:
    """The fields of a message in their order."""
    fields: Fields = []
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise BadProtobuf(f"proto: illegal tag 0 (wire type {wire})")
        value: Any
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire == _BYTES:
            length, at = _varint(data, at)
            if length > end - at:
                raise BadProtobuf("unexpected EOF")
            value = data[at : at + length]
            at += length
        elif wire in (_FIXED64, _FIXED32):
            width = 8 if wire == _FIXED64 else 4
            if width > end - at:
                raise BadProtobuf("unexpected EOF")
            value = data[at : at + width]
            at += width
        else:
            raise BadProtobuf(f"proto: illegal wireType {wire}")
        fields.append((number, wire, value))
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned 64-bit integer at `at`, and where it ends."""
    value = shift = 0
    while True:
        if at >= len(data):
            raise BadProtobuf("unexpected EOF")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift >= 64:
            raise BadProtobuf("proto: integer overflow")


def _varints(data: bytes) -> list[int]:
    numbers, at = [], 0
    while at < len(data):
        number, at = _varint(data, at)
        numbers.append(number)
    return numbers


def _wrong_wire(wire: int) -> BadProtobuf:
    return BadProtobuf(f"proto: wrong wireType = {wire}")


def _expect_bytes(wire: int, value: Any) -> bytes:
    if wire != _BYTES:
        raise _wrong_wire(wire)
    data: bytes = value
    return data


def _text(wire: int, value: Any) -> str:
    return _expect_bytes(wire, value).decode("utf-8", "hk-each-byte")


def _signed(wire: int, value: Any, bits: int) -> int:
    if wire != _VARINT:
        raise _wrong_wire(wire)
    number: int = value & ((1 << bits) - 1)
    return number - (1 << bits) if number >> (bits - 1) else number


def _bool(wire: int, value: Any) -> bool:
    return _signed(wire, value, 64) != 0


def _double(wire: int, value: Any) -> float:
    if wire != _FIXED64:
        raise _wrong_wire(wire)
    number: float = struct.unpack("<d", value)[0]
    return number


def _moment(wire: int, value: Any) -> tuple[datetime, bool]:
    """A time in whole seconds or with nanoseconds, and whether there is one."""
    data = _expect_bytes(wire, value)
    seconds = nanos = 0
    for number, inner, part in _fields(data):
        if number == 1:
            seconds = _signed(inner, part, 64)
        elif number == 2:
            nanos = _signed(inner, part, 32)
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000), bool(data)
    except OverflowError:
        raise BadProtobuf("Time.MarshalJSON: year outside of range [0,9999]") from None


def _time(wire: int, value: Any) -> str | None:
    moment, is_set = _moment(wire, value)
    return moment.isoformat(timespec="seconds")[:19] + "Z" if is_set else None


def _microtime(wire: int, value: Any) -> str | None:
    moment, is_set = _moment(wire, value)
    return moment.isoformat(timespec="microseconds")[:26] + "Z" if is_set else None


def _quantity(wire: int, value: Any) -> str:
    for number, inner, text in _fields(_expect_bytes(wire, value)):
        if number == 1:
            return _text(inner, text) or "0"
    return "0"


def _int_or_string(wire: int, value: Any) -> int | str:
    kind, number, text = 0, 0, ""
    for field, inner, part in _fields(_expect_bytes(wire, value)):
        if field == 1:
            kind = _signed(inner, part, 64)
        elif field == 2:
            number = _signed(inner, part, 32)
        elif field == 3:
            text = _text(inner, part)
    return text if kind == 1 else number


def _raw(wire: int, value: Any) -> Any:
    """The JSON in a field of any type."""
    for number, inner, data in _fields(_expect_bytes(wire, value)):
        if number == 1 and _expect_bytes(inner, data):
            try:
                return parse(data)
            except BadJSON as error:
                raise BadProtobuf(str(error)) from None
    return None


_SCALARS: dict[str, Callable[[int, Any], Any]] = {
    "string": _text,
    "bool": _bool,
    "int32": lambda wire, value: _signed(wire, value, 32),
    "int64": lambda wire, value: _signed(wire, value, 64),
    "float64": _double,
    "bytes": lambda wire, value: b64encode(_expect_bytes(wire, value)).decode(),
    "quantity": _quantity,
    "time": _time,
    "microtime": _microtime,
    "intorstring": _int_or_string,
    "raw": _raw,
}
