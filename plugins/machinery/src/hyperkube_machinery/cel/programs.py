"""Compiled expressions, ready to be evaluated."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hyperkube_machinery.cel.code import (
    FAILURES,
    LIMIT,
    PROMPT_WORK,
    ROOM,
    SPENT,
    STAGE,
    TERMS,
    VARIABLES,
    WORK_LIMIT,
    Run,
    failure,
)
from hyperkube_machinery.cel.depth import deep_calls
from hyperkube_machinery.cel.errors import CostExceeded
from hyperkube_machinery.patience import current

__all__ = ["Compiled", "Program", "Result"]


class Result(NamedTuple):
    """What an evaluation gave, and what it cost."""

    value: Any
    cost: int


class Compiled(NamedTuple):
    """What evaluates an expression."""

    run: Run
    cost: int  # of every evaluation
    variables: tuple[str, ...]  # in the order of their slots
    size: int  # of frames
    deep: bool  # whether it takes more room than Python's stack usually has


class Program:
    """An expression ready to be evaluated, as often as one likes, from any thread."""

    __slots__ = ("_compile_without", "_cost", "_deep", "_limit", "_locals", "_names", "_run", "_without")

    def __init__(
        self, compiled: Compiled, compile_without: Callable[[frozenset[str]], Compiled], *, limit: float | None
    ) -> None:
        """`compile_without` compiles it again for activations that lack the given variables, which is rare."""
        self._run, self._cost, self._names, size, self._deep = compiled
        self._locals = [None] * (size - len(self._names) - VARIABLES)
        self._compile_without = compile_without
        self._limit = math.inf if limit is None else limit
        self._without: dict[frozenset[str], Program] = {}

    def evaluate(self, activation: Mapping[str, Any]) -> Result:
        """The value for these variables. Raises EvaluationError, CostExceeded, and TakesLong if it has to be prompt."""
        values = activation
        try:
            frame = [self._cost, self._limit, WORK_LIMIT, None, *[values[name] for name in self._names], *self._locals]
        except KeyError:
            return self._lacking(activation).evaluate(activation)
        patience = current()
        if patience is not None:
            patience.check()
            frame[LIMIT] = min(STAGE, self._limit)
            frame[ROOM] = PROMPT_WORK
            frame[TERMS] = patience, self._limit
        run = self._run
        try:
            if self._deep:
                with deep_calls():
                    value = run(frame)
            else:
                value = run(frame)
        except FAILURES as exc:
            failed = failure(exc)
            failed.cost = frame[SPENT]
            raise failed from (None if failed is exc else exc)
        except CostExceeded as exc:
            exc.cost = frame[SPENT]
            raise
        spent = frame[SPENT]
        if spent > self._limit:
            exceeded = CostExceeded()
            exceeded.cost = spent
            raise exceeded
        return Result(value, spent)

    def _lacking(self, activation: Mapping[str, Any]) -> Program:
        """The program for activations that have no more variables than this one."""
        missing = frozenset(name for name in self._names if name not in activation)
        known = self._without.get(missing)
        if known is None:
            known = Program(self._compile_without(missing), self._compile_without, limit=self._limit)
            self._without[missing] = known
        return known
