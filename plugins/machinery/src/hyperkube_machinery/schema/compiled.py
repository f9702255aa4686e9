"""The fast way through an object that is as it should be.

Each definition becomes one closure, on first use, which checks a tree and returns it as Go's decoding and encoding
would write it: fields in the order of the wire form, nulls and empty optional values left out, fields that Go always
writes filled in, quantities, times and base64 in canonical form. Nothing is reported from here: whatever is not as it
should be raises `Suspect`, and the exact walk (`exact`) finds out what there is to say. The input is left as it was.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable
from typing import Any

from hyperkube_machinery.quantity import QuantityError, canonical
from hyperkube_machinery.schema.table import (
    OMITTED,
    OMITTED_IF_ZERO,
    SCHEMA_DEFINITION,
    WRITTEN,
    Field,
    Table,
    Type,
)
from hyperkube_machinery.timestamps import TimestampError, normal_micro, normal_seconds

__all__ = ["Compiler", "Suspect"]

Convert = Callable[[Any], Any]
_Step = tuple[str, type, Convert, bool, Callable[[], Any] | None]

# Of one definition; there is no end to what a client may think of.
_MAX_SHAPES = 500


class Suspect(Exception):
    """Something in the tree needs the exact walk: an unknown field, a wrong type, an odd number."""


class Compiler:
    """Closures by definition."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._structs: dict[str, Convert] = {}

    def struct(self, definition: str) -> Convert:
        """The closure of a definition; definitions may hold themselves."""
        convert = self._structs.get(definition)
        if convert is None:
            # The plan is filled after the closure is known, for the definitions that hold themselves.
            plan: list[_Step] = []
            convert = self._structs[definition] = _struct(plan)
            plan.extend(self._step(field) for field in self._table.fields(definition))
        return convert

    def _step(self, field: Field) -> _Step:
        """(name, type that needs no conversion, conversion, is an empty value written, what stands for no value)."""
        kind = field.type.kind
        simple = {"string": str, "bool": bool}.get(kind, _Never)
        # A time that is zero is none, even behind a pointer.
        keeps_empty = kind not in {"time", "microtime"} and (field.keeps_empty or _is_plain(field.type))
        return field.name, simple, self._convert(field.type), keeps_empty, self._absent(field)

    def _absent(self, field: Field) -> Callable[[], Any] | None:
        if field.type.pointer:
            return _null if field.when_empty == WRITTEN else None
        if field.type.kind in {"list", "map", "bytes"} or field.type.kind.startswith("schema"):
            return _null if field.when_empty == WRITTEN else None
        if field.when_empty == OMITTED and field.type.kind in {"string", "bool", "int32", "int64", "float64"}:
            return None
        if field.when_empty == OMITTED_IF_ZERO:
            return None
        return self._zero(field.type)

    def _zero(self, type_: Type) -> Callable[[], Any]:
        """What Go writes for the zero value."""
        if type_.pointer or type_.kind not in _ZEROS:
            if type_.kind == "struct" and not type_.pointer:
                struct = self.struct(type_.definition)
                return lambda: struct({})
            return _null
        value = _ZEROS[type_.kind]
        return lambda: value

    def _convert(self, type_: Type) -> Convert:
        kind = type_.kind
        if kind == "struct":
            return self.struct(type_.definition)
        if kind == "list":
            assert type_.element is not None
            return self._list(type_.element)
        if kind == "map":
            assert type_.element is not None
            return self._map(type_.element)
        if kind.startswith("schema"):
            return self._schema_or(kind)
        return _CONVERTERS[kind]

    def _schema_or(self, kind: str) -> Convert:
        """A JSON schema; or a list of them or of names, or a boolean."""
        other = {"schema-or-bool": bool, "schema-or-strings": str}.get(kind, _Never)

        def convert_schema_or(value: Any) -> Any:
            if type(value) is dict:
                return self.struct(SCHEMA_DEFINITION)(value)
            if type(value) is bool and other is bool:
                return value
            if type(value) is not list or other is bool:
                raise Suspect
            if other is str:
                return _strings(value)
            return [self.struct(SCHEMA_DEFINITION)(item) for item in value]

        return convert_schema_or

    def _list(self, element: Type) -> Convert:
        if element.kind == "string":
            return _strings
        convert, zero = self._convert(element), self._zero(element)

        def convert_list(value: Any) -> Any:
            if type(value) is not list:
                raise Suspect
            return [zero() if item is None else convert(item) for item in value]

        return convert_list

    def _map(self, element: Type) -> Convert:
        if element.kind == "string":
            return _string_map
        convert, zero = self._convert(element), self._zero(element)
        if element.kind in {"list", "map"}:
            inner = convert

            def convert(item: Any) -> Any:  # an empty list is stored as none
                return inner(item) or None

        def convert_map(value: Any) -> Any:
            if type(value) is not dict:
                raise Suspect
            return {key: zero() if item is None else convert(item) for key, item in value.items()}

        return convert_map


def _struct(plan: list[_Step]) -> Convert:
    # Objects of a kind mostly have the same few sets of fields, and most fields are absent: for each order of keys that
    # is met, the steps that have something to do are kept.
    shapes: dict[tuple[str, ...], list[_Step]] = {}

    def shape_of(keys: tuple[str, ...]) -> list[_Step]:
        steps = [step for step in plan if step[0] in keys or step[4] is not None]
        if len(steps) - sum(step[0] not in keys for step in steps) != len(keys):
            raise Suspect
        if len(shapes) >= _MAX_SHAPES:
            shapes.clear()
        shapes[keys] = steps
        return steps

    def convert_struct(tree: Any) -> Any:
        if type(tree) is not dict:
            raise Suspect
        keys = tuple(tree)
        steps = shapes.get(keys)
        if steps is None:
            steps = shape_of(keys)
        out: dict[str, Any] = {}
        get = tree.get
        for name, simple, convert, keeps_empty, absent in steps:
            value = get(name)
            if type(value) is simple:
                if value or keeps_empty:
                    out[name] = value
            elif value is None:
                if absent is not None:
                    out[name] = absent()
            else:
                value = convert(value)
                if value or keeps_empty:
                    out[name] = value
                elif absent is not None:
                    out[name] = absent()
        return out

    return convert_struct


class _Never:
    """No value is of this type."""


def _is_plain(type_: Type) -> bool:
    """Types whose values are written even if they are falsy: Go's structs that encode themselves are never empty."""
    return type_.kind in {"quantity", "intorstring", "raw"} or type_.kind.startswith("schema")


def _null() -> None:
    return None


_ZEROS: dict[str, Any] = {
    "string": "",
    "bool": False,
    "int32": 0,
    "int64": 0,
    "float64": 0,
    "bytes": "",
    "quantity": "0",
    "intorstring": 0,
}


def _refuse(value: Any) -> Any:
    raise Suspect


def _int32(value: Any) -> Any:
    if type(value) is int and -0x80000000 <= value <= 0x7FFFFFFF:
        return value
    raise Suspect


def _int64(value: Any) -> Any:
    if type(value) is int and -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
        return value
    raise Suspect


def _float64(value: Any) -> Any:
    if type(value) is float:
        return int(value) if value.is_integer() and abs(value) < 1 << 63 else value  # no more can be written
    if type(value) is int:
        return value
    raise Suspect


def _bytes(value: Any) -> Any:
    if type(value) is not str:
        raise Suspect
    try:
        data = a2b_base64(value, strict_mode=True)
    except (Base64Error, ValueError):
        raise Suspect from None
    return b64encode(data).decode()


def _quantity(value: Any) -> Any:
    try:
        if type(value) is str:
            return canonical(value.strip())
        if type(value) is int:
            return canonical(str(value))
    except QuantityError:
        pass
    raise Suspect


def _time(value: Any) -> Any:
    if type(value) is str:
        try:
            return normal_seconds(value)
        except TimestampError:
            pass
    raise Suspect


def _microtime(value: Any) -> Any:
    if type(value) is str:
        try:
            return normal_micro(value)
        except TimestampError:
            pass
    raise Suspect


def _int_or_string(value: Any) -> Any:
    return value if type(value) is str else _int32(value)


def _raw(value: Any) -> Any:
    return value


def _strings(value: Any) -> Any:
    if type(value) is not list:
        raise Suspect
    for item in value:
        if type(item) is not str:
            return [_string(item) for item in value]
    return value.copy()


def _string_map(value: Any) -> Any:
    if type(value) is not dict:
        raise Suspect
    for item in value.values():
        if type(item) is not str:
            return {key: _string(item) for key, item in value.items()}
    return value.copy()


def _string(value: Any) -> str:
    """A string in a list or map, where null is the empty string."""
    if value is None:
        return ""
    if type(value) is str:
        return value
    raise Suspect


_CONVERTERS: dict[str, Convert] = {
    "string": _refuse,
    "bool": _refuse,
    "int32": _int32,
    "int64": _int64,
    "float64": _float64,
    "bytes": _bytes,
    "quantity": _quantity,
    "time": _time,
    "microtime": _microtime,
    "intorstring": _int_or_string,
    "raw": _raw,
}
