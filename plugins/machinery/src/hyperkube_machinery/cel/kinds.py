"""What type a value is of, when only evaluation can tell."""

from __future__ import annotations

from typing import Any

from hyperkube_machinery.cel import types
from hyperkube_machinery.cel.types import Kind, Type, list_of, map_of
from hyperkube_machinery.cel.values import Optional, UInt

__all__ = ["fits", "type_of_value"]

_LIST = list_of(types.DYN)
_MAP = map_of(types.DYN, types.DYN)
_TYPES: dict[type, Type] = {
    str: types.STRING,
    bool: types.BOOL,
    int: types.INT,
    float: types.DOUBLE,
    type(None): types.NULL,
    UInt: types.UINT,
    bytes: types.BYTES,
    list: _LIST,
    dict: _MAP,
    Type: types.TYPE,
}


def type_of_value(value: Any) -> Type:
    """The type of the value; what is in lists and maps is dyn."""
    known = _TYPES.get(type(value))
    if known is not None:
        return known
    declared = getattr(value, "cel_type", None)
    return declared if isinstance(declared, Type) else _MAP


def fits(value: Any, wanted: Type) -> bool:
    """Whether a function that takes `wanted` may be given the value."""
    match wanted.kind:
        case Kind.DYN | Kind.ANY | Kind.TYPE_PARAMETER:
            return True
        case Kind.WRAPPER:
            return value is None or fits(value, wanted.parameters[0])
    given = type_of_value(value)
    if wanted.kind is Kind.LIST and given.kind is Kind.LIST:
        return not value or fits(value[0], wanted.parameters[0])
    if wanted.kind is Kind.MAP and given.kind is Kind.MAP:
        return not value or all(map(fits, next(iter(value.items())), wanted.parameters))
    if wanted.is_optional and isinstance(value, Optional):
        return not value.present or fits(value.value, wanted.parameters[0])
    if wanted.kind is Kind.OBJECT:
        return given.kind in (Kind.MAP, Kind.OBJECT)
    return given.kind is wanted.kind and (given.kind is not Kind.OPAQUE or given.name == wanted.name)
