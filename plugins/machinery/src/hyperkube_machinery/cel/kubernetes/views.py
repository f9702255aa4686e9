"""Data as rules see them: what a schema says of values that JSON's forms don't show.

Fields that are null are absent, lists that are sets or maps are equal in any order, and times are read as the formats
of OpenAPI have them. Most schemas say nothing of the kind, and their values are seen as they are.
Source: k8s.io/apiserver/pkg/cel/common/valuesunstructured.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, ClassVar

from hyperkube_machinery.cel.equality import equal
from hyperkube_machinery.cel.times import parse_duration, parse_timestamp
from hyperkube_machinery.cel.types import DYN, Type, list_of
from hyperkube_machinery.cel.values import Duration

__all__ = ["KeyedList", "View", "view_of"]

Tree = Mapping[str, Any]
View = Callable[[Any], Any]

_SECOND = 10**9
_UNITS = {
    "ns": 1,
    "µs": 1000,
    "us": 1000,
    "ms": 10**6,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
    "d": 86400 * _SECOND,
    "w": 7 * 86400 * _SECOND,
}
_NAMES = (
    ("ns", "nanoseconds nanosecond nanos nano ns"),
    ("us", "microseconds microsecond micros micro µs us"),
    ("ms", "milliseconds millisecond millis milli ms"),
    ("s", "seconds second secs sec s"),
    ("m", "minutes minute mins min m"),
    ("h", "hours hour hrs hr h"),
    ("d", "days day d"),
    ("w", "weeks week wks wk w"),
)
_UNIT_OF = {name: unit for unit, names in _NAMES for name in names.split()}
_part_re = re.compile(r"([0-9]*\.?[0-9]+|[0-9]+\.)\s*([a-zµ]+)\s*")


class KeyedList(list[Any]):
    """A list whose order says nothing: its items are told apart by keys, or as a set by themselves."""

    __slots__ = ("_keys",)

    cel_type: ClassVar[Type] = list_of(DYN)

    def __init__(self, items: Iterable[Any], keys: tuple[str, ...] = ()) -> None:
        super().__init__(items)
        self._keys = keys

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list) or len(self) != len(other):
            return False
        mine = {self._key(item): item for item in self}
        if not self._keys:
            return all(self._key(item) in mine for item in other)
        return all((key := self._key(item)) in mine and equal(mine[key], item) for item in other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __add__(self, other: list[Any]) -> KeyedList:
        """The items of both; of those with the same keys the others', in the place of these."""
        merged = list(self)
        places = {self._key(item): place for place, item in enumerate(merged)}
        for item in other:
            place = places.get(key := self._key(item))
            if place is None:
                places[key] = len(merged)
                merged.append(item)
            else:
                merged[place] = item
        return KeyedList(merged, self._keys)

    def _key(self, item: Any) -> Hashable:
        if not self._keys:
            return type(item), item
        return tuple(map(item.get, self._keys)) if isinstance(item, dict) else ()


def view_of(schema: Tree) -> View | None:
    """What shows values of a structural schema to rules; None if they are shown as they are."""
    match schema.get("type"):
        case "object":
            return _object(schema)
        case "array":
            return _array(schema)
        case "string":
            return {"duration": _duration, "date-time": _datetime}.get(schema.get("format") or "")
    return None


def _object(schema: Tree) -> View | None:
    properties = schema.get("properties") or {}
    views = {name: view for name, inner in properties.items() if (view := view_of(inner)) is not None}
    if properties:
        nullable = any(inner.get("nullable") for inner in properties.values())
        return _fields(views, nullable=nullable) if views or nullable else None
    others = schema.get("additionalProperties")
    view = view_of(others) if isinstance(others, Mapping) else None
    return None if view is None else _entries(view)


def _fields(views: Mapping[str, View], *, nullable: bool) -> View:
    def show(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        shown = {name: item for name, item in value.items() if item is not None} if nullable else dict(value)
        for name, view in views.items():
            if name in shown:
                shown[name] = view(shown[name])
        return shown

    return show


def _entries(view: View) -> View:
    return lambda value: {key: view(item) for key, item in value.items()} if isinstance(value, dict) else value


def _array(schema: Tree) -> View | None:
    items = schema.get("items")
    view = view_of(items) if isinstance(items, Mapping) else None
    kind = schema.get("x-kubernetes-list-type")
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ()) if kind == "map" else ()
    if kind not in ("map", "set"):
        return None if view is None else _items(view)

    def show(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return KeyedList(value if view is None else map(view, value), keys)

    return show


def _items(view: View) -> View:
    return lambda value: list(map(view, value)) if isinstance(value, list) else value


def _duration(value: Any) -> Any:
    """What Go writes stays text; `1 day` does not."""
    if not isinstance(value, str) or parse_duration(value) is not None:
        return value
    text = value.strip()
    negative = text.startswith("-")
    text = text.removeprefix("-").removeprefix("+")
    total, position = 0, 0
    while position < len(text):
        match = _part_re.match(text, position)
        if match is None or match[2] not in _UNIT_OF:
            return value
        total += int(float(match[1]) * _UNITS[_UNIT_OF[match[2]]])
        position = match.end()
    return Duration(-total if negative else total)


def _datetime(value: Any) -> Any:
    """What has a zone stays text; what has none is taken to be UTC."""
    if not isinstance(value, str) or parse_timestamp(value) is not None:
        return value
    return parse_timestamp(f"{value}Z") or value
