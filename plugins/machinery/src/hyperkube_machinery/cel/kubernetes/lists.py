"""What lists tell of their items: `[1, 2].sum()`. Source: k8s.io/apiserver/pkg/cel/library/lists.go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from hyperkube_machinery.cel.equality import equal
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    type_parameter,
)
from hyperkube_machinery.cel.values import Duration, UInt

__all__ = ["LISTS"]

_INT64 = range(-(2**63), 2**63)
_NO_OVERLOAD = "no such overload"


def _is_sorted(items: Sequence[Any]) -> bool:
    try:
        return not any(one > next_ for one, next_ in pairwise(items))
    except TypeError:
        raise EvaluationError(_NO_OVERLOAD) from None


def _min(items: Sequence[Any]) -> Any:
    return _extreme("min", items, lambda one, best: one < best)


def _max(items: Sequence[Any]) -> Any:
    return _extreme("max", items, lambda one, best: one > best)


def _extreme(name: str, items: Sequence[Any], better: Callable[[Any, Any], bool]) -> Any:
    if not items:
        raise EvaluationError(f"{name} called on empty list")
    best = items[0]
    try:
        for one in items[1:]:
            if better(one, best):
                best = one
    except TypeError:
        raise EvaluationError(_NO_OVERLOAD) from None
    return best


def _sum_ints(items: Sequence[int]) -> int:
    total = 0
    for one in items:
        total += one
        if total not in _INT64:
            raise EvaluationError("integer overflow")
    return total


def _sum_uints(items: Sequence[int]) -> UInt:
    total = 0
    for one in items:
        total += one
        if total >= 2**64:
            raise EvaluationError("unsigned integer overflow")
    return UInt(total)


def _sum_doubles(items: Sequence[float]) -> float:
    total = 0.0
    for one in items:  # in order and one by one, as rounding depends on it
        total += one
    return total


def _sum_durations(items: Sequence[Duration]) -> Duration:
    total = 0
    for one in items:
        total += one.nanoseconds
        if total not in _INT64:
            raise EvaluationError("duration overflow")
    return Duration(total)


def _index_of(items: Sequence[Any], item: Any) -> int:
    return next((index for index, one in enumerate(items) if equal(one, item)), -1)


def _last_index_of(items: Sequence[Any], item: Any) -> int:
    return next((index for index in reversed(range(len(items))) if equal(items[index], item)), -1)


_COMPARABLE = {
    "int": INT,
    "uint": UINT,
    "double": DOUBLE,
    "bool": BOOL,
    "duration": DURATION,
    "timestamp": TIMESTAMP,
    "string": STRING,
    "bytes": BYTES,
}
_SUMS: dict[str, Callable[[Any], Any]] = {
    "int": _sum_ints,
    "uint": _sum_uints,
    "double": _sum_doubles,
    "duration": _sum_durations,
}
_A = type_parameter("A")


def _of_each(id: str, result: Type | None, implementation: Callable[..., Any]) -> list[Overload]:
    """An overload for lists of each type that has an order; its result is an item unless one is given."""
    return [
        Overload(id.format(name), (list_of(type_),), result or type_, implementation, member=True)
        for name, type_ in _COMPARABLE.items()
    ]


LISTS = Library(
    name="kubernetes.lists",
    functions=(
        Function("isSorted", *_of_each("list_{0}_is_sorted_bool", BOOL, _is_sorted)),
        Function(
            "sum",
            *(
                Overload(
                    f"list_{name}_sum_{name}", (list_of(_COMPARABLE[name]),), _COMPARABLE[name], total, member=True
                )
                for name, total in _SUMS.items()
            ),
        ),
        Function("max", *_of_each("list_{0}_max_{0}", None, _max)),
        Function("min", *_of_each("list_{0}_min_{0}", None, _min)),
        Function("indexOf", Overload("list_a_index_of_int", (list_of(_A), _A), INT, _index_of, member=True)),
        Function(
            "lastIndexOf", Overload("list_a_last_index_of_int", (list_of(_A), _A), INT, _last_index_of, member=True)
        ),
    ),
)
