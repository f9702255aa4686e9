"""What a validating policy says of a request: decided here, acted upon elsewhere.

Source: k8s.io/apiserver/pkg/admission/plugin/policy/validating/validator.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperkube_apiserver.admission.matchconditions import ConditionError, met
from hyperkube_apiserver.admission.policies.programs import Programs, Validation
from hyperkube_machinery.cel.kubernetes.admission.evaluating import Evaluated, Evaluation, OutOfBudget
from hyperkube_machinery.cel.kubernetes.limits import MAX_MESSAGE, OBJECT_BUDGET

__all__ = ["Judgement", "Note", "Verdict", "judge"]

Given = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one validation lets a request pass."""

    denies: bool
    message: str = ""
    reason: str = ""
    failed: bool = False  # it could not be evaluated


@dataclass(frozen=True, slots=True)
class Note:
    """An audit annotation, or why there is none."""

    key: str
    value: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a policy says for one set of parameters."""

    verdicts: Sequence[Verdict] = ()
    notes: Sequence[Note] = field(default=())


def judge(programs: Programs, given: Given, unauthorized: Given, *, ignores_failures: bool) -> Judgement:
    """Evaluate a policy. `unauthorized` are the values for those of its expressions that may ask no authorizer."""
    try:
        if programs.conditions and not met(programs.conditions, given, ignores_failures=ignores_failures):
            return Judgement()
    except ConditionError as exc:
        return Judgement([Verdict(not ignores_failures, str(exc), failed=True)])
    evaluation = Evaluation(given, programs.variables, OBJECT_BUDGET)
    try:
        found = [evaluation.evaluate(validation.program) for validation in programs.validations]
    except OutOfBudget as exc:
        return Judgement([Verdict(not ignores_failures, str(exc), failed=True)])
    messages = _messages(programs, found, unauthorized, evaluation.left)
    verdicts = [
        _verdict(validation, one, message, ignores_failures)
        for validation, one, message in zip(programs.validations, found, messages, strict=True)
    ]
    try:
        notes = _notes(programs, unauthorized, ignores_failures)
    except OutOfBudget as exc:
        return Judgement([Verdict(not ignores_failures, str(exc), failed=True)])
    return Judgement(verdicts, notes)


def _messages(
    programs: Programs, found: Sequence[Evaluated], given: Given, budget: int
) -> Sequence[Evaluated | OutOfBudget | None]:
    """What messageExpressions say, if there is anything to be said."""
    wanted = [not one.error and one.value is not True for one in found]
    if not any(wanted):
        return [None] * len(found)
    evaluation = Evaluation(given, programs.variables, budget)
    try:
        return [
            evaluation.evaluate(validation.message_program) if validation.message_program is not None else None
            for validation in programs.validations
        ]
    except OutOfBudget as exc:
        return [exc] * len(found)


def _verdict(
    validation: Validation, found: Evaluated, message: Evaluated | OutOfBudget | None, ignores_failures: bool
) -> Verdict:
    if found.error:
        return Verdict(not ignores_failures, found.error, failed=True)
    if isinstance(message, OutOfBudget):
        return Verdict(not ignores_failures, f"failed messageExpression: {message}", failed=True)
    if found.value is True:
        return Verdict(False)
    said = _said(message) or validation.message or f"failed expression: {validation.program.text.strip()}"
    return Verdict(True, said, validation.reason)


def _said(message: Evaluated | None) -> str:
    """What a messageExpression says, "" for what can't be told."""
    if message is None or message.error or not isinstance(message.value, str):
        return ""
    text = message.value.strip()
    return "" if "\n" in text or len(text.encode()) > MAX_MESSAGE else text


def _notes(programs: Programs, given: Given, ignores_failures: bool) -> list[Note]:
    notes: list[Note] = []
    if not programs.annotations:
        return notes
    evaluation = Evaluation(given, programs.variables, OBJECT_BUDGET)
    for key, program in programs.annotations:
        found = evaluation.evaluate(program)
        if found.error:
            if not ignores_failures:
                notes.append(Note(key, error=found.error))
        elif isinstance(found.value, str) and (value := found.value.strip()):
            notes.append(Note(key, value))
    return notes
