"""Values held against their shape: what is wrong with one, and the set of the fields that it has.

These read what a client applies, as it came, so nothing about it is sure.
Source: sigs.k8s.io/structured-merge-diff/v6/typed (validate.go, tofieldset.go).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hyperkube_machinery.fields.elements import of_field, shown
from hyperkube_machinery.fields.sets import LEAF, FieldSet
from hyperkube_machinery.fields.shapes import BadItem, ListShape, MapShape, Shape
from hyperkube_machinery.schema.converted import go_value
from hyperkube_machinery.schema.exact import quoted

__all__ = ["BadValue", "check", "field_set"]


class BadValue(ValueError):
    """A value is not of its type; the message lists all that is wrong, as the API server words it."""


def check(value: Any, shape: Shape, *, allow_duplicates: bool = False) -> None:
    """Raise BadValue unless `value` has this shape, without items that can't be told apart."""
    found = [f"{path}: {text}" if path else text for path, text in _wrong(value, shape, allow_duplicates)]
    if found:
        raise BadValue(found[0] if len(found) == 1 else "\n  ".join(["errors:", *found]))


_Findings = Iterator[tuple[str, str]]


def _wrong(value: Any, shape: Shape, allow_duplicates: bool) -> _Findings:
    shape = shape.for_value(value)
    if shape.map is not None:
        yield from _wrong_map(value, shape.map, allow_duplicates)
    elif shape.scalar:
        text = _wrong_scalar(value, shape.scalar)
        if text:
            yield "", text
    elif shape.list is not None:
        yield from _wrong_list(value, shape.list, allow_duplicates)


def _wrong_map(value: Any, shape: MapShape, allow_duplicates: bool) -> _Findings:
    if value is None:
        return
    if not isinstance(value, dict):
        yield "", f"expected map, got {_go(value)}"
        return
    for name, item in value.items():
        inner = shape.of(name)
        if inner is None:
            yield f".{name}", "field not declared in schema"
            return  # the first of a map is told
        for path, text in _wrong(item, inner, allow_duplicates):
            yield f".{name}{path}", text


def _wrong_list(value: Any, shape: ListShape, allow_duplicates: bool) -> _Findings:
    if value is None:
        return
    if not isinstance(value, list):
        yield "", f"expected list, got {_go(value)}"
        return
    seen = set()
    for index, item in enumerate(value):
        element = f"i:{index}"
        if not shape.atomic:
            try:
                element = shape.path_element(item)
            except BadItem as error:
                yield "", f"element {index}: {error}"
                return
            if element in seen and not allow_duplicates:
                yield "", f"duplicate entries for key {shown(element)}"
            seen.add(element)
        for path, text in _wrong(item, shape.element, allow_duplicates):
            yield shown(element) + path, text


def _wrong_scalar(value: Any, scalar: str) -> str:
    if value is None:
        return ""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if scalar == "numeric" and not is_number:
        return f"expected numeric (int or float), got {_GO_TYPES[type(value)]}"
    if scalar == "string" and not isinstance(value, str):
        return f"expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}"
    if scalar == "boolean" and not isinstance(value, bool):
        return f"expected boolean, got {_go(value)}"
    if isinstance(value, dict | list):
        return f"expected any scalar, got {_go(value)}"
    return ""


_GO_TYPES = {
    str: "string",
    bool: "bool",
    dict: "map[string]interface {}",
    list: "[]interface {}",
}


def _go(value: Any) -> str:
    """As Go prints what holds the value, with %v. It has read each number as a float."""
    return f"&{{{go_value(_with_floats(value))}}}"


def _with_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_floats(item) for item in value]
    return float(value) if type(value) is int else value


def _go_syntax(value: Any) -> str:
    """The same with %#v."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        inside = ", ".join(f"{quoted(key)}:{_go_syntax(value[key])}" for key in sorted(value))
        return f"map[string]interface {{}}{{{inside}}}"
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(map(_go_syntax, value)) + "}"
    return "interface {}(nil)" if value is None else go_value(_with_floats(value))


def field_set(value: Any, shape: Shape) -> FieldSet:
    """The fields that `value` mentions: its leaves, and the items and entries that hold them, but no struct."""
    return _fields(value, shape) or LEAF


def _fields(value: Any, shape: Shape) -> FieldSet | None:
    """What leads to `value`: None where it has no field, LEAF where it is one itself."""
    shape = shape.for_value(value)
    if shape.map is not None:
        return LEAF if shape.map.atomic else _map_fields(value, shape.map)
    if shape.scalar:
        return LEAF
    assert shape.list is not None
    return LEAF if shape.list.atomic else _list_fields(value, shape.list)


def _map_fields(value: Any, shape: MapShape) -> FieldSet | None:
    if not isinstance(value, dict):
        return None
    found: FieldSet = {}
    for name, item in value.items():
        inner = shape.of(name)
        node = None if inner is None else _fields(item, inner)
        if item is None or item == {} or name not in shape.fields:
            node = _member(node)
        if node is not None:
            found[of_field(name)] = node
    return found or None


def _list_fields(value: Any, shape: ListShape) -> FieldSet | None:
    if not isinstance(value, list):
        return None
    found: FieldSet = {}
    for item in value:
        element = shape.known_element(item)
        # Of items that can't be told apart, only that they are there is a field.
        found[element] = LEAF if element in found else _member(_fields(item, shape.element))
    return found or None


def _member(node: FieldSet | None) -> FieldSet:
    return {".": LEAF, **node} if node else LEAF
