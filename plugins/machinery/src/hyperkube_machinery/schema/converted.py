"""What Go says of a tree that it converts to a type without going through JSON: the way of strategic merge patches.

Its errors differ from those of decoding JSON, and fields are visited in the order of the type, not of a document.
Source: k8s.io/apimachinery/pkg/runtime/converter.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hyperkube_machinery.schema.exact import WrongType, decode_exactly

if TYPE_CHECKING:
    from hyperkube_machinery.schema.table import Table, Type

__all__ = ["check_conversion", "go_value"]

_GO_KINDS: dict[type, str] = {str: "string", bool: "bool", int: "int64", float: "float64", list: "slice", dict: "map"}


def check_conversion(table: Table, definition: str, tree: Any) -> None:
    """Raise WrongType if `tree` can't become an object of `definition`."""
    _check(table, table.type(definition), tree)


def _check(table: Table, type_: Type, value: Any) -> None:
    if value is None:
        return
    kind, given = type_.kind, _GO_KINDS[type(value)]
    if kind == "struct":
        if given != "map":
            raise WrongType(f"cannot restore struct from: {given}")
        for field in table.fields(type_.definition):
            _check(table, field.type, value.get(field.name))
    elif kind == "list":
        if given != "slice":
            raise WrongType(f"cannot restore slice from {given}")
        assert type_.element is not None
        for item in value:
            _check(table, type_.element, item)
    elif kind == "map":
        if given != "map":
            raise WrongType(f"cannot restore map from {given}")
        assert type_.element is not None
        for item in value.values():
            _check(table, type_.element, item)
    elif kind in {"string", "bool", "int32", "int64", "float64"}:
        _check_scalar(type_, value, given)
    elif kind == "bytes":
        if given not in {"string", "slice"}:
            raise WrongType(f"cannot restore slice from {given}")
    elif kind in {"quantity", "time", "microtime", "intorstring"}:
        # These read JSON themselves; in a field of their own nothing stands before what they say.
        _check_self_decoding(table, type_, value)


def _check_scalar(type_: Type, value: Any, given: str) -> None:
    kind = type_.kind
    if kind == given or (kind, given) in {("int32", "int64"), ("float64", "int64")}:
        return
    if kind in {"int32", "int64"} and given == "float64":
        if value.is_integer():
            return
        raise WrongType(f"cannot convert float64 to {type_.name}")
    if kind == "string" and given == "int64":
        raise WrongType(f"cannot convert int64 to {type_.name}")
    raise WrongType(f"unrecognized type: {kind}")


def _check_self_decoding(table: Table, type_: Type, value: Any) -> None:
    field = {"quantity": "limits", "time": "startTime", "microtime": "renewTime", "intorstring": "port"}[type_.kind]
    holder = {
        "quantity": ("io.k8s.api.core.v1.ResourceRequirements", {field: {"x": value}}),
        "time": ("io.k8s.api.core.v1.PodStatus", {field: value}),
        "microtime": ("io.k8s.api.coordination.v1.LeaseSpec", {field: value}),
        "intorstring": ("io.k8s.api.core.v1.HTTPGetAction", {field: value}),
    }[type_.kind]
    try:
        decode_exactly(table, *holder)
    except WrongType as error:
        before, struct_field, after = str(error).partition("Go struct field ")
        if struct_field:
            raise WrongType(f"{before}Go value of type {after.rpartition(' ')[2]}") from None
        raise


def go_value(value: Any) -> str:
    """A tree as Go prints it with %v: `map[a:1 b:[x y]]`."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_value(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_value, value)) + "]"
    if isinstance(value, float):
        return _go_float(value)
    return str(value)


def _go_float(value: float) -> str:
    """As %v prints a float: the digits it needs, with an exponent below -4 and from 6 on."""
    mantissa = f"{value!r}".partition("e")[0]
    exponent = int(f"{value:e}".partition("e")[2])
    if -4 <= exponent < 6:
        return mantissa.removesuffix(".0")
    digits = mantissa.replace(".", "").lstrip("-0").rstrip("0")
    sign = "-" if value < 0 else ""
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[:1]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
