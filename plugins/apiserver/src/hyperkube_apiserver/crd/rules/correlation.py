"""Which old value a new one takes the place of, and whether they are the same.

Source: k8s.io/apiserver/pkg/cel/common/{equality,maplist}.go.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.apiextensions.sameness import same

__all__ = ["Correlation", "KeyedItems", "Ratchet"]

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


class Correlation:
    """A new value beside the old one in its place. None stands for a place that had none before."""

    def __init__(self, value: Any, old: Any, schema: Tree) -> None:
        self._value = value
        self._old = old
        self._schema = schema
        self._same: bool | None = None
        self._keyed: KeyedItems | None = None
        self._children: dict[str | int, Correlation] = {}

    def is_same(self) -> bool:
        if self._same is None:
            self._same = self._compare()
        return self._same

    def key(self, name: str) -> Correlation | None:
        if (found := self._children.get(name)) is not None:
            return found
        if not (isinstance(self._old, dict) and isinstance(self._value, dict)):
            return None
        if name not in self._old or name not in self._value:
            return None
        properties = self._schema.get("properties") or {}
        schema = properties[name] if name in properties else self._schema.get("additionalProperties")
        if not isinstance(schema, dict):
            return None
        made = self._children[name] = Correlation(self._value[name], self._old[name], schema)
        return made

    def index(self, position: int) -> Correlation | None:
        if (found := self._children.get(position)) is not None:
            return found
        if not (isinstance(self._old, list) and isinstance(self._value, list)) or position >= len(self._value):
            return None
        if self._schema.get("x-kubernetes-list-type") != "map":
            return None
        if self._keyed is None:
            self._keyed = KeyedItems(self._schema, self._old)
        old, schema = self._keyed.get(self._value[position]), self._schema.get("items")
        if old is None or not isinstance(schema, dict):
            return None
        made = self._children[position] = Correlation(self._value[position], old, schema)
        return made

    def _compare(self) -> bool:
        value, old = self._value, self._old
        if value is None or old is None:
            return value is old
        if isinstance(value, dict) and isinstance(old, dict):
            if len(value) != len(old):
                return False
            return all((child := self.key(name)) is not None and child.is_same() for name in value)
        if not (isinstance(value, list) and isinstance(old, list)):
            return same(value, old)
        if len(value) != len(old):
            return False
        for position in range(len(value)):
            child = self.index(position)
            if child is None:
                return self._keyed is None and same(value, old)
            if not child.is_same():
                return False
        return True


class Ratchet:
    """Whether failures at a place are to be forgiven, since the value there, or one around it, is as it was."""

    __slots__ = ("_current", "_nearest")

    def __init__(self, current: Correlation | None = None, nearest: Correlation | None = None) -> None:
        self._current = current
        self._nearest = nearest  # above, that has an old value

    def forgives(self) -> bool:
        decisive = self._current or self._nearest
        return decisive is not None and decisive.is_same()

    def key(self, name: str) -> Ratchet:
        if self._current is None:
            return self
        if self._nearest is None and name in ("apiVersion", "kind"):
            return Ratchet()  # both objects were converted to the same version
        return Ratchet(self._current.key(name), self._current)

    def index(self, position: int) -> Ratchet:
        return self if self._current is None else Ratchet(self._current.index(position), self._current)
