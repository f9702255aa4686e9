"""The table of definitions, and what a type in it is.

The table is data of one Kubernetes version (`tools/generate_definitions.py` writes it): for each definition its fields
in the order of the wire form, each with its Go type, and whether it is written when empty. Go's types decide what
decodes into what and how errors call it, so they are kept as Go spells them, with OpenAPI's names of definitions:
`[]io.k8s.api.core.v1.Container`, `*int32`, `map[string]string`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from hyperkube_machinery.packaged import read_packaged

__all__ = ["OMITTED", "OMITTED_IF_ZERO", "SCHEMA_DEFINITION", "WRITTEN", "Field", "Table", "Type", "load_table"]

SCHEMA_DEFINITION = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"

# What a field does when its value is empty.
OMITTED, OMITTED_IF_ZERO, WRITTEN = 0, 1, 2

_SCALARS = frozenset({"string", "bool", "int32", "int64", "float64", "bytes"})
_RAW = "raw"  # any JSON value, kept as it is
_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "microtime",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intorstring",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": _RAW,
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": _RAW,
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": _RAW,
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "schema-or-array",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "schema-or-bool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "schema-or-strings",
}


@dataclass(frozen=True, slots=True)
class Type:
    """A Go type as far as JSON sees it.

    `kind` is struct, list, map, string, bool, int32, int64, float64, bytes, or one of the types that decode themselves:
    quantity, time, microtime, intorstring, raw, schema-or-….
    """

    kind: str
    name: str  # as error texts call it, without the pointer: v1.Container, []v1.Container, int32
    pointer: bool = False
    definition: str = ""  # of a struct
    element: Type | None = None  # of a list or map


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a definition."""

    name: str
    type: Type
    when_empty: int
    number: int  # in protobuf; 0 for kind and apiVersion, which stand beside the message
    inlined: str  # the embedded structs it stands in, which error texts name: "VolumeSource"
    outer: tuple[int, ...]  # the numbers of those

    @property
    def keeps_empty(self) -> bool:
        """Whether a value such as "" or {} that is present is written.

        A list or map that is empty is as good as none: what is stored doesn't tell them apart.
        """
        if self.type.kind in {"list", "map"}:
            return self.type.pointer
        return self.type.pointer or self.when_empty == WRITTEN or self.type.kind == "struct"


class Table:
    """Definitions by OpenAPI's names."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._types: list[str] = data["types"]
        self._named: dict[str, str] = data["named"]
        self._definitions: dict[str, list[list[Any]]] = data["definitions"]
        self._fields: dict[str, tuple[Field, ...]] = {}
        self._by_name: dict[str, dict[str, Field]] = {}
        self._by_number: dict[str, dict[int, Any]] = {}
        self._parsed: dict[str, Type] = {}
        self.kinds: dict[str, str] = data["kinds"]  # "apps/v1 Deployment" -> definition
        self.lists: dict[str, dict[str, dict[str, Any]]] = data["lists"]  # definition -> field -> how it merges

    def __contains__(self, definition: str) -> bool:
        return definition in self._definitions

    def __iter__(self) -> Any:
        return iter(self._definitions)

    def extended(self, definitions: Mapping[str, Sequence[tuple[str, str, int]]], *, numbered: bool = False) -> Table:
        """This table with definitions of its reader's, of types that no API serves.

        Each field is its name, its Go type and what it does when it is empty; `numbered` messages have them in order.
        """
        types = [*self._types, *(type_ for fields in definitions.values() for _, type_, _ in fields)]
        place = {expression: index for index, expression in enumerate(types)}
        rows = {
            definition: [
                [name, place[type_], when_empty, number if numbered else 0]
                for number, (name, type_, when_empty) in enumerate(fields, 1)
            ]
            for definition, fields in definitions.items()
        }
        return Table(
            {
                "types": types,
                "named": self._named,
                "definitions": self._definitions | rows,
                "kinds": self.kinds,
                "lists": self.lists,
            }
        )

    def fields(self, definition: str) -> tuple[Field, ...]:
        """In the order of the wire form. KeyError for an unknown definition."""
        fields = self._fields.get(definition)
        if fields is None:
            rows = self._definitions[definition]
            fields = tuple(
                Field(name, self.type(self._types[type_]), when_empty, number, "".join(inlined[:1]), tuple(inlined[1:]))
                for name, type_, when_empty, number, *inlined in rows
            )
            self._fields[definition] = fields
        return fields

    def fields_by_name(self, definition: str) -> dict[str, Field]:
        """The same by their names. KeyError for an unknown definition."""
        fields = self._by_name.get(definition)
        if fields is None:
            fields = self._by_name[definition] = {field.name: field for field in self.fields(definition)}
        return fields

    def fields_by_number(self, definition: str) -> dict[int, Any]:
        """JSON name and type by number in protobuf; for a struct that is inlined, the same of its fields."""
        numbers = self._by_number.get(definition)
        if numbers is None:
            numbers = self._by_number[definition] = {}
            for field in self.fields(definition):
                place = numbers
                for outer in field.outer:
                    place = place.setdefault(outer, {})
                if field.number:
                    place[field.number] = (field.name, field.type)
        return numbers

    def type(self, expression: str) -> Type:
        """The type that a Go expression names."""
        parsed = self._parsed.get(expression)
        if parsed is None:
            parsed = self._parsed[expression] = self._parse(expression)
        return parsed

    def _parse(self, expression: str) -> Type:
        if expression.startswith("*"):
            base = self.type(expression[1:])
            return Type(base.kind, base.name, True, base.definition, base.element)
        name = _shown(expression)
        if expression in _SCALARS:
            return Type(expression, "[]uint8" if expression == "bytes" else expression)
        if expression in _SPECIAL:
            return Type(_SPECIAL[expression], name)
        if expression.startswith("[]"):
            return Type("list", name, element=self.type(expression[2:]))
        if expression.startswith("map["):
            return Type("map", name, element=self.type(expression[expression.index("]") + 1 :]))
        if expression in self._named:
            base = self.type(self._named[expression])
            return Type(base.kind, name, base.pointer, base.definition, base.element)
        return Type("struct", name, definition=expression)


def _shown(expression: str) -> str:
    """As Go prints the type: the package's last name and the type's."""
    if expression.startswith("[]"):
        return "[]" + _shown(expression[2:])
    if expression.startswith("*"):
        return "*" + _shown(expression[1:])
    if expression.startswith("map["):
        key, _, value = expression[4:].partition("]")
        return f"map[{_shown(key)}]{_shown(value)}"
    return "[]uint8" if expression == "bytes" else ".".join(expression.rsplit(".", 2)[-2:])


@cache
def load_table() -> Table:
    """The table of this package, read once."""
    return Table(orjson.loads(read_packaged("hyperkube_machinery.schema", "definitions.json")))
