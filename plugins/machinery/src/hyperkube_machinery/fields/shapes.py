"""What a type is to ownership: which parts of its values are fields of their own.

A scalar is one field. A list or a map that is atomic is one as well; an associative list has a field for each of its
items, known by their keys or values, and a granular map, such as any struct, one for each of its entries.
Source: sigs.k8s.io/structured-merge-diff/v6/schema, k8s.io/kube-openapi/pkg/schemaconv.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hyperkube_machinery.fields.elements import of_keys, of_value
from hyperkube_machinery.schema.table import WRITTEN, Table, Type, load_table

__all__ = ["DEDUCED", "UNTYPED", "BadItem", "ListShape", "MapShape", "Shape", "Shapes", "load_shapes"]

_SCALARS = {
    **dict.fromkeys(("int32", "int64", "float64"), "numeric"),
    **dict.fromkeys(("string", "time", "microtime"), "string"),
    "bool": "boolean",
}
_UNTYPED_SCALARS = frozenset({"quantity", "intorstring", "bytes"})
# What an item has for a key that it does not name. A text or number that is always written is empty or zero; these
# are keys that may be left out.
_ZEROS: Mapping[str, Any] = {"string": "", "int32": 0, "int64": 0}
_KEY_DEFAULTS: Mapping[tuple[str, str], Any] = {
    ("io.k8s.api.core.v1.ContainerPort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.ServicePort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.LocalObjectReference", "name"): "",
}


_MOST_REMEMBERED = 1024  # elements of one list: names of containers, volumes and conditions repeat


class BadItem(ValueError):
    """An item can't be told from the others of its list."""


@dataclass(slots=True, eq=False)
class MapShape:
    """A struct or a map."""

    fields: dict[str, Shape] = field(default_factory=dict)
    element: Shape | None = None  # of entries that are no fields; None: there are none
    atomic: bool = False

    def of(self, name: str) -> Shape | None:
        return self.fields.get(name, self.element)


@dataclass(slots=True, eq=False)
class ListShape:
    """A list; if it is not atomic, its items are known by `keys`, or, without any, by their values."""

    element: Shape
    atomic: bool = True
    keys: tuple[str, ...] = ()  # in the order of the schema
    defaults: Mapping[str, Any] = field(default_factory=dict)
    _elements: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def known_element(self, item: Any) -> str:
        """The same as `path_element`, sooner, for items whose keys are known to be of their types. Raises BadItem."""
        if not self.keys or not isinstance(item, dict):
            return self.path_element(item)
        get, defaults = item.get, self.defaults
        values = tuple([get(key, defaults.get(key)) for key in self.keys])
        text = self._elements.get(values)
        if text is None:
            text = self.path_element(item)
            if None in values:  # not every key: the others alone are the element
                return text
            if len(self._elements) >= _MOST_REMEMBERED:
                self._elements.clear()
            self._elements[values] = text
        return text

    def path_element(self, item: Any) -> str:
        """The path element of an item. Raises BadItem."""
        return self._by_keys(item) if self.keys else _by_value(item)

    def _by_keys(self, item: Any) -> str:
        if item is None:
            raise BadItem("associative list with keys may not have a null element")
        if not isinstance(item, dict):
            raise BadItem("associative list with keys may not have non-map elements")
        pairs = []
        for key in sorted(self.keys):
            if key in item:
                pairs.append((key, item[key]))
            elif key in self.defaults:
                pairs.append((key, self.defaults[key]))
        if not pairs:
            shown = " ".join(f'"{key}"' for key in self.keys)
            raise BadItem(
                f"associative list with keys has an element that omits all key fields [{shown}] "
                "(and doesn't have default values for any key fields)"
            )
        return of_keys(pairs)


def _by_value(item: Any) -> str:
    if isinstance(item, dict):
        raise BadItem("associative list without keys has an element that's a map type")
    if isinstance(item, list):
        raise BadItem("not supported: associative list with lists as elements")
    if item is None:
        raise BadItem("associative list without keys has an element that's an explicit null")
    return of_value(item)


@dataclass(slots=True, eq=False)
class Shape:
    """A type. Few may be more than one of the three."""

    scalar: str = ""  # numeric, string, boolean, untyped
    list: ListShape | None = None
    map: MapShape | None = None

    def for_value(self, value: Any) -> Shape:
        """The one that `value` is, if it is one of them; null is any."""
        if isinstance(value, dict):
            return Shape(map=self.map) if self.map and (self.scalar or self.list) else self
        if isinstance(value, list):
            return Shape(list=self.list) if self.list and (self.scalar or self.map) else self
        if value is not None and self.scalar and (self.list or self.map):
            return Shape(self.scalar)
        return self


def _untyped(*, deduced: bool) -> Shape:
    """Whatever JSON can say; maps in it are granular where the type is `deduced` from the value."""
    shape = Shape("untyped")
    atomic = _untyped(deduced=False) if deduced else shape
    shape.list = ListShape(atomic)
    shape.map = MapShape(element=shape, atomic=not deduced)
    return shape


UNTYPED = _untyped(deduced=False)
"""Anything, as one field."""
DEDUCED = _untyped(deduced=True)
"""Anything; the entries of maps in it are fields of their own."""


class Shapes:
    """Shapes by definition."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._structs: dict[tuple[str, bool], Shape] = {}

    def of(self, definition: str) -> Shape:
        """KeyError for an unknown definition."""
        own = self._table.lists.get(definition, {}).get("", {})
        return self._struct(definition, own.get("map") == "atomic")

    def _struct(self, definition: str, atomic: bool) -> Shape:
        shape = self._structs.get((definition, atomic))
        if shape is None:
            made = MapShape(atomic=atomic)
            shape = self._structs[definition, atomic] = Shape(map=made)  # before its fields: some hold themselves
            merging = self._table.lists.get(definition, {})
            for one in self._table.fields(definition):
                made.fields[one.name] = self._shape(one.type, merging.get(one.name, {}))
        return shape

    def _shape(self, type_: Type, merging: Mapping[str, Any]) -> Shape:
        kind = type_.kind
        if kind in _SCALARS:
            return Shape(_SCALARS[kind])
        if kind in _UNTYPED_SCALARS:
            return Shape("untyped")
        if kind == "struct":
            if "map" in merging:
                return self._struct(type_.definition, merging["map"] == "atomic")
            return self.of(type_.definition)
        if kind == "map":
            assert type_.element is not None
            return Shape(map=MapShape(element=self._shape(type_.element, {}), atomic=merging.get("map") == "atomic"))
        if kind == "list":
            return self._list(type_, merging)
        return DEDUCED

    def _list(self, type_: Type, merging: Mapping[str, Any]) -> Shape:
        assert type_.element is not None
        element = self._shape(type_.element, {})
        style = merging.get("list", "atomic")
        if style != "map":
            return Shape(list=ListShape(element, atomic=style == "atomic"))
        keys = tuple(merging["keys"])
        return Shape(list=ListShape(element, atomic=False, keys=keys, defaults=self._defaults(type_.element, keys)))

    def _defaults(self, element: Type, keys: tuple[str, ...]) -> dict[str, Any]:
        fields = self._table.fields_by_name(element.definition)
        defaults: dict[str, Any] = {}
        for key in keys:
            if (element.definition, key) in _KEY_DEFAULTS:
                defaults[key] = _KEY_DEFAULTS[element.definition, key]
            elif fields[key].when_empty == WRITTEN and fields[key].type.kind in _ZEROS:
                defaults[key] = _ZEROS[fields[key].type.kind]
        return defaults


@cache
def load_shapes() -> Shapes:
    """The shapes of Kubernetes 1.36."""
    return Shapes(load_table())
