"""The types that expressions are checked against.

A type is a kind, a name and parameters; two types are the same if those are. What an object's fields are hangs on the
object's type and takes no part in the comparison: object types are known by their names.

Source: the language definition of CEL, and the names that cel-go writes in its messages.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = [
    "ANY",
    "BOOL",
    "BYTES",
    "DOUBLE",
    "DURATION",
    "DYN",
    "ERROR",
    "INT",
    "NULL",
    "STRING",
    "TIMESTAMP",
    "TYPE",
    "UINT",
    "Field",
    "Kind",
    "ObjectType",
    "Type",
    "TypeProvider",
    "list_of",
    "map_of",
    "opaque",
    "optional_of",
    "type_of",
    "type_parameter",
    "wrapper_of",
]


class Kind(enum.Enum):
    """What sort of type it is, which decides what may be done with its values."""

    ANY = "any"
    BOOL = "bool"
    BYTES = "bytes"
    DOUBLE = "double"
    DURATION = "duration"
    DYN = "dyn"
    ERROR = "error"
    INT = "int"
    LIST = "list"
    MAP = "map"
    NULL = "null"
    OBJECT = "object"
    OPAQUE = "opaque"
    STRING = "string"
    TIMESTAMP = "timestamp"
    TYPE = "type"
    TYPE_PARAMETER = "type parameter"
    UINT = "uint"
    WRAPPER = "wrapper"


_SHOWN = {
    Kind.ANY: "any",
    Kind.DURATION: "duration",
    Kind.ERROR: "!error!",
    Kind.NULL: "null",
    Kind.TIMESTAMP: "timestamp",
}


@dataclass(frozen=True, slots=True)
class Type:
    """A type. Make composed ones with `list_of`, `map_of`, `optional_of`, `opaque` …

    As a value of an expression (`type(1)`, `int`) it is itself, and says so by `cel_type`.
    """

    kind: Kind
    name: str
    parameters: tuple[Type, ...] = ()
    open: bool = field(init=False, repr=False, compare=False)  # whether there are type parameters in it

    def __post_init__(self) -> None:
        is_open = self.kind is Kind.TYPE_PARAMETER or any(each.open for each in self.parameters)
        object.__setattr__(self, "open", is_open)

    @property
    def cel_type(self) -> Type:
        return TYPE

    @property
    def is_dynamic(self) -> bool:
        """Whether nothing is known of its values before evaluation."""
        return self.kind in (Kind.DYN, Kind.ANY)

    @property
    def is_optional(self) -> bool:
        return self.kind is Kind.OPAQUE and self.name == "optional_type"

    def __str__(self) -> str:
        """As messages write it: `map(string, list(int))`."""
        if self.kind is Kind.WRAPPER:
            return f"wrapper({self.parameters[0]})"
        if self.kind in _SHOWN:
            return _SHOWN[self.kind]
        if not self.parameters:
            return self.name
        return f"{self.name}({', '.join(map(str, self.parameters))})"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object type: what it holds, and under which key the JSON object has it (None: its own name)."""

    type: Type
    key: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ObjectType(Type):
    """An object whose fields are known. Its values are `dict`s, or any mapping.

    `fields` are asked for by their names in expressions; they may be a mapping that makes them when first asked, which
    is how types contain themselves. `construct` makes the value of `Name{field: value}` from the given fields
    (by their keys); without it the dict of them is the value. It raises EvaluationError.
    """

    fields: Mapping[str, Field] = field(default_factory=dict)
    construct: Callable[[dict[str, Any]], Any] | None = None

    def __init__(
        self,
        name: str,
        fields: Mapping[str, Field] | None = None,
        construct: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        Type.__init__(self, Kind.OBJECT, name)
        object.__setattr__(self, "fields", {} if fields is None else fields)
        object.__setattr__(self, "construct", construct)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and other.kind is Kind.OBJECT and other.name == self.name

    def __hash__(self) -> int:
        return hash((Kind.OBJECT, self.name))


class TypeProvider(Protocol):
    """Finds object types by their full names; a dict of them is one."""

    def get(self, name: str, /) -> ObjectType | None: ...


ANY = Type(Kind.ANY, "google.protobuf.Any")
BOOL = Type(Kind.BOOL, "bool")
BYTES = Type(Kind.BYTES, "bytes")
DOUBLE = Type(Kind.DOUBLE, "double")
DURATION = Type(Kind.DURATION, "google.protobuf.Duration")
DYN = Type(Kind.DYN, "dyn")
ERROR = Type(Kind.ERROR, "*error*")
INT = Type(Kind.INT, "int")
NULL = Type(Kind.NULL, "null_type")
STRING = Type(Kind.STRING, "string")
TIMESTAMP = Type(Kind.TIMESTAMP, "google.protobuf.Timestamp")
TYPE = Type(Kind.TYPE, "type")
UINT = Type(Kind.UINT, "uint")


def list_of(element: Type) -> Type:
    return Type(Kind.LIST, "list", (element,))


def map_of(key: Type, value: Type) -> Type:
    return Type(Kind.MAP, "map", (key, value))


def optional_of(value: Type) -> Type:
    return Type(Kind.OPAQUE, "optional_type", (value,))


def opaque(name: str, *parameters: Type) -> Type:
    """A type of a library's own. Its values are Python objects with an attribute `cel_type` that is this type."""
    return Type(Kind.OPAQUE, name, parameters)


def type_parameter(name: str) -> Type:
    """Stands for any one type in an overload: `list(A), A -> bool`."""
    return Type(Kind.TYPE_PARAMETER, name)


def type_of(described: Type) -> Type:
    """The type of the type `described` as a value."""
    return Type(Kind.TYPE, "type", (described,))


def wrapper_of(primitive: Type) -> Type:
    """A primitive or null."""
    return Type(Kind.WRAPPER, primitive.name, (primitive,))
