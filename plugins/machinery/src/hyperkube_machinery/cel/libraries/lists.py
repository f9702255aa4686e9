"""`slice`, `flatten`, `sort`, `sortBy`, `lists.range`, `reverse`, `distinct`. Source: cel-go's ext/lists.go."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cmp_to_key
from typing import Any

from hyperkube_machinery.cel.arithmetic import compare
from hyperkube_machinery.cel.ast import (
    Call,
    Comprehension,
    CreateList,
    Expression,
    Ident,
    Literal,
    Select,
)
from hyperkube_machinery.cel.bounds import STRING_FACTOR, UNBOUNDED, CallEstimate, Cost, Size
from hyperkube_machinery.cel.costs import LIST_COST, size_or_unknown
from hyperkube_machinery.cel.equality import contains
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.expansion import Expander, MacroError
from hyperkube_machinery.cel.kinds import type_of_value
from hyperkube_machinery.cel.libraries.optionals import bind
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.macros import Macro
from hyperkube_machinery.cel.models import SizedNode
from hyperkube_machinery.cel.standardmacros import fold_list, variable_name
from hyperkube_machinery.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    type_parameter,
)

__all__ = ["LISTS"]

_LIST = list_of(type_parameter("T"))
_COMPARABLE = (INT, UINT, DOUBLE, BOOL, DURATION, TIMESTAMP, STRING, BYTES)
_INPUT = "@__sortBy_input__"
_HASHABLE = (str, int, bytes)
_less = compare("_<_", lambda one, other: bool(one < other))


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise EvaluationError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise EvaluationError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if len(items) < end:
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    for _ in range(depth):
        if not any(isinstance(item, list) for item in items):
            break
        items = [part for item in items for part in (item if isinstance(item, list) else (item,))]
    return items


def _sort(items: list[Any]) -> list[Any]:
    return _sort_by(items, items)


def _sort_by(items: list[Any], keys: list[Any]) -> list[Any]:
    if len(items) != len(keys):
        raise EvaluationError(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list,"
            f" but got {len(items)} and {len(keys)} elements respectively"
        )
    if not items:
        return items
    type = type_of_value(keys[0])
    if type not in _COMPARABLE:
        raise EvaluationError("list elements must be comparable")
    if any(type_of_value(key) != type for key in keys):
        raise EvaluationError("list elements must have the same type")
    if type is DOUBLE:
        order = cmp_to_key(_ordered)
        return [items[at] for at in sorted(range(len(items)), key=lambda at: order(keys[at]))]
    return [items[at] for at in sorted(range(len(items)), key=keys.__getitem__)]


def _ordered(one: float, other: float) -> int:
    return -1 if _less(one, other) else int(_less(other, one))


def _distinct(items: list[Any]) -> list[Any]:
    kind = items[0].__class__ if items else str
    if kind in _HASHABLE and all(item.__class__ is kind for item in items):
        return list(dict.fromkeys(items))
    found: list[Any] = []
    for item in items:
        if not contains(found, item):
            found.append(item)
    return found


def _sort_by_macro(make: Expander, target: Expression | None, arguments: Sequence[Expression]) -> Expression:
    if not isinstance(target, CreateList | Select | Ident | Comprehension | Call):
        raise MacroError(
            "sortBy can only be applied to a list, identifier, comprehension, call or select expression", target
        )
    name = variable_name(arguments[0], "argument is not an identifier")
    keys = fold_list(make, make.ident(_INPUT), [name], arguments[1], None)
    return bind(make, _INPUT, target, make.member_call("@sortByAssociatedKeys", make.ident(_INPUT), keys))


# Costs


def _allocated(factor: float, size: int) -> int:
    return int(size * factor) + 1 + LIST_COST


def _of_result(_: Sequence[Any], result: Any) -> int:
    return _allocated(1, len(result))


def _of_flattening(arguments: Sequence[Any], _: Any) -> int:
    return _allocated(arguments[1] if len(arguments) == 2 else 1, len(arguments[0]))


def _of_comparing(arguments: Sequence[Any], _: Any) -> int:
    """Of comparing each with each; of keys, which come last."""
    items = arguments[-1]
    texts = bool(items) and items[0].__class__ in (str, bytes)
    return _allocated(2.0 + STRING_FACTOR if texts else 2.0, len(items) ** 2)


def _estimate(factor: float, size: Size) -> CallEstimate:
    return CallEstimate(size.by_factor(factor) + Cost.exactly(1 + LIST_COST), size)


def _literal(node: SizedNode, otherwise: int) -> int:
    value = node.expression.value if isinstance(node.expression, Literal) else None
    return max(value, 0) if value.__class__ is int else otherwise


def _estimate_slice(target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    if target is None:
        return None
    start, end = _literal(arguments[0], 0), _literal(arguments[1], size_or_unknown(target).max)
    return _estimate(1, Size.exactly((end - start) % (UNBOUNDED + 1)))


def _estimate_range(_: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate:
    return _estimate(1, Size.exactly(_literal(arguments[0], UNBOUNDED)))


def _estimate_reverse(target: SizedNode | None, _: Sequence[SizedNode]) -> CallEstimate | None:
    return None if target is None else _estimate(1, size_or_unknown(target))


def _estimate_flatten(target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    if target is None:
        return None
    return _estimate(float(_literal(arguments[0], UNBOUNDED) if arguments else 1), size_or_unknown(target))


def _estimate_distinct(target: SizedNode | None, _: Sequence[SizedNode]) -> CallEstimate | None:
    if target is None:
        return None
    return _estimate(2.0, size_or_unknown(target) * size_or_unknown(target))


def _estimate_sort(type: Type) -> Any:
    factor = 2.0 + STRING_FACTOR if type in (STRING, BYTES) else 2.0

    def estimate(target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
        keys = arguments[0] if arguments else target
        return None if keys is None else _estimate(factor, size_or_unknown(keys) * size_or_unknown(keys))

    return estimate


def _pairs(items: Any) -> int:
    """How often `distinct` compares, at most."""
    return len(items) if items and items[0].__class__ in _HASHABLE else len(items) ** 2


LISTS = Library(
    name="cel.lib.ext.lists",
    functions=(
        Function(
            "slice",
            Overload(
                "list_slice", (_LIST, INT, INT), _LIST, _slice, member=True, cost=_of_result, estimate=_estimate_slice
            ),
        ),
        Function(
            "flatten",
            Overload(
                "list_flatten",
                (list_of(_LIST),),
                _LIST,
                _flatten,
                member=True,
                cost=_of_flattening,
                estimate=_estimate_flatten,
                work=lambda items: sum(len(item) if isinstance(item, list) else 1 for item in items),
            ),
            Overload(
                "list_flatten_int",
                (list_of(DYN), INT),
                list_of(DYN),
                _flatten,
                member=True,
                cost=_of_flattening,
                estimate=_estimate_flatten,
            ),
        ),
        Function(
            "sort",
            *(
                Overload(
                    f"list_{type.name}_sort",
                    (list_of(type),),
                    list_of(type),
                    _sort,
                    member=True,
                    cost=_of_comparing,
                    estimate=_estimate_sort(type),
                )
                for type in _COMPARABLE
            ),
        ),
        Function(
            "@sortByAssociatedKeys",
            *(
                Overload(
                    f"list_{type.name}_sortByAssociatedKeys",
                    (_LIST, list_of(type)),
                    _LIST,
                    _sort_by,
                    member=True,
                    cost=_of_comparing,
                    estimate=_estimate_sort(type),
                )
                for type in _COMPARABLE
            ),
        ),
        Function(
            "lists.range",
            Overload(
                "lists_range",
                (INT,),
                list_of(INT),
                lambda count: list(range(count)),
                cost=_of_result,
                estimate=_estimate_range,
                work=lambda count: max(count, 0),
            ),
        ),
        Function(
            "reverse",
            Overload(
                "list_reverse",
                (_LIST,),
                _LIST,
                lambda items: items[::-1],
                member=True,
                cost=_of_result,
                estimate=_estimate_reverse,
            ),
        ),
        Function(
            "distinct",
            Overload(
                "list_distinct",
                (_LIST,),
                _LIST,
                _distinct,
                member=True,
                cost=_of_comparing,
                estimate=_estimate_distinct,
                work=_pairs,
            ),
        ),
    ),
    macros=(Macro("sortBy", 2, True, _sort_by_macro),),
)
