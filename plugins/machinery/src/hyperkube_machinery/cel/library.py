"""What libraries bring: functions with their overloads, macros, constants.

    STRINGS = Library(
        name="strings",
        functions=(
            Function("reverse", Overload("string_reverse", (STRING,), STRING, reverse, member=True)),
        ),
    )

Implementations are plain functions of Python values; see `values` for what those are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperkube_machinery.cel.macros import Macro
from hyperkube_machinery.cel.models import CallCost, CallEstimator
from hyperkube_machinery.cel.types import Type

__all__ = ["Constant", "Function", "Library", "Overload", "Work"]

Work = Callable[..., int]
"""How many items or code points a call will make, or how often it will compare, from its arguments, beforehand."""


class Overload:
    """One signature of a function.

    `implementation` takes the arguments as they are (a member's target first), knows them to be of the declared types,
    and raises EvaluationError. `cost` tells what a call cost at run time (None: 1), `estimate` what it may cost, before
    (None: 1). `work` is for calls that may do or make much more than they are given: it is asked before them, for any
    arguments, and what one evaluation may do in all is limited. Type parameters (`type_parameter("A")`) are bound by
    the arguments.
    """

    __slots__ = ("arguments", "cost", "estimate", "id", "implementation", "member", "result", "work")

    def __init__(
        self,
        id: str,
        arguments: Sequence[Type],
        result: Type,
        implementation: Callable[..., Any],
        *,
        member: bool = False,
        cost: CallCost | None = None,
        estimate: CallEstimator | None = None,
        work: Work | None = None,
    ) -> None:
        self.id = id
        self.arguments = tuple(arguments)
        self.result = result
        self.implementation = implementation
        self.member = member
        self.cost = cost
        self.estimate = estimate
        self.work = work


class Function:
    """A function's name, dotted where it is in a namespace (`math.greatest`), and its overloads in order.

    Overloads of one name from several libraries are put together. With `guarded=False` all overloads have one
    implementation, which takes any values and itself raises EvaluationError if it can't do with them.
    """

    __slots__ = ("guarded", "name", "overloads")

    def __init__(self, name: str, *overloads: Overload, guarded: bool = True) -> None:
        self.name = name
        self.overloads = overloads
        self.guarded = guarded


@dataclass(frozen=True, slots=True)
class Constant:
    """A name whose value is the same in every evaluation."""

    type: Type
    value: Any


@dataclass(frozen=True, slots=True)
class Library:
    """Functions, macros and constants under one name, which no environment takes twice."""

    name: str
    functions: Sequence[Function] = ()
    macros: Sequence[Macro] = ()
    constants: Mapping[str, Constant] = field(default_factory=dict)
    types: Mapping[str, Type] = field(default_factory=dict)
    """Type names that expressions may mention as values, such as `net.IP`."""
