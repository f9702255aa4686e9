"""Sets of fields. A set is the tree that FieldsV1 is, as it stands in managedFields.

    {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:data": {}}

Keys are path elements (`elements`). What a key leads to says of that field: `{}` that it is in the set, and nothing
below it; with "." that it is, and so are parts of it; without "." that only parts of it are. The root is never a
member: `{}` there is the empty set, and a field that leads to no member does not occur. Nothing here changes a set, and
results share what they can with their operands, so that an unchanged set is the same object.
Source: sigs.k8s.io/structured-merge-diff/v6/fieldpath (set.go, serialize.go).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hyperkube_machinery.fields.elements import BadElement, read_element, sort_key

__all__ = [
    "LEAF",
    "BadSet",
    "FieldSet",
    "children",
    "difference",
    "has",
    "in_order",
    "intersection",
    "is_member",
    "paths",
    "read_set",
    "recursive_difference",
    "set_of",
    "union",
]

FieldSet = dict[str, Any]
Path = tuple[str, ...]

LEAF: FieldSet = {}
"""What a field leads to that is in the set, alone. Shared, so never changed."""

_SELF = "."


class BadSet(ValueError):
    """What a client sent as a set of fields is none."""


def is_member(node: FieldSet) -> bool:
    """Whether the field that leads to `node` is in the set itself."""
    return not node or _SELF in node


def children(node: FieldSet | None) -> FieldSet:
    """The set of what is below a field, by paths that begin there."""
    if not node:
        return LEAF
    return {key: below for key, below in node.items() if key != _SELF} if _SELF in node else node


def has(fields: FieldSet, path: Sequence[str]) -> bool:
    """Whether the field at `path` is in the set."""
    node: FieldSet | None = fields
    for element in path:
        if not node:
            return False
        node = node.get(element)
    return node is not None and bool(path) and is_member(node)


def set_of(*members: Sequence[str]) -> FieldSet:
    """The set of the fields at these paths."""
    found: FieldSet = {}
    for path in members:
        one: FieldSet = LEAF
        for element in reversed(path):
            one = {element: one}
        found = union(found, one)
    return found


def paths(fields: FieldSet, prefix: Path = ()) -> Iterator[Path]:
    """Every member, in the order in which messages list them: those of one level before what is below them."""
    order = sorted((key for key in fields if key != _SELF), key=sort_key)
    for key in order:
        if is_member(fields[key]):
            yield (*prefix, key)
    for key in order:
        yield from paths(fields[key], (*prefix, key))


def in_order(fields: FieldSet) -> FieldSet:
    """The same set with its keys in the order in which upstream writes them."""
    keys = sorted((key for key in fields if key != _SELF), key=sort_key)
    return {**({_SELF: LEAF} if _SELF in fields else {}), **{key: in_order(fields[key]) for key in keys}}


def union(one: FieldSet, other: FieldSet) -> FieldSet:
    """The members of either."""
    if one is other or not other:
        return one
    result = one.copy()
    for key, node in other.items():
        mine = result.get(key)
        result[key] = node if mine is None else _either(mine, node)
    return result


def _either(one: FieldSet, other: FieldSet) -> FieldSet:
    if one is other:
        return one
    if not one:
        return other if is_member(other) else {_SELF: LEAF, **other}
    if not other:
        return one if is_member(one) else {_SELF: LEAF, **one}
    return union(one, other)


def intersection(one: FieldSet, other: FieldSet) -> FieldSet:
    """The members of both."""
    if len(other) < len(one):
        one, other = other, one
    result = {}
    for key, node in one.items():
        if (theirs := other.get(key)) is not None and (both := _both(node, theirs)) is not None:
            result[key] = both
    return result


def _both(one: FieldSet, other: FieldSet) -> FieldSet | None:
    if one is other:
        return one
    if not one or not other:
        return LEAF if is_member(one) and is_member(other) else None
    return _node(intersection(one, other))


def difference(one: FieldSet, other: FieldSet) -> FieldSet:
    """The members of `one` that are none of `other`. What is below a member of `other` stays."""
    return _less(one, other, _rest)


def recursive_difference(one: FieldSet, other: FieldSet) -> FieldSet:
    """The members of `one` that are none of `other`, nor below one of them."""
    return _less(one, other, _rest_outside)


def _less(one: FieldSet, other: FieldSet, rest_of: Callable[[FieldSet, FieldSet], FieldSet | None]) -> FieldSet:
    """`one` with what `rest_of` leaves of each field that `other` has too; the same set where that is all of it."""
    result = one
    for key, node in other.items():
        mine = one.get(key)
        if mine is None:
            continue
        rest = rest_of(mine, node)
        if rest is mine:
            continue
        if result is one:
            result = one.copy()
        if rest is None:
            del result[key]
        else:
            result[key] = rest
    return result


def _rest(one: FieldSet, other: FieldSet) -> FieldSet | None:
    if not one:
        return None if is_member(other) else one
    return _node(difference(one, other if other else {_SELF: LEAF}))


def _rest_outside(one: FieldSet, other: FieldSet) -> FieldSet | None:
    return None if is_member(other) else one and _node(recursive_difference(one, other))


def _node(below: FieldSet) -> FieldSet | None:
    """What a field leads to once its parts have become `below`: None when nothing of it is left."""
    if not below:
        return None
    return LEAF if len(below) == 1 and _SELF in below else below


def read_set(value: Any) -> FieldSet:
    """A set that a client sent, made canonical; path elements of unknown kinds are dropped. Raises BadSet."""
    try:
        return _read(value)
    except BadElement as error:
        raise BadSet(f"parsing key as path element: {error}") from None


def _read(value: Any) -> FieldSet:
    if value is None:
        return LEAF
    if not isinstance(value, dict):
        raise BadSet("a set of fields is an object")
    result: FieldSet = {}
    for text, below in value.items():
        if text == _SELF:
            continue
        element = read_element(text)
        if element is None:
            continue
        node = _read(below)
        if node and isinstance(below, dict) and _SELF in below:
            node = {_SELF: LEAF, **node}
        mine = result.get(element)
        result[element] = node if mine is None else _either(mine, node)
    return result
