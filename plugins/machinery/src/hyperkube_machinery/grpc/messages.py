"""Protobuf messages as trees, by a table of their fields.

A message that is read has all of its fields: what was not sent is 0, "", an empty list or mapping, and None where it
would be a message. Of a message that is written what is not given, or None, is not sent.
Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["BadMessage", "Messages"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIGN, _WHOLE = 1 << 63, 1 << 64
_NUMBERS = frozenset({"int", "uint", "bool"})
_ONE_BYTE = [bytes((number,)) for number in range(128)]

Tree = dict[str, Any]


class BadMessage(ValueError):
    """Bytes are no message of their kind."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    number: int
    kind: str  # string, bytes, bool, int, uint, double, map, or the name of a message
    repeated: bool
    key: bytes  # what it begins with in a message


class Messages:
    """Kinds of messages, by their names.

    The table has a line for each: its name, a colon, and its fields as `name=number:kind`, the kind with `*` behind it
    where there are many of them. Kinds are string, bytes, bool, int (also of enumerations), uint, double, map (of
    strings to strings), or the name of a message.
    """

    def __init__(self, table: str) -> None:
        self._kinds = dict(_kind(line) for line in table.splitlines() if line.strip())
        self._by_number = {
            name: {field.number: field for field in fields.values()} for name, fields in self._kinds.items()
        }
        self._empty = {
            name: {field.name: _zero(field) for field in fields.values()} for name, fields in self._kinds.items()
        }

    def encode(self, kind: str, tree: Mapping[str, Any]) -> bytes:
        """The message of `tree`. Raises KeyError for a field that the kind doesn't have."""
        out = bytearray()
        fields = self._kinds[kind]
        for name, value in tree.items():
            if value is None:
                continue
            field = fields[name]
            if field.kind == "map":
                for key, text in value.items():
                    entry = _sized(b"\x0a", key.encode()) + _sized(b"\x12", text.encode())
                    out += _sized(field.key, entry)
            elif field.repeated:
                for item in value:
                    self._put(out, field, item)
            elif value or field.kind in self._kinds:
                self._put(out, field, value)
        return bytes(out)

    def _put(self, out: bytearray, field: _Field, value: Any) -> None:
        kind = field.kind
        out += field.key
        if kind in _NUMBERS:
            out += _varint(int(value) % _WHOLE)
        elif kind == "double":
            out += struct.pack("<d", value)
        else:
            if kind == "string":
                value = value.encode("utf-8", "surrogateescape")
            elif kind != "bytes":
                value = self.encode(kind, value)
            out += _varint(len(value))
            out += value

    def decode(self, kind: str, data: bytes) -> Tree:
        """The tree of a message. Raises BadMessage."""
        try:
            return self._decoded(kind, data)
        except (AttributeError, IndexError, TypeError, struct.error) as exc:
            raise BadMessage(f"this is no {kind}: {exc}") from exc

    def _decoded(self, kind: str, data: bytes) -> Tree:
        fields = self._by_number[kind]
        tree = self._empty[kind].copy()
        for number, wire, value in _parts(data):
            field = fields.get(number)
            if field is None:
                continue  # of a newer version
            if field.kind == "map":
                entry = {part: _text(text) for part, _, text in _parts(value)}
                tree[field.name] = {**tree[field.name], entry.get(1, ""): entry.get(2, "")}
            elif field.repeated:
                if not (items := tree[field.name]):
                    items = tree[field.name] = []  # the empty one is everybody's
                items.extend(self._items(field, wire, value))
            else:
                tree[field.name] = self._value(field, value)
        return tree

    def _items(self, field: _Field, wire: int, value: Any) -> Iterable[Any]:
        if wire == _BYTES and field.kind in _NUMBERS:  # many in one
            position = 0
            while position < len(value):
                number, position = _read_varint(value, position)
                yield self._value(field, number)
            return
        yield self._value(field, value)

    def _value(self, field: _Field, value: Any) -> Any:
        reader = _READERS.get(field.kind)
        return reader(value) if reader is not None else self._decoded(field.kind, value)


def _kind(line: str) -> tuple[str, dict[str, _Field]]:
    name, _, rest = line.partition(":")
    fields = {}
    for word in rest.split():
        field, _, tail = word.partition("=")
        number, _, kind = tail.partition(":")
        one = kind.rstrip("*")
        wire = _VARINT if one in _NUMBERS else _FIXED64 if one == "double" else _BYTES
        fields[field] = _Field(field, int(number), one, kind.endswith("*"), _key(int(number), wire))
    return name.strip(), fields


def _zero(field: _Field) -> Any:
    if field.kind == "map":
        return {}
    if field.repeated:
        return []
    zeros: dict[str, Any] = {"string": "", "bytes": b"", "bool": False, "int": 0, "uint": 0, "double": 0.0}
    return zeros.get(field.kind)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _signed(number: int) -> int:
    return number - _WHOLE if number & _SIGN else number


def _double(data: bytes) -> float:
    return float(struct.unpack("<d", data)[0])


_READERS: dict[str, Callable[[Any], Any]] = {
    "string": _text,
    "bytes": bytes,
    "bool": bool,
    "int": _signed,
    "uint": int,
    "double": _double,
}


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _sized(key: bytes, data: bytes) -> bytes:
    return key + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    if number < 128:
        return _ONE_BYTE[number]
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & (_WHOLE - 1), position
        shift += 7
        if shift > 63:
            raise IndexError("a number is longer than 64 bits")


def _parts(data: bytes) -> Iterable[tuple[int, int, Any]]:
    """The number of each field, its wire type, and its value: an integer or bytes."""
    position, end = 0, len(data)
    while position < end:
        key = data[position]  # most numbers are of one byte, for which no function is called
        position += 1
        if key > 127:
            key, position = _read_varint(data, position - 1)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value = data[position]
            position += 1
            if value > 127:
                value, position = _read_varint(data, position - 1)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size = data[position]
            position += 1
            if size > 127:
                size, position = _read_varint(data, position - 1)
        elif wire == _FIXED64:
            size = 8
        elif wire == _FIXED32:
            size = 4
        else:
            raise IndexError(f"there is no wire type {wire}")
        if position + size > end:
            raise IndexError("it ends within a field")
        yield number, wire, data[position : position + size]
        position += size
