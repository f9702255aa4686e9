"""Calls of functions: which overload, guarded by the types of what it is given, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hyperkube_machinery.cel.code import Code, Frame, Run, charge, work
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.kinds import fits, type_of_value
from hyperkube_machinery.cel.library import Function, Overload, Work
from hyperkube_machinery.cel.models import CallCost
from hyperkube_machinery.cel.types import Kind, Type

__all__ = ["call"]


def call(
    function: Function, overload: Overload | None, types: Sequence[Type], codes: Sequence[Code], price: CallCost | None
) -> Code:
    """The call of an overload, or, without one, of that of the function's which fits what comes.

    `price` is what the call costs; None: 1.
    """
    implementation = _implementation(function, overload, types, len(codes))
    cost = sum(code.cost for code in codes)
    runs = [code.run for code in codes]
    ahead = _work(function, overload)
    if price is None and ahead is None:
        return Code(_applied(implementation, runs), cost + 1)
    return Code(_priced(implementation, runs, price or _costs_one, ahead), cost)


def _costs_one(*_: Any) -> int:
    return 1


def _work(function: Function, overload: Overload | None) -> Work | None:
    if overload is not None:
        return overload.work
    known = [each.work for each in function.overloads if each.work is not None]
    return known[0] if known else None


def _implementation(
    function: Function, overload: Overload | None, types: Sequence[Type], arity: int
) -> Callable[..., Any]:
    if not function.guarded:
        return function.overloads[0].implementation
    if overload is None:
        return _dispatched(function, [each for each in function.overloads if len(each.arguments) == arity])
    if any(_unknown(type, wanted) for type, wanted in zip(types, overload.arguments, strict=True)):
        return _dispatched(function, [overload])
    return overload.implementation


def _unknown(given: Type, wanted: Type) -> bool:
    """Whether values of the type need to be looked at before a function may have them."""
    if wanted.kind in (Kind.DYN, Kind.ANY, Kind.TYPE_PARAMETER):
        return False
    if given.is_dynamic or given.kind in (Kind.WRAPPER, Kind.NULL):
        return True
    return any(map(_unknown, given.parameters, wanted.parameters))


def _dispatched(function: Function, overloads: Sequence[Overload]) -> Callable[..., Any]:
    def choose(*arguments: Any) -> Any:
        for overload in overloads:
            if all(map(fits, arguments, overload.arguments)):
                return overload.implementation(*arguments)
        given = ", ".join(type_of_value(argument).name for argument in arguments)
        raise EvaluationError(f"no such overload: {function.name}({given})")

    return choose


def _applied(implementation: Callable[..., Any], runs: Sequence[Run]) -> Run:
    match runs:
        case []:
            return lambda _: implementation()
        case [one]:
            return lambda frame: implementation(one(frame))
        case [one, other]:
            return lambda frame: implementation(one(frame), other(frame))
    return lambda frame: implementation(*[run(frame) for run in runs])


def _priced(implementation: Callable[..., Any], runs: Sequence[Run], price: CallCost, ahead: Work | None) -> Run:
    if ahead is None and len(runs) == 2:
        return _priced_pair(implementation, runs[0], runs[1], price)

    def priced(frame: Frame) -> Any:
        arguments = [run(frame) for run in runs]
        if ahead is not None:
            work(frame, ahead(*arguments))
        result = implementation(*arguments)
        charge(frame, price(arguments, result))
        return result

    return priced


def _priced_pair(implementation: Callable[..., Any], one: Run, other: Run, price: CallCost) -> Run:
    def priced(frame: Frame) -> Any:
        arguments = (one(frame), other(frame))
        result = implementation(*arguments)
        charge(frame, price(arguments, result))
        return result

    return priced
