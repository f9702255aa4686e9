"""Values beside those whose place they take: what did not change need not be right if it was wrong before.

The items of a list are correlated where they have keys, by those; a list of any other type is compared as a whole.
Source: k8s.io/apiserver/pkg/cel/common (equality.go, maplist.go).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.apiextensions.sameness import same

__all__ = ["Correlated", "KeyedItems"]

Tree = Mapping[str, Any]


class KeyedItems:
    """The items of an old list whose items are told apart by keys; empty if its schema names none."""

    def __init__(self, schema: Tree, items: Sequence[Any]) -> None:
        keys = schema.get("x-kubernetes-list-map-keys") or ()
        is_map = schema.get("type") == "array" and schema.get("x-kubernetes-list-type") == "map"
        self._keys: tuple[str, ...] = tuple(keys) if is_map and items else ()
        self._items: dict[Hashable, Any] = {}
        for item in items if self._keys else ():
            if (key := self._key(item)) is not None:
                self._items.setdefault(key, item)

    def get(self, item: Any) -> Any:
        """The old item that has the keys of `item`, None if none has."""
        key = self._key(item) if self._items else None
        return None if key is None else self._items.get(key)

    def _key(self, item: Any) -> Hashable | None:
        if not isinstance(item, dict):
            return None
        values = [item.get(key) for key in self._keys]
        if not all(isinstance(value, str | int | float) for value in values):
            return None
        return tuple((type(value), value) for value in values)


class Correlated:
    """A value of a structural schema, and what was in its place before. Neither may change meanwhile.

    None stands for a place that had nothing before.
    """

    __slots__ = ("_children", "_is_same", "_keyed", "_old", "_schema", "_value")

    def __init__(self, value: Any, old: Any, schema: Tree) -> None:
        self._value, self._old, self._schema = value, old, schema
        self._children: dict[str | int, Correlated] = {}
        self._keyed: KeyedItems | None = None
        self._is_same: bool | None = None

    def field(self, name: str) -> Correlated | None:
        """The value of a field; None if there was none before, or the schema does not tell of any."""
        if (known := self._children.get(name)) is not None:
            return known
        if not (isinstance(self._value, dict) and isinstance(self._old, dict)):
            return None
        if name not in self._value or name not in self._old:
            return None
        schema = (self._schema.get("properties") or {}).get(name, self._schema.get("additionalProperties"))
        if not isinstance(schema, dict):
            return None
        child = self._children[name] = Correlated(self._value[name], self._old[name], schema)
        return child

    def item(self, index: int) -> Correlated | None:
        """The item at `index`; None if none before had its keys."""
        if (known := self._children.get(index)) is not None:
            return known
        if not (isinstance(self._value, list) and isinstance(self._old, list)) or index >= len(self._value):
            return None
        if self._schema.get("x-kubernetes-list-type") != "map":
            return None
        if self._keyed is None:
            self._keyed = KeyedItems(self._schema, self._old)
        old, schema = self._keyed.get(self._value[index]), self._schema.get("items")
        if old is None or not isinstance(schema, dict):
            return None
        child = self._children[index] = Correlated(self._value[index], old, schema)
        return child

    def is_same(self) -> bool:
        """Whether nothing changed; items with keys may have moved."""
        if self._is_same is None:
            self._is_same = self._compare()
        return self._is_same

    def _compare(self) -> bool:
        value, old = self._value, self._old
        if value is None or old is None:
            return value is old
        if isinstance(value, list) and isinstance(old, list):
            if len(value) != len(old):
                return False
            for index in range(len(value)):
                if (item := self.item(index)) is None:
                    return self._keyed is None and same(value, old)
                if not item.is_same():
                    return False
            return True
        if isinstance(value, dict) and isinstance(old, dict):
            if len(value) != len(old):
                return False
            fields = map(self.field, value)
            return all(one is not None and one.is_same() for one in fields)
        return same(value, old)
