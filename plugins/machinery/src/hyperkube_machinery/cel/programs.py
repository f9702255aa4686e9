"""Compiled expressions, ready to be evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hyperkube_machinery.cel.code import FAILURES, LIMIT, SPENT, VARIABLES, WORK_LIMIT, Run, failure
from hyperkube_machinery.cel.compiling import Compiler
from hyperkube_machinery.cel.depth import deep_calls
from hyperkube_machinery.cel.errors import CostExceeded

__all__ = ["Program", "Result"]


class Result(NamedTuple):
    """What an evaluation gave, and what it cost."""

    value: Any
    cost: int


class Program:
    """An expression ready to be evaluated, as often as one likes, from any thread."""

    __slots__ = ("_compile", "_cost", "_deep", "_limit", "_locals", "_names", "_run", "_without")

    def __init__(
        self, compile: Callable[[frozenset[str]], tuple[Compiler, Run, int]], *, limit: int | None, deep: bool
    ) -> None:
        """`compile` compiles the expression for activations that lack the given variables."""
        self._compile = compile
        self._limit = float("inf") if limit is None else limit
        self._deep = deep
        self._without: dict[frozenset[str], Program] = {}
        self._build(frozenset())

    def _build(self, missing: frozenset[str]) -> None:
        compiler, self._run, self._cost = self._compile(missing)
        self._names = tuple(compiler.slots)
        self._locals = [None] * (compiler.size - len(compiler.slots) - VARIABLES)

    def evaluate(self, activation: Mapping[str, Any]) -> Result:
        """The value for these variables. Raises EvaluationError, CostExceeded."""
        try:
            frame = [self._cost, self._limit, WORK_LIMIT, *[activation[name] for name in self._names], *self._locals]
        except KeyError:
            return self._lacking(activation).evaluate(activation)
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
        if spent > frame[LIMIT]:
            exceeded = CostExceeded()
            exceeded.cost = spent
            raise exceeded
        return Result(value, spent)

    def _lacking(self, activation: Mapping[str, Any]) -> Program:
        """The program for activations that have no more variables than this one."""
        missing = frozenset(name for name in self._names if name not in activation)
        known = self._without.get(missing)
        if known is None:
            known = Program.__new__(Program)
            known._compile, known._limit, known._deep, known._without = self._compile, self._limit, self._deep, {}
            known._build(missing)
            self._without[missing] = known
        return known
