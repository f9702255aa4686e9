"""Pieces of compiled expressions.

Compiling turns each node into a closure over a frame: a list of what has been spent, what may be spent, and the values
of variables. What every evaluation of a node costs is known beforehand and added up; only where evaluation branches,
loops or meets data of any size is something charged while it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hyperkube_machinery.cel.errors import CostExceeded, EvaluationError
from hyperkube_machinery.patience import TakesLong

__all__ = [
    "FAILURES",
    "LIMIT",
    "PROMPT_WORK",
    "ROOM",
    "SPENT",
    "STAGE",
    "TERMS",
    "VARIABLES",
    "WORK_LIMIT",
    "Code",
    "Frame",
    "Run",
    "charge",
    "charged",
    "exceeded",
    "failure",
    "work",
]

Frame = list[Any]
Run = Callable[[Frame], Any]

SPENT, LIMIT, ROOM, TERMS, VARIABLES = 0, 1, 2, 3, 4
"""Where in a frame is what; variables come last.

ROOM is how much work may still be done that costs nothing. Where somebody waits for the result and has little patience,
TERMS are that patience and what may be spent in the end, and LIMIT is when to ask next whether it lasts.
"""

STAGE = 500
"""What is spent between two looks at the clock: a tenth of a millisecond, and half of one if calls are costly."""
PROMPT_WORK = 20_000
"""What ROOM there is for the impatient: a millisecond or two."""

WORK_LIMIT = 10_000_000
"""How many items and code points functions may make, and compare, in one evaluation."""

FAILURES = (EvaluationError, TypeError, AttributeError, ValueError, ArithmeticError, LookupError, RecursionError)
"""What evaluation may raise: Python's own objections mean that data are not of the types declared for them."""


@dataclass(slots=True)
class Code:
    """A compiled node."""

    run: Run
    cost: int = 0  # of every evaluation; charged by whoever runs it
    base: int = 0  # the part of `cost` that is not due where an access is part of another
    access: bool = False  # a variable, or something read from it: what is read from this belongs to the same access
    constant: bool = False
    value: Any = None  # if constant
    path: tuple[int, tuple[str, ...]] | None = None  # the slot and keys, of an access that is nothing else

    @classmethod
    def of(cls, value: Any) -> Code:
        return cls(lambda _: value, constant=True, value=value)


def charge(frame: Frame, cost: int) -> None:
    """Spend. Raises CostExceeded, TakesLong."""
    frame[SPENT] += cost
    if frame[SPENT] > frame[LIMIT]:
        exceeded(frame)


def exceeded(frame: Frame) -> None:
    """Begin the next stage, where LIMIT was not that of the evaluation. Raises CostExceeded, TakesLong."""
    terms = frame[TERMS]
    if terms is None:
        raise CostExceeded
    patience, limit = terms
    if frame[SPENT] > limit:
        raise CostExceeded
    patience.check()
    frame[LIMIT] = min(limit, frame[SPENT] + STAGE)


def work(frame: Frame, amount: int) -> None:
    """Do work that has no price, or whose price is told only later. Raises CostExceeded, TakesLong."""
    frame[ROOM] -= amount
    if frame[ROOM] < 0:
        raise CostExceeded if frame[TERMS] is None else TakesLong


def charged(code: Code, cost: int | None = None) -> Run:
    """What charges for itself, where it isn't evaluated every time."""
    run, due = code.run, code.cost if cost is None else cost
    if not due:
        return run

    def paid(frame: Frame) -> Any:
        frame[0] += due
        return run(frame)

    return paid


def failure(caught: BaseException) -> EvaluationError:
    """What was caught, as the language's error."""
    return caught if isinstance(caught, EvaluationError) else EvaluationError("no such overload")
