"""Expressions evaluated for one request, with what that may cost.

Source: k8s.io/apiserver/pkg/admission/plugin/cel/{activation,composition}.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hyperkube_machinery.cel.errors import CostExceeded, EvaluationError
from hyperkube_machinery.cel.kubernetes.admission.compiling import Compiled

__all__ = ["Evaluated", "Evaluation", "OutOfBudget"]

OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


class OutOfBudget(Exception):
    """Evaluating costs more than it may, all expressions together: nothing further is asked."""

    def __init__(self) -> None:
        super().__init__(OUT_OF_BUDGET)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A value, or what kept an expression from having one."""

    value: Any = None
    error: str = ""


class Evaluation:
    """Evaluates expressions that share variables and a budget."""

    def __init__(self, given: Mapping[str, Any], variables: Mapping[str, Compiled], budget: int) -> None:
        """`given` are the values that a request has; `variables` are evaluated when they are first mentioned, once."""
        self.left = budget
        self._variables = _Variables(variables, self)
        self._activation = {**given, "variables": self._variables}

    def evaluate(self, expression: Compiled) -> Evaluated:
        """The value of an expression. Raises OutOfBudget."""
        if expression.program is None:
            return Evaluated(error=f"compilation error: {expression.error}")
        try:
            result = expression.program.evaluate(self._activation)
        except (EvaluationError, CostExceeded) as exc:
            self._spend(exc.cost + self._variables.spent())
            return Evaluated(error=f"expression '{expression.text}' resulted in error: {exc}")
        self._spend(result.cost + self._variables.spent())
        return Evaluated(result.value)

    def of_variable(self, compiled: Compiled) -> tuple[Any, int]:
        """The value of a variable's expression, and what it cost. Raises CELError."""
        assert compiled.program is not None
        result = compiled.program.evaluate(self._activation)
        return result.value, result.cost

    def _spend(self, cost: int) -> None:
        if cost > self.left:
            self.left = -1
            raise OutOfBudget
        self.left -= cost


class _Variables(Mapping[str, Any]):
    """What `variables` stands for."""

    def __init__(self, compiled: Mapping[str, Compiled], evaluation: Evaluation) -> None:
        self._compiled = compiled
        self._evaluation = evaluation
        self._known: dict[str, Any] = {}
        self._failed: dict[str, str] = {}
        self._cost = 0

    def spent(self) -> int:
        """What evaluating has cost since this was last asked."""
        cost, self._cost = self._cost, 0
        return cost

    def __getitem__(self, name: str) -> Any:
        if name in self._known:
            return self._known[name]
        if name not in self._failed:
            try:
                value = self._known[name] = self._evaluated(name, self._compiled[name])
            except EvaluationError as exc:
                self._failed[name] = str(exc)
            else:
                return value
        raise EvaluationError(self._failed[name])

    def _evaluated(self, name: str, compiled: Compiled) -> Any:
        if compiled.program is None:
            raise EvaluationError(f'composited variable "{name}" fails to compile: {compiled.error}')
        try:
            value, cost = self._evaluation.of_variable(compiled)
        except (EvaluationError, CostExceeded) as exc:
            self._cost += exc.cost
            raise EvaluationError(f'composited variable "{name}" fails to evaluate: {exc}') from exc
        self._cost += cost
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._compiled

    def __iter__(self) -> Iterator[str]:
        return iter(self._compiled)

    def __len__(self) -> int:
        return len(self._compiled)
