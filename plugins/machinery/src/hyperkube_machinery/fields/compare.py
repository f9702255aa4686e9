"""Which fields a write changes: what every write pays for ownership, so made short.

Each definition becomes one closure, on first use. It walks two values of it side by side, leaving out whatever is equal
at a glance, and comes back with two sets: the fields that were added or changed, and those that were removed. Values
are as the schema's walk leaves them; at the root, what nobody may own (the kind, names, what the server alone writes)
is passed over.
Source: sigs.k8s.io/structured-merge-diff/v6/typed (compare.go), k8s.io/apimachinery/pkg/util/managedfields/internal
(stripmeta.go).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache
from typing import Any

from hyperkube_machinery.fields.sets import LEAF, FieldSet, set_of
from hyperkube_machinery.fields.shapes import ListShape, MapShape, Shape, Shapes, load_shapes

__all__ = ["UNOWNED", "Comparer", "load_comparer"]

_UNOWNED_FIELDS = ("apiVersion", "kind")
_UNOWNED_META = (
    *("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields"),
    "resourceVersion",
)
UNOWNED = set_of(
    *((f"f:{name}",) for name in (*_UNOWNED_FIELDS, "metadata")),
    *(("f:metadata", f"f:{name}") for name in _UNOWNED_META),
)
"""What is never part of an owner's set."""

_MISSING = object()

Changes = tuple[FieldSet | None, FieldSet | None]
_Grow = Callable[[Any], FieldSet]
_Differ = Callable[[Any, Any], Changes]
_Step = tuple[str, _Grow | None, _Differ | None]
_Equal = Callable[[Any, Any], bool]
_LEAF_CHANGED: Changes = (LEAF, None)


class _Steps(dict[str, _Step]):
    """What to do with each entry of a map or struct; entries that are not fields are all alike."""

    def __init__(self, grow: _Grow | None, differ: _Differ | None) -> None:
        super().__init__()
        self._grow = grow
        self._differ = differ

    def __missing__(self, name: str) -> _Step:
        return f"f:{name}", self._grow, self._differ


class Comparer:
    """Comparisons by definition."""

    def __init__(self, shapes: Shapes, equal: _Equal = operator.eq) -> None:
        """`equal` says of two values, which may be large, whether they need not be looked into."""
        self._shapes = shapes
        self._equal = equal
        self._made: dict[Shape, tuple[_Grow | None, _Differ | None]] = {}
        self._roots: dict[str, Callable[[Any, Any], tuple[FieldSet, FieldSet]]] = {}

    def root(self, definition: str) -> Callable[[Any, Any], tuple[FieldSet, FieldSet]]:
        """The comparison of two objects of a kind: what was added or changed in the second, and what removed."""
        compare = self._roots.get(definition)
        if compare is None:
            compare = self._roots[definition] = self.compile(self._shapes.of(definition))
        return compare

    def compile(self, shape: Shape) -> Callable[[Any, Any], tuple[FieldSet, FieldSet]]:
        """The same for objects of a shape that has no definition; metadata are among its fields."""
        assert shape.map is not None
        steps = self._steps(shape.map, without=_UNOWNED_FIELDS)
        metadata = shape.map.fields["metadata"].map
        assert metadata is not None
        steps_of_metadata = self._steps(metadata, without=_UNOWNED_META)
        inner = _differ_map(steps_of_metadata, operator.eq, passed=frozenset(_UNOWNED_META))
        steps["metadata"] = ("f:metadata", None, inner)
        differ = _differ_map(steps, self._equal, passed=frozenset(_UNOWNED_FIELDS))

        def compare(old: Any, new: Any) -> tuple[FieldSet, FieldSet]:
            changed, removed = differ(old, new)
            return changed or LEAF, removed or LEAF

        return compare

    def _of(self, shape: Shape) -> tuple[_Grow | None, _Differ | None]:
        """How the set of a new value grows, and how two values differ; None where a value is one field."""
        made = self._made.get(shape)
        if made is None:
            made = self._made[shape] = self._make(shape)
        return made

    def _make(self, shape: Shape) -> tuple[_Grow | None, _Differ | None]:
        if sum((bool(shape.scalar), shape.list is not None, shape.map is not None)) > 1:
            return self._several(shape)
        if shape.list is not None and not shape.list.atomic:
            return self._list(shape.list)
        if shape.map is not None and not shape.map.atomic:
            steps = _Steps(None, None)
            # Known before its steps are, for the types that hold themselves.
            made = self._made[shape] = (_grow_map(steps), _differ_map(steps, self._equal))
            self._fill(steps, shape.map)
            if not shape.map.fields and steps["any"][1] is None:
                return _grow_plain_map, made[1]
            return made
        return None, None

    def _steps(self, shape: MapShape, *, without: tuple[str, ...] = ()) -> _Steps:
        steps = _Steps(None, None)
        self._fill(steps, shape, without)
        return steps

    def _fill(self, steps: _Steps, shape: MapShape, without: tuple[str, ...] = ()) -> None:
        for name, one in shape.fields.items():
            if name not in without:
                steps[name] = (f"f:{name}", *self._of(one))
        if shape.element is not None:
            steps._grow, steps._differ = self._of(shape.element)

    def _several(self, shape: Shape) -> tuple[_Grow | None, _Differ | None]:
        """A type that may be a scalar, a list or a map: what it is, its value says."""
        as_map = Shape(map=shape.map)
        grow_map: _Grow | None = None
        differ_map: _Differ | None = None

        def grow(value: Any) -> FieldSet:
            return grow_map(value) if grow_map is not None and isinstance(value, dict) else LEAF

        def differ(old: Any, new: Any) -> Changes:
            if grow_map is None or differ_map is None:
                return _LEAF_CHANGED
            are_maps = isinstance(old, dict), isinstance(new, dict)
            # Null in the place of a map is one that has nothing, which an empty map is not.
            if all(are_maps) or (any(are_maps) and (old is None or new is None) and (old or new)):
                return differ_map(old, new)
            # The map's fields go or come, and the value changed as a whole.
            if isinstance(old, dict):
                return LEAF, grow_map(old)
            return (grow_map(new) if isinstance(new, dict) else LEAF), None

        self._made[shape] = (grow, differ)
        grow_map, differ_map = self._of(as_map)
        return grow, differ

    def _list(self, shape: ListShape) -> tuple[_Grow | None, _Differ | None]:
        grow_item, differ_item = self._of(shape.element)
        element = shape.known_element

        def grow(items: Any) -> FieldSet:
            if not items:
                return LEAF
            node: FieldSet = {".": LEAF}
            for item in items:
                key = element(item)
                # Of items that can't be told apart the list is the owner, not of what is in them.
                node[key] = LEAF if grow_item is None or key in node else grow_item(item)
            return node

        def differ(old: Any, new: Any) -> Changes:
            if not old and not new:
                return _LEAF_CHANGED
            before, after = _by_element(old, element), _by_element(new, element)
            changed: FieldSet = {}
            removed: FieldSet = {}
            for key, values in after.items():
                was = before.get(key)
                if was is None:
                    changed[key] = LEAF if grow_item is None or len(values) > 1 else grow_item(values[0])
                elif not self._equal(was, values):
                    one, other = _changed_items(was, values, grow_item, differ_item)
                    if one is not None:
                        changed[key] = one
                    if other is not None:
                        removed[key] = other
            for key, values in before.items():
                if key not in after:
                    removed[key] = LEAF if grow_item is None or len(values) > 1 else grow_item(values[0])
            return changed or None, removed or None

        return grow, differ


def _changed_items(was: list[Any], are: list[Any], grow: _Grow | None, differ: _Differ | None) -> Changes:
    """What became of the items of one path element; those that can't be told apart count as one atomic value."""
    if len(was) == 1 and len(are) == 1:
        return _LEAF_CHANGED if differ is None else differ(was[0], are[0])
    if len(was) > 1 and len(are) > 1:
        return _LEAF_CHANGED
    if len(was) > 1:
        return (LEAF if grow is None else grow(are[0])), LEAF
    return LEAF, (LEAF if grow is None else grow(was[0]))


def _by_element(items: Any, element: Callable[[Any], str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in items or ():
        key = element(item)
        if key in found:
            found[key].append(item)
        else:
            found[key] = [item]
    return found


def _grow_plain_map(value: Any) -> FieldSet:
    if not value:
        return LEAF
    node: FieldSet = {f"f:{name}": LEAF for name in value}
    node["."] = LEAF
    return node


def _grow_map(steps: _Steps) -> _Grow:
    def grow(value: Any) -> FieldSet:
        if not value:
            return LEAF
        node: FieldSet = {".": LEAF}
        for name, item in value.items():
            key, grow_item, _ = steps[name]
            node[key] = LEAF if grow_item is None else grow_item(item)
        return node

    return grow


def _differ_map(steps: _Steps, equal: _Equal, *, passed: frozenset[str] = frozenset()) -> _Differ:
    """`passed` are names that are not compared."""

    def differ(old: Any, new: Any) -> Changes:
        if not old and not new:
            return _LEAF_CHANGED
        old = old or _NOTHING
        new = new or _NOTHING
        changed: FieldSet = {}
        removed: FieldSet = {}
        for name, item in new.items():
            before = old.get(name, _MISSING)
            if name in passed or equal(before, item):
                continue
            key, grow, differ_item = steps[name]
            if before is _MISSING:
                changed[key] = LEAF if grow is None else grow(item)
            elif differ_item is None:
                changed[key] = LEAF
            else:
                one, other = differ_item(before, item)
                if one is not None:
                    changed[key] = one
                if other is not None:
                    removed[key] = other
        for name in old.keys() - new.keys():
            if name not in passed:
                key, grow, _ = steps[name]
                removed[key] = LEAF if grow is None else grow(old[name])
        return changed or None, removed or None

    return differ


_NOTHING: dict[str, Any] = {}


@cache
def load_comparer() -> Comparer:
    """The comparisons of Kubernetes 1.36, compiled as they are used."""
    return Comparer(load_shapes())
