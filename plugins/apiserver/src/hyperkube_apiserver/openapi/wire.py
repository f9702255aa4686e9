"""OpenAPI documents as the protobuf messages of gnostic, written by tables of field numbers.

A table has an entry for each message: which key of the JSON form is which field, of which type. Types are `string`,
`bool`, `int`, `double`, `any` (a message that holds YAML, and so JSON) or a message of the same table; `*` in front of
one means a list of it.
Source: github.com/google/gnostic-models, openapiv2/OpenAPIv2.proto and openapiv3/OpenAPIv3.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hyperkube_machinery.encoding import encode

__all__ = ["Choice", "Message", "Named", "Strings", "Tables", "message_pieces"]

_EXTENSION = "x-"


@dataclass(frozen=True, slots=True)
class Message:
    """A message with a field for each key."""

    fields: Mapping[str, tuple[int, str]]
    extensions: int = 0  # the field of keys that begin with x-


@dataclass(frozen=True, slots=True)
class Named:
    """A map: each entry is a message of its own, name and value, in the field `number`."""

    of: str
    number: int = 1
    special: Mapping[str, tuple[int, str]] = field(default_factory=dict)  # keys that have a field of their own


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several fields, by what the value is; None leaves the message empty."""

    choose: Callable[[Any], tuple[int, str] | None]


@dataclass(frozen=True, slots=True)
class Strings:
    """A message that only holds strings; a single one may stand for a list."""


Table: TypeAlias = Message | Named | Choice | Strings
Tables: TypeAlias = Mapping[str, Table]


def message_pieces(tables: Tables, document: Mapping[str, Any]) -> Iterator[bytes]:
    """The encoded `Document`, piece by piece."""
    top = tables["Document"]
    assert isinstance(top, Message)
    for key, value in document.items():
        number, type_ = top.fields[key]
        yield _field(tables, number, type_, value)


def _message(tables: Tables, name: str, value: Any) -> bytes:
    table = tables[name]
    if isinstance(table, Choice):
        chosen = table.choose(value)
        return _field(tables, *chosen, value) if chosen is not None else b""
    if isinstance(table, Strings):
        return b"".join(_block(1, one.encode()) for one in ([value] if isinstance(value, str) else value))
    if isinstance(table, Named):
        return b"".join(_entries(tables, table, value.items() if isinstance(value, Mapping) else value))
    parts = []
    for key, inner in value.items():
        if key in table.fields:
            parts.append(_field(tables, *table.fields[key], inner))
        elif table.extensions and key.startswith(_EXTENSION):
            parts.append(_entry(tables, table.extensions, key, "any", inner))
    return b"".join(parts)


def _entries(tables: Tables, table: Named, items: Iterable[tuple[str, Any]]) -> Iterator[bytes]:
    for name, inner in items:
        if name in table.special:
            yield _field(tables, *table.special[name], inner)
        else:
            yield _entry(tables, table.number, name, table.of, inner)


def _entry(tables: Tables, number: int, name: str, type_: str, value: Any) -> bytes:
    return _block(number, _block(1, name.encode()) + _field(tables, 2, type_, value))


def _field(tables: Tables, number: int, type_: str, value: Any) -> bytes:
    if type_.startswith("*"):
        return b"".join(_field(tables, number, type_[1:], one) for one in value)
    match type_:
        case "string":
            return _block(number, value.encode())
        case "bool":
            return _varint(number << 3) + (b"\x01" if value else b"\x00")
        case "int":
            return _varint(number << 3) + _varint(value & (1 << 64) - 1)
        case "double":
            return _varint(number << 3 | 1) + struct.pack("<d", value)
        case "any":
            return _block(number, _block(2, encode(value) + b"\n"))
        case _:
            return _block(number, _message(tables, type_, value))


def _block(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
