"""What an applier's withdrawn fields leave behind: they go from the object, unless somebody else owns them.

Source: sigs.k8s.io/structured-merge-diff/v6: merge/update.go (prune), typed/remove.go, fieldpath/set.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hyperkube_machinery.fields.elements import of_field
from hyperkube_machinery.fields.sets import (
    LEAF,
    FieldSet,
    children,
    difference,
    intersection,
    is_member,
    recursive_difference,
    set_of,
    union,
)
from hyperkube_machinery.fields.shapes import ListShape, MapShape, Shape
from hyperkube_machinery.fields.typed import field_set

__all__ = ["prune", "reconciled", "remove_items", "with_structs"]


def remove_items(value: Any, fields: FieldSet, shape: Shape) -> Any:
    """`value` without the entries and items in `fields`. What loses all that was in it stays, empty."""
    shape = shape.for_value(value)
    if shape.map is not None:
        return _remove_entries(value, fields, shape.map)
    if shape.scalar:
        return value
    assert shape.list is not None
    return _remove_from_list(value, fields, shape.list)


def _remove_from_list(value: Any, fields: FieldSet, shape: ListShape) -> Any:
    if not isinstance(value, list) or not value or shape.atomic:
        return None
    kept = []
    touched = False
    for item in value:
        node = fields.get(shape.known_element(item))
        if node is None:
            kept.append(item)
        elif not is_member(node):
            touched = True
            kept.append(_removed_within(item, node, shape.element))
    return kept if kept or touched else None


def _remove_entries(value: Any, fields: FieldSet, shape: MapShape) -> Any:
    if not isinstance(value, dict) or not value or shape.atomic:
        return None
    kept = {}
    touched = False
    for name, item in value.items():
        node = fields.get(of_field(name))
        inner = shape.of(name)
        if node is None or inner is None:
            kept[name] = item
        elif not is_member(node):
            touched = True
            kept[name] = _removed_within(item, node, inner)
    return kept if kept or touched else None


def _removed_within(item: Any, node: FieldSet, shape: Shape) -> Any:
    rest = remove_items(item, children(node), shape)
    if rest is None and isinstance(item, dict | list):
        return type(item)()
    return rest


def with_structs(fields: FieldSet, shape: Shape | None) -> FieldSet:
    """`fields`, and the fields of structs on the way to them, which are otherwise in no set."""
    result: FieldSet = {}
    for key, node in fields.items():
        if not node:
            result[key] = node
            continue
        inner: Shape | None = None
        named = False
        if shape is not None and shape.map is not None and key[:2] == "f:":
            inner = shape.map.of(key[2:])
            named = key[2:] in shape.map.fields
        elif shape is not None and shape.list is not None and key[:2] == "k:":
            inner = shape.list.element
        below = with_structs(children(node), inner)
        result[key] = {".": LEAF, **below} if named or is_member(node) else below
    return result


Convert = Callable[[Any, str], Any]
"""An object in another version of its kind; raises LookupError if that version is not served."""


def prune(
    merged: Any,
    *,
    last: FieldSet,
    last_version: str,
    version: str,
    owned: Iterable[tuple[str, FieldSet]],
    shape_of: Callable[[str], Shape],
    convert: Convert,
) -> Any:
    """`merged`, an object in `version`, without what is in `last` alone.

    `last` is what the applier had applied before, in `last_version`, and `owned` all that anybody owns now, the
    applier too, each with its version.
    """
    if not last:
        return merged
    try:
        whole = merged if last_version == version else convert(merged, last_version)
    except LookupError:
        return merged
    shape = shape_of(last_version)
    last = with_structs(last, shape)
    pruned = remove_items(whole, last, shape)
    pruned = _with_owned(whole, pruned, last_version, owned, shape_of, convert)
    # Only what the applier itself had may go.
    gone = difference(with_structs(field_set(whole, shape), shape), with_structs(field_set(pruned, shape), shape))
    result = remove_items(whole, intersection(gone, last), shape)
    return result if last_version == version else convert(result, version)


def _with_owned(
    whole: Any,
    pruned: Any,
    version: str,
    owned: Iterable[tuple[str, FieldSet]],
    shape_of: Callable[[str], Shape],
    convert: Convert,
) -> Any:
    """`pruned` with what of `whole` somebody owns; all three in `version`."""
    by_version: dict[str, FieldSet] = {version: LEAF}
    for one, fields in owned:
        by_version[one] = union(by_version.get(one, LEAF), fields)
    for one, fields in by_version.items():
        try:
            there = whole if one == version else convert(whole, one)
            rest = pruned if one == version else convert(pruned, one)
        except LookupError:
            continue
        shape = shape_of(one)
        everything = with_structs(field_set(there, shape), shape)
        keep = union(with_structs(field_set(rest, shape), shape), with_structs(fields, shape))
        kept = remove_items(there, difference(everything, keep), shape)
        pruned = kept if one == version else convert(kept, version)
    return pruned


def reconciled(fields: FieldSet, shape: Shape) -> FieldSet:
    """A set as the schema has it now: who owned parts of what has become atomic owns it as a whole."""
    atomic: list[tuple[str, ...]] = []
    _find_atomic(fields, shape, (), is_leaf=False, found=atomic)
    if not atomic:
        return fields
    found = set_of(*atomic)
    return union(recursive_difference(fields, found), found)


def _find_atomic(
    fields: FieldSet, shape: Shape, path: tuple[str, ...], *, is_leaf: bool, found: list[tuple[str, ...]]
) -> None:
    """Add the paths of atomic values of which `fields` holds parts."""
    atomic = (shape.map is not None and shape.map.atomic) or (shape.list is not None and shape.list.atomic)
    if shape.scalar or (atomic and is_leaf):
        return
    if atomic:
        found.append(path)
        return
    for key, node in fields.items():
        if key == ".":
            continue
        inner = shape.list.element if shape.list is not None else None
        if shape.map is not None:
            inner = shape.map.of(key[2:]) if key[:2] == "f:" else shape.map.element
        if inner is not None:
            _find_atomic(node, inner, (*path, key), is_leaf=not node, found=found)
