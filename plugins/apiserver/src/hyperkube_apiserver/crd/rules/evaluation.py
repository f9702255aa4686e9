"""The rules of one schema, evaluated for one value, and what is told of those that fail.

Source: validateExpressions in k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_apiserver.crd.rules.compiling import Compiled
from hyperkube_apiserver.crd.rules.specs import RuleSpec
from hyperkube_machinery.cel.environment import Program
from hyperkube_machinery.cel.errors import CostExceeded, EvaluationError
from hyperkube_machinery.cel.kubernetes.limits import MAX_MESSAGE
from hyperkube_machinery.cel.values import ABSENT, Optional
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.quoting import quoted

__all__ = ["Budget", "OutOfBudget", "Place", "evaluate"]

_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"
_NO_FURTHER = "no further validation rules will be run due to call cost exceeds limit for"


class OutOfBudget(Exception):
    """No further rules are to be evaluated; an error that was told says why."""


class Budget:
    """What evaluations may still cost together; below 0, no more are to be made."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, cost: int) -> bool:
        """Whether there was that much."""
        if cost > self.left:
            return False
        self.left -= cost
        return True


Tell = Callable[[Compiled, FieldError], None]


@dataclass(frozen=True, slots=True)
class Place:
    """A value that rules are asked of."""

    path: str  # empty at the root
    type: str  # as its schema has it
    value: Any  # as it is told
    shown: Any  # as rules see it
    old: Any  # likewise; None if there is none

    @property
    def told(self) -> str:
        """The path as errors tell it."""
        return self.path or "<nil>"


def evaluate(
    rules: Sequence[Compiled], place: Place, budget: Budget, tell: Tell, refuse: Callable[[FieldError], None]
) -> None:
    """Ask `rules` at a place. What does not hold is told, what cannot be asked refused.

    Raises OutOfBudget, after refusing.
    """
    _Evaluation(place, budget, tell, refuse).run(rules)


class _Evaluation:
    def __init__(self, place: Place, budget: Budget, tell: Tell, refuse: Callable[[FieldError], None]) -> None:
        self._place = place
        self._budget = budget
        self._tell = tell
        self._refuse = refuse
        shown, old = place.shown, place.old
        self._plain = {"self": shown} if old is None else {"self": shown, "oldSelf": old}
        self._optional = {"self": shown, "oldSelf": ABSENT if old is None else Optional(old)}

    def run(self, rules: Sequence[Compiled]) -> None:
        if self._budget.left <= 0:
            self._stop(_OUT_OF_BUDGET)
        for rule in rules:
            if rule.error:
                self._wrong(f"rule compile error: {rule.error}")
            elif rule.program is not None and self._is_due(rule):
                self._ask(rule, rule.program)

    def _is_due(self, rule: Compiled) -> bool:
        """What compares needs something to compare with."""
        return not rule.uses_old or self._place.old is not None or bool(rule.spec.optional_old)

    def _wrong(self, text: str) -> None:
        self._refuse(FieldError.invalid(self._place.told, self._place.type, text))

    def _stop(self, text: str) -> None:
        self._wrong(text)
        self._budget.left = -1
        raise OutOfBudget

    def _ask(self, rule: Compiled, program: Program) -> None:
        variables: Mapping[str, Any] = self._optional if rule.spec.optional_old else self._plain
        try:
            result = program.evaluate(variables)
        except CostExceeded as exc:
            self._spend(exc.cost)
            self._stop(f"'{exc}': {_NO_FURTHER} rule: {rule.spec.label}")
        except EvaluationError as exc:
            self._spend(exc.cost)
            self._wrong(_failure(exc, rule.spec))
        else:
            self._spend(result.cost)
            if result.value is not True:
                self._tell(rule, self._error(rule))

    def _spend(self, cost: int) -> None:
        if not self._budget.spend(cost):
            self._stop(_OUT_OF_BUDGET)

    def _error(self, rule: Compiled) -> FieldError:
        spec = rule.spec
        place = self._place
        path = place.told
        if rule.field_path:
            path = f"{place.path}.{rule.field_path}" if place.path else rule.field_path
        message = ""
        if rule.message is not None:
            message = self._message(rule, rule.message, path)
        detail = message or spec.default_message
        match spec.reason:
            case "FieldValueForbidden":
                return FieldError.forbidden(path, detail)
            case "FieldValueRequired":
                return FieldError.required(path, detail)
        hidden = place.type in ("object", "array")
        if spec.reason == "FieldValueDuplicate":
            return FieldError("FieldValueDuplicate", path, "", place.value, shows_value=not hidden)
        return FieldError("FieldValueInvalid", path, detail, place.value, shows_value=not hidden)

    def _message(self, rule: Compiled, program: Program, path: str) -> str:
        """What the rule's messageExpression says, "" if it says nothing that could be told."""
        source = quoted(rule.spec.message_expression)
        over = "messageExpression evaluation failed due to running out of cost budget, "
        over += "no further validation rules will be run"
        try:
            # Upstream hands the old value as it is even to those that declare it optional, which fails most of them.
            result = program.evaluate(self._plain)
        except AttributeError:
            if not rule.spec.optional_old:
                raise
            return ""
        except CostExceeded as exc:
            within = self._budget.spend(exc.cost)
            text = f"{_NO_FURTHER} messageExpression: {source}" if within else over
        except EvaluationError as exc:
            if self._budget.spend(exc.cost):
                return ""
            text = over
        else:
            if self._budget.spend(result.cost):
                return _usable(result.value)
            text = over
        self._tell(rule, FieldError.invalid(path, self._place.type, text))
        self._budget.left = -1
        raise OutOfBudget


def _failure(exc: EvaluationError, spec: RuleSpec) -> str:
    if str(exc).startswith("no such overload"):
        why = "call arguments did not match a supported operator, function or macro signature"
        return f"'{exc}': {why} for rule: {spec.label}"
    return f"{exc} evaluating rule: {spec.label}"


def _usable(message: Any) -> str:
    text = message.strip() if isinstance(message, str) else ""
    return text if "\n" not in text and len(text.encode("utf-8", "surrogatepass")) <= MAX_MESSAGE else ""
