"""Reading fields, keys and items of values whose form is known only now.

What compiled expressions do themselves is the common case; what is here decides all others, and words the errors.
Source: cel-go's interpreter/attributes.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_machinery.cel.equality import find_key
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.kinds import type_of_value
from hyperkube_machinery.cel.texts import show
from hyperkube_machinery.cel.values import ABSENT, Optional, UInt

__all__ = ["RenamedKey", "find", "has", "index", "qualify"]


class RenamedKey(str):
    """The key of a field that expressions call otherwise, and errors as they do."""

    __slots__ = ("called",)

    called: str

    @classmethod
    def of(cls, key: str, called: str) -> RenamedKey:
        made = cls(key)
        made.called = called
        return made


def qualify(value: Any, key: Any) -> Any:
    """`value.key` or `value[key]`; of an optional, an optional. Raises EvaluationError."""
    if isinstance(value, Optional):
        return find(value, key)
    found = _lookup(value, key)
    if found is None:
        if isinstance(value, list):
            raise EvaluationError(f"index out of bounds: {show(key)}")
        raise EvaluationError(f"no such key: {key.called if isinstance(key, RenamedKey) else show(key)}")
    return found[0]


def find(value: Any, key: Any) -> Optional:
    """`value.?key` or `value[?key]`. Raises EvaluationError if a list is asked for what is no index."""
    if isinstance(value, Optional):
        if not value.present:
            return ABSENT
        value = value.value
    found = _lookup(value, key)
    return ABSENT if found is None else Optional(found[0])


def has(value: Any, key: Any) -> bool:
    """`has(value.key)`. Raises EvaluationError."""
    return find(value, key).present


def index(items: list[Any], at: Any) -> Any:
    """`items[at]`. Raises EvaluationError."""
    place = _as_index(at)
    if 0 <= place < len(items):
        return items[place]
    raise EvaluationError(f"index out of bounds: {show(at)}")


def _lookup(value: Any, key: Any) -> tuple[Any] | None:
    if isinstance(value, Mapping):
        return find_key(value, key)
    if isinstance(value, list):
        place = _as_index(key)
        return (value[place],) if 0 <= place < len(value) else None
    getter = getattr(value, "cel_get", None)
    return None if getter is None else getter(key)


def _as_index(at: Any) -> int:
    if type(at) is int or type(at) is UInt:
        return int(at)
    if type(at) is float:
        if at.is_integer() and abs(at) < 2**63:
            return int(at)
        raise EvaluationError(f"unsupported index value {show(at)} in list")
    raise EvaluationError(f"unsupported index type '{type_of_value(at).name}' in list")
