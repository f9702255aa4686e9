"""Trees to protobuf messages, byte for byte as Kubernetes' own servers write them.

    envelope     "k8s" and a zero, then a message of apiVersion and kind, the object as another, and two empty texts
    message      every field in the order of numbers: what has no pointer in Go is written though it is zero
    map          an entry a key, in the order of keys
    frame        of a stream of events: four bytes of length, then an event that holds an envelope

What each field becomes is worked out once a type: a message is then a copy of what it is when it is empty, in which the
fields that are there take their places.
Source: k8s.io/apimachinery/pkg/runtime/serializer/protobuf, the generated MarshalToSizedBuffer of k8s.io/api.
"""

from __future__ import annotations

import struct
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from hyperkube_machinery.encoding import encode_as_go
from hyperkube_machinery.protobuf import BOXED_LISTS, PREFIX
from hyperkube_machinery.schema.table import SCHEMA_DEFINITION, Table, Type, load_table

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Message", "Messages", "delimited", "encode_typed", "enveloped", "event_frame", "field_head", "messages"]

Step = Callable[[Any], bytes]
"""Writes a value that is not null: a field with its tag, or what stands behind the tag."""

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_SHORT = 128
"""Numbers below take one byte."""
_UNSIGNED = (1 << 64) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND, _MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
_HOLLOW = frozenset({"time", "microtime", "raw", "schema-or-array", "schema-or-strings"})
"""What shows itself as null in JSON where it is there and empty."""
_AFTER_RAW = b"\x1a\0\x22\0"
"""The envelope's contentEncoding and contentType."""


def _varint(number: int) -> bytes:
    """A number of up to 64 bits; a negative one is written as if it had no sign."""
    if 0 <= number < _SHORT << 7:  # most lengths that don't fit into one byte fit into two
        return bytes((number & 0x7F | 0x80, number >> 7)) if number >= _SHORT else bytes((number,))
    number &= _UNSIGNED
    out = bytearray()
    while number >= _SHORT:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


@cache
def _heads(tag: bytes) -> tuple[bytes, ...]:
    """The tag with each number of one byte behind it."""
    return tuple(tag + bytes((number,)) for number in range(_SHORT))


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def field_head(tag: bytes, size: int) -> bytes:
    """What stands before the `size` bytes of a field."""
    return _heads(tag)[size] if size < _SHORT else tag + _varint(size)


def delimited(tag: bytes, data: bytes) -> bytes:
    """A field of bytes."""
    return field_head(tag, len(data)) + data


def enveloped(api_version: str, kind: str, size: int) -> tuple[bytes, bytes]:
    """What stands before and behind the message of an object, which is of `size` bytes."""
    type_meta = delimited(b"\x0a", api_version.encode()) + delimited(b"\x12", kind.encode())
    return PREFIX + delimited(b"\x0a", type_meta) + b"\x12" + _varint(size), _AFTER_RAW


def event_frame(event_type: str, envelope: bytes) -> bytes:
    """An event of a watch, as a piece of the stream."""
    event = delimited(b"\x0a", event_type.encode()) + delimited(b"\x12", delimited(b"\x0a", envelope))
    return len(event).to_bytes(4, "big") + event


class Messages:
    """The messages of a table's definitions, each worked out when it is first asked for."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._messages: dict[str, Message] = {}

    def of(self, definition: str) -> Message:
        """What encodes objects of `definition`. KeyError for an unknown one, once it is used."""
        message = self._messages.get(definition)
        if message is None:
            message = self._messages[definition] = Message(self, self._table, definition, ())
        return message


def encode_typed(tree: Mapping[str, Any]) -> bytes | None:
    """The envelope of an object that says itself what it is; None for a kind that has no message."""
    api_version, kind = tree.get("apiVersion", ""), tree.get("kind", "")
    definition = load_table().kinds.get(f"{api_version or 'v1'} {kind}")
    if definition is not None:
        message = messages().of(definition)(tree)
    elif kind == "APIGroupDiscoveryList":
        message = _discovery_list()(tree)
    else:
        return None
    before, behind = enveloped(api_version, kind, len(message))
    return before + message + behind


@cache
def _discovery_list() -> Message:
    from hyperkube_machinery.schema.apidiscovery import DEFINITIONS, LIST  # few ask for it in protobuf

    return Messages(load_table().extended(DEFINITIONS, numbered=True)).of(LIST)


@cache
def messages() -> Messages:
    """Those of the table of this package."""
    return Messages(load_table())


class Message:
    """Encodes the objects of one definition, or what stands of them in one inlined struct."""

    def __init__(self, messages: Messages, table: Table, definition: str, outer: tuple[int, ...]) -> None:
        self._messages = messages
        self._table = table
        self._definition = definition
        self._outer = outer  # the numbers of the inlined struct

    def __call__(self, tree: Mapping[str, Any]) -> bytes:
        """The message of a tree: fields that its definition doesn't have are passed over."""
        parts = self._blank.copy()
        steps = self._steps
        for name, value in tree.items():
            step = steps.get(name)
            if step is not None:
                place, encode, null = step
                parts[place] = null if value is None else encode(value)
        for place, tag, inlined in self._inlined:
            parts[place] = delimited(tag, inlined(tree))
        return b"".join(parts)

    @cached_property
    def _fields(self) -> dict[int, tuple[str, Type] | None]:
        """By number in their order: name and type, or None for an inlined struct."""
        fields: dict[int, tuple[str, Type] | None] = {}
        depth = len(self._outer)
        for field in self._table.fields(self._definition):
            if not field.number or field.outer[:depth] != self._outer:
                continue
            if len(field.outer) > depth:
                fields[field.outer[depth]] = None
            else:
                fields[field.number] = field.name, field.type
        return dict(sorted(fields.items()))

    @cached_property
    def _blank(self) -> list[bytes]:
        """The fields of an object that says nothing."""
        return [
            b"" if field is None else _when_absent(number, field[1], self._messages)
            for number, field in self._fields.items()
        ]

    @cached_property
    def _steps(self) -> dict[str, tuple[int, Step, bytes]]:
        """By name: the place among the fields, what writes one that is there, and what is written for null."""
        return {
            field[0]: (place, _step(number, field[1], self._messages), _when_null(number, field[1], self._messages))
            for place, (number, field) in enumerate(self._fields.items())
            if field is not None
        }

    @cached_property
    def _inlined(self) -> list[tuple[int, bytes, Message]]:
        return [
            (
                place,
                _tag(number, _BYTES),
                Message(self._messages, self._table, self._definition, (*self._outer, number)),
            )
            for place, (number, field) in enumerate(self._fields.items())
            if field is None
        ]


def _when_absent(number: int, type_: Type, messages: Messages) -> bytes:
    """What is written for a field that isn't there: nothing where Go has a pointer, a list, a map or bytes."""
    kind = type_.kind
    if type_.pointer or kind in {"list", "map", "bytes"}:
        return b""
    match kind:
        case "int32" | "int64" | "bool":
            return _tag(number, _VARINT) + b"\0"
        case "float64":
            return _tag(number, _FIXED64) + bytes(8)
        case "struct":
            return delimited(_tag(number, _BYTES), messages.of(type_.definition)({}))
        case "quantity":
            return _step(number, type_, messages)("0")
        case "intorstring":
            return _step(number, type_, messages)(0)
    return _tag(number, _BYTES) + b"\0"


def _when_null(number: int, type_: Type, messages: Messages) -> bytes:
    """What is written for a field that is null."""
    return _tag(number, _BYTES) + b"\0" if type_.kind in _HOLLOW else _when_absent(number, type_, messages)


def _step(number: int, type_: Type, messages: Messages) -> Step:
    """What writes a field, tag included."""
    kind = type_.kind
    tag = _tag(number, _BYTES)
    if kind == "list" and type_.name not in BOXED_LISTS:
        return _repeated(_element(number, type_, messages))
    if kind == "map":
        return _map(tag, _element(2, type_, messages))
    match kind:
        case "string":
            return _text(tag)
        case "int32" | "int64":
            return _integer(_tag(number, _VARINT))
        case "bool":
            no, yes = _heads(_tag(number, _VARINT))[:2]
            return lambda value: yes if value else no
        case "float64":
            fixed = _tag(number, _FIXED64)
            return lambda value: fixed + struct.pack("<d", value)
    return _message(tag, _payload(type_, messages))


def _element(number: int, type_: Type, messages: Messages) -> Step:
    """What writes an item of a list or a map."""
    element = type_.element
    assert element is not None
    step = _step(number, element, messages)
    if element.kind not in _HOLLOW and element.kind != "bytes":
        return step
    null = _when_null(number, element, messages)
    return lambda value: null if value is None else step(value)


def _message(tag: bytes, payload: Step) -> Step:
    heads = _heads(tag)

    def encode(value: Any) -> bytes:
        data = payload(value)
        size = len(data)
        return heads[size] + data if size < _SHORT else tag + _varint(size) + data

    return encode


def _text(tag: bytes) -> Step:
    return _message(tag, str.encode)


def _integer(tag: bytes) -> Step:
    heads = _heads(tag)
    return lambda value: heads[value] if 0 <= value < _SHORT else tag + _varint(value)


def _repeated(element: Step) -> Step:
    return lambda values: b"".join(map(element, values))


def _map(tag: bytes, element: Step) -> Step:
    key_of = _text(b"\x0a")

    def encode(values: Mapping[str, Any]) -> bytes:
        entries: Iterable[tuple[str, Any]] = values.items()
        if len(values) > 1:
            entries = sorted(entries, key=_first)
        return b"".join([delimited(tag, key_of(key) + element(value)) for key, value in entries])

    return encode


def _first(entry: tuple[str, Any]) -> str:
    return entry[0]


def _payload(type_: Type, messages: Messages) -> Step:
    """What writes a value that is a message, or bytes, without its tag."""
    kind = type_.kind
    if kind == "struct":
        return messages.of(type_.definition)
    if kind == "list":
        return _repeated(_element(1, type_, messages))
    if kind.startswith("schema"):
        return _SCHEMA_OR[kind](messages.of(SCHEMA_DEFINITION))
    return _SCALARS[kind]


def _schema_or_array(schema: Step) -> Step:
    one, many = _message(b"\x0a", schema), _repeated(_message(b"\x12", schema))
    return lambda value: many(value) if isinstance(value, list) else one(value)


def _schema_or_bool(schema: Step) -> Step:
    given = _message(b"\x12", schema)
    return lambda value: _heads(b"\x08")[value] if isinstance(value, bool) else b"\x08\x01" + given(value)


def _schema_or_strings(schema: Step) -> Step:
    one, many = _message(b"\x0a", schema), _repeated(_text(b"\x12"))
    return lambda value: many(value) if isinstance(value, list) else one(value)


_SCHEMA_OR: dict[str, Callable[[Step], Step]] = {
    "schema-or-array": _schema_or_array,
    "schema-or-bool": _schema_or_bool,
    "schema-or-strings": _schema_or_strings,
}


@lru_cache(maxsize=2048)
def _moment(text: str) -> bytes:
    """A time as seconds and nanoseconds since the epoch."""
    seconds, rest = divmod(datetime.fromisoformat(text) - _EPOCH, _SECOND)
    return b"\x08" + _varint(seconds) + b"\x10" + _varint(rest // _MICROSECOND * 1000)


@lru_cache(maxsize=512)
def _quantity(text: str) -> bytes:
    return delimited(b"\x0a", text.encode())


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, str):
        return b"\x08\x01\x10\0" + delimited(b"\x1a", value.encode())
    return b"\x08\0\x10" + _varint(value) + b"\x1a\0"


_SCALARS: dict[str, Step] = {
    "bytes": b64decode,
    "time": _moment,
    "microtime": _moment,
    "quantity": _quantity,
    "intorstring": _int_or_string,
    "raw": lambda value: delimited(b"\x0a", encode_as_go(value)),
}
