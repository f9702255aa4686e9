"""What an object becomes when a configuration is applied to it: everything the configuration says, over what was there.

Nothing is removed by merging. Items of a list that the configuration names come in its order, the others stay where
they were between them.
Source: sigs.k8s.io/structured-merge-diff/v6/typed (merge.go).
"""

from __future__ import annotations

from typing import Any

from hyperkube_machinery.fields.shapes import ListShape, MapShape, Shape

__all__ = ["merge"]

_MISSING: Any = object()


def merge(live: Any, applied: Any, shape: Shape) -> Any:
    """`applied` over `live`; both have been held against `shape`, and only `live` may have duplicate items."""
    merged = _merge(live, applied, shape)
    return None if merged is _MISSING else merged


def _merge(live: Any, applied: Any, shape: Shape) -> Any:
    """The merged value of two of which at most one is missing; missing if nothing is left of them."""
    if applied is _MISSING:
        shape = shape.for_value(live)
    else:
        shape = shape.for_value(applied)
        if applied is None and live is not _MISSING:
            shape = shape.for_value(live)
    if shape.map is not None:
        return _merge_maps(live, applied, shape.map)
    if shape.scalar:
        return live if applied is _MISSING else applied
    assert shape.list is not None
    return _merge_lists(live, applied, shape.list)


def _merge_maps(live: Any, applied: Any, shape: MapShape) -> Any:
    below = live if isinstance(live, dict) else {}
    above = applied if isinstance(applied, dict) else {}
    if shape.atomic or (not below and not above):
        return live if applied is _MISSING else applied
    merged = {}
    for name in (*below, *(name for name in above if name not in below)):
        inner = shape.of(name)
        if inner is None:
            continue
        value = _merge(below.get(name, _MISSING), above.get(name, _MISSING), inner)
        if value is not _MISSING:
            merged[name] = value
    return merged or _MISSING


def _merge_lists(live: Any, applied: Any, shape: ListShape) -> Any:
    below = live if isinstance(live, list) else []
    above = applied if isinstance(applied, list) else []
    if shape.atomic or (not below and not above):
        return live if applied is _MISSING else applied
    merged = [value for value in _merge_items(below, above, shape) if value is not _MISSING]
    return merged or _MISSING


def _merge_items(live: list[Any], applied: list[Any], shape: ListShape) -> list[Any]:
    left = [shape.known_element(item) for item in live]
    right = [shape.known_element(item) for item in applied]
    mine: dict[str, Any] = {}
    for element, item in zip(left, live, strict=True):
        mine[element] = None if element in mine else item  # duplicates are not merged with
    theirs = dict(zip(right, applied, strict=True))
    shared = iter([element for element in right if element in mine])
    next_shared = next(shared, None)
    done: set[str] = set()
    merged = []
    at, to = 0, 0
    while at < len(left) or to < len(right):
        if at < len(left) and to < len(right):
            element = left[at]
            if element == right[to]:
                done.add(element)
                merged.append(_merge(mine[element], theirs[element], shape.element))
                at, to = at + 1, to + 1
                next_shared = next(shared, None)
                continue
            if element in theirs and next_shared not in (None, element):
                at += 1  # comes in the order of the other
                continue
        if at < len(left):
            element = left[at]
            if element not in theirs:
                merged.append(_merge(live[at], _MISSING, shape.element))
                at += 1
                continue
            if element in done:
                at += 1
        if to < len(right):
            element = right[to]
            done.add(element)
            merged.append(_merge(mine.get(element, _MISSING), theirs[element], shape.element))
            to += 1
            if next_shared == element:
                next_shared = next(shared, None)
    return merged
