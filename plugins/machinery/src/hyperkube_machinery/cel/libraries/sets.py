"""Lists as sets: `sets.contains([1, 2], [2])`. Source: cel-go's ext/sets.go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperkube_machinery.cel.bounds import CallEstimate, Cost
from hyperkube_machinery.cel.costs import size_or_unknown
from hyperkube_machinery.cel.equality import contains
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.models import SizedNode
from hyperkube_machinery.cel.types import BOOL, list_of, type_parameter

__all__ = ["SETS"]

_LIST = list_of(type_parameter("T"))


def _contains(items: list[Any], wanted: list[Any]) -> bool:
    return all(contains(items, each) for each in wanted)


def _intersects(one: list[Any], other: list[Any]) -> bool:
    return any(contains(other, each) for each in one)


def _equivalent(one: list[Any], other: list[Any]) -> bool:
    return _contains(one, other) and _contains(other, one)


def _function(name: str, implementation: Any, factor: int) -> Function:
    def cost(arguments: Sequence[Any], _: Any) -> int:
        return 1 + work(*arguments)

    def estimate(_: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate:
        pairs = size_or_unknown(arguments[0]) * size_or_unknown(arguments[1])
        return CallEstimate(pairs.by_factor(factor) + Cost.exactly(1))

    def work(one: Any, other: Any) -> int:
        return len(one) * len(other) * factor

    overload = Overload(
        f"list_sets_{name}_list", (_LIST, _LIST), BOOL, implementation, cost=cost, estimate=estimate, work=work
    )
    return Function(f"sets.{name}", overload)


SETS = Library(
    name="cel.lib.ext.sets",
    functions=(
        _function("contains", _contains, 1),
        _function("equivalent", _equivalent, 2),
        _function("intersects", _intersects, 1),
    ),
)
