"""Types made of schemas: what expressions know of `self`, or of the `object` of a policy.

A schema is a tree of JSONSchemaProps, or of OpenAPI v3 as built-in kinds are published in. What has no type that
expressions could use (data whose fields nobody declared) is left out, and so is whatever would hold only that.
Source: k8s.io/apiserver/pkg/cel/common/schemas.go, k8s.io/apiserver/pkg/cel/types.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hyperkube_machinery.cel import types
from hyperkube_machinery.cel.bounds import Size
from hyperkube_machinery.cel.kubernetes import limits
from hyperkube_machinery.cel.kubernetes.escaping import RESERVED, escape
from hyperkube_machinery.cel.types import Field, ObjectType, Type, list_of, map_of

__all__ = ["Declared", "declared_type"]

Tree = Mapping[str, Any]
Resolve = Callable[[str], Tree | None]

_TEXT = {"type": "string"}
_NAMES = {"type": "object", "properties": {"name": _TEXT, "generateName": _TEXT}}
_META = {"kind": _TEXT, "apiVersion": _TEXT, "metadata": _NAMES}


@dataclass(frozen=True, slots=True, eq=False)
class Declared:
    """What a schema says of its values, with how large they may be.

    Exactly one of `simple`, `element` and `fields` is set.
    """

    simple: Type | None = None
    element: Declared | None = None  # of a list, or of a map if `is_map`
    is_map: bool = False
    fields: Mapping[str, tuple[str, Declared]] | None = None  # by identifier: the name in JSON, and what it holds
    most: int = 0  # elements: code points, bytes, items or entries
    least_json: int = 0  # bytes of the smallest such value in JSON

    def named(self, name: str) -> Type:
        """The type for expressions; objects in it are named by their paths from `name`."""
        if self.simple is not None:
            return self.simple
        if self.element is not None:
            if self.is_map:
                return map_of(types.STRING, self.element.named(f"{name}.@elem"))
            return list_of(self.element.named(f"{name}.@idx"))
        return ObjectType(name, _Fields(name, self.fields or {}))

    def at(self, path: Sequence[str]) -> Declared | None:
        """What stands at a path of identifiers, "@items", "@keys" and "@values" from here."""
        current: Declared | None = self
        for step in path:
            if current is None:
                return None
            if step in ("@items", "@values"):
                current = current.element
            elif step == "@keys":
                current = KEY if current.is_map else None
            else:
                found = (current.fields or {}).get(step)
                current = None if found is None else found[1]
        return current

    def size_at(self, path: Sequence[str]) -> Size | None:
        """How large the value at `path`, which begins with a variable, may be; None if nothing is known."""
        found = self.at(path[1:]) if path else None
        return None if found is None else Size(0, found.most)


class _Fields(Mapping[str, Field]):
    """The fields of an object, their types made when they are asked for."""

    def __init__(self, name: str, fields: Mapping[str, tuple[str, Declared]]) -> None:
        self._name = name
        self._fields = fields
        self._made: dict[str, Field] = {}

    def __getitem__(self, identifier: str) -> Field:
        if identifier in RESERVED and identifier not in self._fields:
            identifier = f"__{identifier}__"  # which those may leave out that don't know what is reserved
        if (made := self._made.get(identifier)) is None:
            key, declared = self._fields[identifier]
            made = Field(declared.named(f"{self._name}.{identifier}"), key)
            self._made[identifier] = made
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


KEY = Declared(simple=types.STRING, least_json=limits.MIN_STRING_JSON)
_BOOL = Declared(simple=types.BOOL, least_json=limits.MIN_BOOL_JSON)
_INT = Declared(simple=types.INT, least_json=limits.MIN_NUMBER_JSON)
_DOUBLE = Declared(simple=types.DOUBLE, least_json=limits.MIN_NUMBER_JSON)
_LONGEST_TEXT = limits.MAX_REQUEST - 2  # the quotation marks
_FORMATTED = {
    "duration": Declared(simple=types.DURATION, most=limits.MAX_DURATION_JSON, least_json=limits.MIN_DURATION_JSON),
    "date": Declared(simple=types.TIMESTAMP, most=limits.DATE_JSON, least_json=limits.DATE_JSON),
    "date-time": Declared(simple=types.TIMESTAMP, most=limits.MAX_DATETIME_JSON, least_json=limits.MIN_DATETIME_JSON),
}


def declared_type(schema: Tree, *, is_resource: bool = False, resolve: Resolve | None = None) -> Declared | None:
    """What expressions may know of the values of `schema`; None if that is nothing.

    `is_resource`: the root of a resource, whose kind and names are known whether or not its schema tells of them.
    `resolve` finds the schemas that `$ref`s name, as documents of OpenAPI have them.
    """
    return _Maker(resolve).make(schema, is_resource)


class _Maker:
    def __init__(self, resolve: Resolve | None) -> None:
        self._resolve = resolve
        self._within: set[str] = set()

    def make(self, schema: Tree, is_resource: bool = False) -> Declared | None:
        if self._resolve is not None and (reference := _reference(schema)):
            return self._referenced(reference, schema, is_resource)
        if schema.get("x-kubernetes-int-or-string") or (self._resolve and schema.get("format") == "int-or-string"):
            most = _longest(schema)
            return Declared(simple=types.DYN, most=_LONGEST_TEXT if most is None else most, least_json=1)
        match schema.get("type"):
            case "array":
                return self._list(schema)
            case "object":
                return self._object(schema, is_resource or bool(schema.get("x-kubernetes-embedded-resource")))
            case "string":
                return _text(schema)
            case "boolean":
                return _BOOL
            case "number":
                return _DOUBLE
            case "integer":
                return _INT
        return None

    def _referenced(self, reference: str, schema: Tree, is_resource: bool) -> Declared | None:
        if reference in self._within:
            return self.make({"type": "object"})  # it contains itself, and no further does anybody look
        found = self._resolve(reference) if self._resolve else None
        if found is None:
            return None
        self._within.add(reference)
        try:
            # What is said beside the reference of the value's default or list type holds as well.
            rest = {name: value for name, value in schema.items() if name not in ("$ref", "allOf")}
            return self.make({**found, **rest}, is_resource)
        finally:
            self._within.discard(reference)

    def _list(self, schema: Tree) -> Declared | None:
        items = schema.get("items")
        element = self.make(items) if isinstance(items, Mapping) else None
        if element is None:
            return None
        most = _least_zero(schema.get("maxItems"))
        if most is None:
            most = (limits.MAX_REQUEST - 2) // (element.least_json + 1)  # brackets; a comma
        return Declared(element=element, most=most, least_json=2)

    def _object(self, schema: Tree, is_resource: bool) -> Declared | None:
        if is_resource:
            schema = _with_meta(schema)
        if isinstance(others := schema.get("additionalProperties"), Mapping):
            element = self.make(others)
            if element is None:
                return None
            most = _least_zero(schema.get("maxProperties"))
            if most is None:
                # Braces; a key of two characters with quotation marks, a colon and a comma.
                most = (limits.MAX_REQUEST - 2) // (element.least_json + 6)
            return Declared(element=element, is_map=True, most=most, least_json=2)
        required = frozenset(schema.get("required") or ())
        fields: dict[str, tuple[str, Declared]] = {}
        least = 2
        for name, inner in (schema.get("properties") or {}).items():
            declared = self.make(inner)
            if declared is None:
                continue
            if (identifier := escape(name)) is not None:
                fields[identifier] = (name, declared)
            if name in required and inner.get("default") is None:
                least += len(name.encode()) + declared.least_json + 4
        return Declared(fields=fields, least_json=least)


def _reference(schema: Tree) -> str:
    """What a schema refers to, as documents of OpenAPI v3 write it: alone, or as the only one of `allOf`."""
    if reference := schema.get("$ref"):
        return str(reference)
    within = schema.get("allOf") or ()
    return next((str(one.get("$ref") or "") for one in within if len(within) == 1), "")


def _with_meta(schema: Tree) -> Tree:
    """`schema` with kind, apiVersion and names, unless it tells of all of them itself."""
    properties = schema.get("properties") or {}
    meta = properties.get("metadata") or {}
    names = meta.get("properties") or {}
    known = (
        *((properties.get(name) or {}).get("type") for name in ("kind", "apiVersion")),
        *((names.get(name) or {}).get("type") for name in ("name", "generateName")),
    )
    if set(known) == {"string"} and meta.get("type") == "object":
        return schema
    if "$ref" in meta or "allOf" in meta:  # of a built-in kind, where names are known
        return schema
    return {**schema, "properties": {**properties, **_META}}


def _text(schema: Tree) -> Declared:
    format_ = schema.get("format")
    if format_ in _FORMATTED:
        return _FORMATTED[format_]
    if format_ == "byte":
        longest = _least_zero(schema.get("maxLength"))
        made = Declared(simple=types.BYTES, most=_LONGEST_TEXT, least_json=limits.MIN_STRING_JSON)
        return made if longest is None else replace(made, most=longest)
    most = _longest(schema)
    if most is None:
        allowed = schema.get("enum") or ()
        lengths = [len(one.encode()) for one in allowed if isinstance(one, str)]
        most = max(lengths, default=0) if allowed else _LONGEST_TEXT
    return Declared(simple=types.STRING, most=most, least_json=limits.MIN_STRING_JSON)


def _longest(schema: Tree) -> int | None:
    """Bytes: four for each character, which is what lengths are given in."""
    longest = _least_zero(schema.get("maxLength"))
    return None if longest is None else longest * 4


def _least_zero(value: int | None) -> int | None:
    return None if value is None else max(value, 0)
