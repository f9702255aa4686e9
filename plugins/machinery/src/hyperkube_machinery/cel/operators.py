"""Operators on values whose types are known beforehand, as closures that don't ask again."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from hyperkube_machinery.cel import arithmetic
from hyperkube_machinery.cel.arithmetic import INT_MAX, INT_MIN
from hyperkube_machinery.cel.bounds import STRING_FACTOR
from hyperkube_machinery.cel.code import FAILURES, Code, Frame, Run, charge, charged, failure, work
from hyperkube_machinery.cel.equality import equal, size_of, weight_of
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.types import Kind, Type

__all__ = ["affix_test", "compare_equal", "conditional", "logical", "specialised"]

_FIXED_SIZE = frozenset((Kind.BOOL, Kind.INT, Kind.UINT, Kind.DOUBLE, Kind.TIMESTAMP, Kind.DURATION))
_TENTHS = tuple(math.ceil(size * STRING_FACTOR) for size in range(256))
"""What walking over a short text costs."""
_Decide = Callable[[Any, Any], bool]
_COMPARISONS: dict[str, tuple[_Decide, _Decide]] = {
    function: (decide, arithmetic.compare(function, decide))
    for function, decide in (
        ("_<_", operator.lt),
        ("_<=_", operator.le),
        ("_>_", operator.gt),
        ("_>=_", operator.ge),
    )
}
_SUMS: dict[str, tuple[Callable[[int, int], int], Callable[[Any, Any], Any]]] = {
    "_+_": (operator.add, arithmetic.add),
    "_-_": (operator.sub, arithmetic.subtract),
}


def specialised(function: str, types: Sequence[Type], codes: Sequence[Code]) -> Code | None:
    """The operator for operands of just these types, or None: there is nothing better than the general way.

    What was declared dyn may still come as another type, so operands are looked at, and go the general way then.
    """
    if len(codes) != 2 or types[0].kind is not types[1].kind:
        return None
    kind = types[0].kind
    cost = codes[0].cost + codes[1].cost + 1
    left, right = codes[0].run, codes[1].run
    if kind is Kind.INT and function in _COMPARISONS:
        decide, general = _COMPARISONS[function]
        return Code(_comparison(decide, general, left, right), cost)
    if kind is Kind.INT and function in _SUMS:
        return Code(_sum(*_SUMS[function], left, right), cost)
    if kind is Kind.STRING and function == "_+_":
        return Code(_concatenation(left, right), cost - 1)
    return None


def _comparison(decide: _Decide, general: _Decide, left: Run, right: Run) -> Run:
    def compared(frame: Frame) -> bool:
        one, other = left(frame), right(frame)
        if one.__class__ is int and other.__class__ is int:
            return decide(one, other)
        return general(one, other)

    return compared


def _sum(combine: Callable[[int, int], int], general: Callable[[Any, Any], Any], left: Run, right: Run) -> Run:
    def combined(frame: Frame) -> Any:
        one, other = left(frame), right(frame)
        if one.__class__ is not int or other.__class__ is not int:
            return general(one, other)
        total = combine(one, other)
        if INT_MIN <= total <= INT_MAX:
            return total
        raise EvaluationError("integer overflow")

    return combined


def _concatenation(left: Run, right: Run) -> Run:
    def joined(frame: Frame) -> Any:
        one, other = left(frame), right(frame)
        charge(frame, math.ceil((size_of(one) + size_of(other)) * STRING_FACTOR))
        return one + other if one.__class__ is str and other.__class__ is str else arithmetic.add(one, other)

    return joined


def affix_test(implementation: Callable[[str, str], bool], codes: Sequence[Code]) -> Code:
    """`startsWith` or `endsWith`, priced by the text that is looked at."""
    left, right = codes[0].run, codes[1].run

    def tested(frame: Frame) -> bool:
        text = left(frame)
        met = implementation(text, right(frame))
        size = len(text)
        frame[0] += _TENTHS[size] if size < 256 else math.ceil(size * STRING_FACTOR)
        return met

    return Code(tested, codes[0].cost + codes[1].cost)


def compare_equal(types: Sequence[Type], codes: Sequence[Code], *, negate: bool) -> Code:
    """`==` or `!=`, which cost by the smaller of the operands."""
    kinds = {type.kind for type in types}
    cost = codes[0].cost + codes[1].cost
    left, right = codes[0].run, codes[1].run
    if len(kinds) == 1 and kinds <= _FIXED_SIZE:
        return Code(_same(left, right, negate=negate), cost + 1)
    if kinds == {Kind.STRING} and codes[1].constant:
        return Code(_equal_to_text(left, codes[1].value, negate=negate), cost)

    def compared(frame: Frame) -> bool:
        one, other = left(frame), right(frame)
        if one.__class__ is str and other.__class__ is str:
            size = min(len(one), len(other))
            frame[0] += _TENTHS[size] if size < 256 else math.ceil(size * STRING_FACTOR)
            return (one == other) is not negate
        charge(frame, math.ceil(min(size_of(one), size_of(other)) * STRING_FACTOR))
        work(frame, weight_of(one))
        return equal(one, other) is not negate

    return Code(compared, cost)


def _same(left: Run, right: Run, *, negate: bool) -> Run:
    def compared(frame: Frame) -> bool:
        one, other = left(frame), right(frame)
        met: bool = one == other if one.__class__ is other.__class__ else equal(one, other)
        return met is not negate

    return compared


def _equal_to_text(left: Run, text: str, *, negate: bool) -> Run:
    length = len(text)
    full = math.ceil(length * STRING_FACTOR)

    def compared(frame: Frame) -> bool:
        one = left(frame)
        if one.__class__ is str and len(one) >= length:
            frame[0] += full
        else:
            frame[0] += math.ceil(min(size_of(one), length) * STRING_FACTOR)
        return (one == text) is not negate

    return compared


def logical(codes: Sequence[Code], *, decisive: bool) -> Code:
    """`||` (decided by True) or `&&` (by False) of two or more; an error counts only if none of them decides."""
    first, *others = codes
    if len(others) == 1:
        return Code(_logical_pair(first.run, charged(others[0]), decisive), first.cost)
    return Code(_logical_many([first.run, *map(charged, others)], decisive), first.cost)


def _logical_pair(left: Run, right: Run, decisive: bool) -> Run:
    going_on = not decisive

    def decided(frame: Frame) -> Any:
        try:
            one = left(frame)
        except FAILURES as exc:
            return _after_failure(right, frame, decisive, failure(exc))
        if one is decisive:
            return decisive
        if one is not going_on:
            return _after_failure(right, frame, decisive, EvaluationError("no such overload"))
        other = right(frame)
        if other is decisive or other is going_on:
            return other
        raise EvaluationError("no such overload")

    return decided


def _after_failure(right: Run, frame: Frame, decisive: bool, failed: EvaluationError) -> Any:
    try:
        other = right(frame)
    except FAILURES:
        raise failed from None
    if other is decisive:
        return decisive
    raise failed


def _logical_many(runs: Sequence[Run], decisive: bool) -> Run:
    going_on = not decisive

    def decided(frame: Frame) -> Any:
        failed: EvaluationError | None = None
        for run in runs:
            try:
                value = run(frame)
            except FAILURES as exc:
                failed = failed or failure(exc)
                continue
            if value is decisive:
                return decisive
            if value is not going_on:
                failed = failed or EvaluationError("no such overload")
        if failed is not None:
            raise failed
        return going_on

    return decided


def conditional(condition: Code, chosen: Code, otherwise: Code) -> Code:
    """`condition ? chosen : otherwise`. An access as a branch costs its parts only."""
    decide = condition.run
    run_chosen = charged(chosen, chosen.cost - chosen.base)
    run_otherwise = charged(otherwise, otherwise.cost - otherwise.base)

    def selected(frame: Frame) -> Any:
        met = decide(frame)
        if met is True:
            return run_chosen(frame)
        if met is False:
            return run_otherwise(frame)
        raise EvaluationError("no such overload")

    return Code(selected, condition.cost, access=True)
