"""Whether two values are equal. Source: the language definition; cel-go's common/types."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from hyperkube_machinery.cel.types import Type
from hyperkube_machinery.cel.values import Optional, UInt

__all__ = ["contains", "equal", "find_key", "size_of", "weight_of"]

_PLAIN = (str, int, bool, bytes, UInt, type(None))
_NUMBERS = (int, float, UInt)
_SIZED = (str, list, dict, bytes)
_HOLDING = (list, dict)


def equal(one: Any, other: Any) -> bool:
    """Whether the values are equal: numbers of any type by value, and nothing else across types."""
    kind, other_kind = type(one), type(other)
    if kind is other_kind:
        if kind in _PLAIN:
            return bool(one == other)
        if kind is float:
            return bool(one == other)
        if kind is list:
            return len(one) == len(other) and all(map(equal, one, other))
        if kind is dict:
            return _same_entries(one, other)
        if kind is Optional:
            return one.present == other.present and equal(one.value, other.value)
        if isinstance(one, Type):
            return bool(one.name == other.name)
        return bool(one == other)
    if kind in _NUMBERS and other_kind in _NUMBERS:
        return float(one) == float(other) if kind is float or other_kind is float else one == other
    if isinstance(one, Type) and isinstance(other, Type):
        return one.name == other.name
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return _same_entries(one, other)
    if isinstance(one, list) and isinstance(other, list):  # one of them knows better what makes it equal
        return bool(one == other)
    return False


def _same_entries(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    if len(one) != len(other):
        return False
    for key, value in one.items():
        if key.__class__ is str:
            if key not in other or not equal(value, other[key]):
                return False
            continue
        found = find_key(other, key)
        if found is None or not equal(value, found[0]):
            return False
    return True


def find_key(values: Mapping[Any, Any], key: Any) -> tuple[Any] | None:
    """The value at a key of any type in a tuple, or None. For Python True is 1; here it isn't."""
    try:
        if key not in values:
            return None
    except TypeError:  # a list can't be a key
        return None
    if key.__class__ in (str, bytes):
        return (values[key],)
    if isinstance(key, float) and math.isnan(key):
        return None
    if isinstance(key, bool) is not isinstance(next(iter(values)), bool):
        return None
    return (values[key],)


def contains(items: list[Any], wanted: Any) -> bool:
    """Whether something in the list is equal to `wanted`."""
    if wanted.__class__ is str:
        return wanted in items
    return any(equal(wanted, item) for item in items)


def size_of(value: Any) -> int:
    """What `size()` tells of the value, as far as costs go: 1 for all that has none."""
    if value.__class__ in _SIZED:
        return len(value)
    if isinstance(value, Optional) and value.present:
        return size_of(value.value)
    return len(value) if isinstance(value, Mapping | list) else 1


def weight_of(value: Any) -> int:
    """How many values there are in a list or map, in all: what comparing it takes, though it costs but by its size."""
    if isinstance(value, list):
        held: Iterable[Any] = value
    elif isinstance(value, Mapping):
        held = value.values()
    else:
        return 0
    weight = len(value)
    for item in held:
        if item.__class__ in _HOLDING:
            weight += weight_of(item)
    return weight
