"""matchConditions: expressions that say whether a request is one that a webhook or a policy wants to know of.

Source: k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.admission.policies.programs import Condition
from hyperkube_machinery.cel.kubernetes.admission.evaluating import Evaluation, OutOfBudget
from hyperkube_machinery.cel.kubernetes.limits import MATCH_CONDITIONS_BUDGET
from hyperkube_machinery.errors import aggregated

__all__ = ["ConditionError", "met"]


class ConditionError(Exception):
    """Conditions could not be evaluated, and none of them says that the request is of no interest."""


def met(conditions: Sequence[Condition], given: Mapping[str, Any], *, ignores_failures: bool) -> bool:
    """Whether all conditions hold: those that fail don't, where failures are ignored. Raises ConditionError."""
    evaluation = Evaluation(given, {}, MATCH_CONDITIONS_BUDGET)
    errors: list[str] = []
    try:
        for condition in conditions:
            found = evaluation.evaluate(condition.program)
            if found.error:
                errors.append(found.error)
            elif found.value is False:
                return False
    except OutOfBudget as exc:
        errors = [str(exc)]
    if errors and not ignores_failures:
        raise ConditionError(aggregated(errors))
    return not errors
