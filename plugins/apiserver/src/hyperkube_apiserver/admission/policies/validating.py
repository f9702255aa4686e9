"""Validating policies, asked about a request.

First everything is gathered that may have to be waited for: parameters, objects in other versions. Then all policies
are evaluated, without waiting for anything but an authorizer; what they say is acted upon at the end.
Source: k8s.io/apiserver/pkg/admission/plugin/policy/validating/dispatcher.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.evaluation import Given, namespace_object
from hyperkube_apiserver.admission.judging import judged
from hyperkube_apiserver.admission.objects import Objects
from hyperkube_apiserver.admission.policies.cases import Case, cases
from hyperkube_apiserver.admission.policies.instruments import error_type, validating_instruments
from hyperkube_apiserver.admission.policies.model import Binding, Policy, Sorted
from hyperkube_apiserver.admission.policies.verdicts import Judgement, Verdict, judge
from hyperkube_apiserver.admission.rules import GroupVersionKind
from hyperkube_apiserver.authz import PromptAuthorizer
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError

__all__ = ["ValidatingDispatcher"]

Tree = dict[str, Any]

_FAILURE = "validation.policy.admission.k8s.io/validation_failure"
_LONGEST_ANNOTATION = 10 << 10
_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413, "Invalid": 422}


@dataclass(slots=True)
class _Outcome:
    """What all policies come to."""

    denials: list[tuple[str, str]] = field(default_factory=list)  # messages with their reasons
    notes: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # annotations by policy and key


class ValidatingDispatcher:
    """Asks validating policies."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._instruments = cluster.instruments(validating_instruments)

    async def validate(self, attributes: Attributes, asked: Sequence[tuple[int, Policy, Sorted]]) -> None:
        """Evaluate the policies that are about such requests. Raises APIError where one denies this one."""
        found = [case for _, policy, how in asked for case in await cases(policy, how, attributes, self._cluster)]
        if not found:
            return
        givens = await self._givens(found, attributes)
        judgements = await judged(self._cluster.authorizer, partial(self._judged, found, givens))
        outcome = _Outcome()
        for case, (said, seconds) in zip(found, judgements, strict=True):
            self._settle(case, said, seconds, attributes, outcome)
        for (policy, key), values in outcome.notes.items():
            attributes.annotate(f"{policy}/{key}", ", ".join(values))
        if outcome.denials:
            raise _refusal(attributes, *outcome.denials[0])

    async def _givens(self, cases: Sequence[Case], attributes: Attributes) -> dict[GroupVersionKind, Given]:
        """What expressions are given, for each version of the object that any of the policies takes."""
        objects, givens = Objects(attributes, self._cluster), dict[GroupVersionKind, Given]()
        namespace: Tree | None = None
        for case in cases:
            target = case.target
            if target is None or target.body in givens:
                continue
            if not givens:
                namespace = namespace_object(attributes, self._cluster)
            obj, old = await objects.at(target)
            givens[target.body] = Given(attributes, target, obj, old, namespace)
        return givens

    def _judged(
        self, cases: Sequence[Case], givens: dict[GroupVersionKind, Given], authorizer: PromptAuthorizer
    ) -> list[tuple[Sequence[Judgement], float]]:
        return [self._judge(case, givens, authorizer) for case in cases]

    def _judge(
        self, case: Case, givens: dict[GroupVersionKind, Given], authorizer: PromptAuthorizer
    ) -> tuple[Sequence[Judgement], float]:
        if case.target is None:
            return (), 0.0
        began = self._cluster.clock.monotonic()
        given, policy = givens[case.target.body], case.policy
        judgements = [
            judge(
                policy.programs,
                given.with_params(params, authorizer),
                given.with_params(params, None),
                ignores_failures=policy.ignores_failures,
            )
            for params in case.params
        ]
        return judgements, self._cluster.clock.monotonic() - began

    def _settle(
        self,
        case: Case,
        judgements: Sequence[Judgement],
        seconds: float,
        attributes: Attributes,
        outcome: _Outcome,
    ) -> None:
        """Act upon what a policy says for one binding."""
        policy, binding = case.policy, case.binding
        if case.wrong:
            if not policy.ignores_failures:
                outcome.denials.append((_denied(policy, binding, case.wrong), "Invalid"))
            return
        assert binding is not None
        for judgement in judgements:
            for index, verdict in enumerate(judgement.verdicts):
                for action in self._act(policy, binding, index, verdict, attributes, outcome):
                    self._count(case, verdict, action, seconds)
            for note in judgement.notes:
                if note.error:
                    outcome.denials.append((_denied(policy, binding, note.error), "Invalid"))
                    self._count(case, Verdict(True, note.error, failed=True), "deny", seconds)
                    continue
                values = outcome.notes.setdefault((policy.name, note.key), [])
                if (value := note.value[:_LONGEST_ANNOTATION]) not in values:
                    values.append(value)

    def _act(
        self,
        policy: Policy,
        binding: Binding,
        index: int,
        verdict: Verdict,
        attributes: Attributes,
        outcome: _Outcome,
    ) -> Sequence[str]:
        """Do what the binding says of a verdict; returns what that is, as metrics call it."""
        if not verdict.denies:
            return ("allow",) if verdict.failed else ()
        for action in binding.actions:
            match action:
                case "Deny":
                    outcome.denials.append((_denied(policy, binding, verdict.message), verdict.reason or "Invalid"))
                case "Warn":
                    attributes.warn(
                        f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding "
                        f"'{binding.name}': {verdict.message}"
                    )
                case "Audit":
                    attributes.annotate(_FAILURE, _failure(policy, binding, index, verdict))
        return [action.lower() for action in binding.actions]

    def _count(self, case: Case, verdict: Verdict, action: str, seconds: float) -> None:
        error = error_type(verdict.message, failed=verdict.failed)
        self._instruments.observe(case.policy.name, case.bound, error, action, seconds)


def _denied(policy: Policy, binding: Binding | None, why: str) -> str:
    bound = f" with binding '{binding.name}'" if binding is not None else ""
    return f"ValidatingAdmissionPolicy '{policy.name}'{bound} denied request: {why}"


def _failure(policy: Policy, binding: Binding, index: int, verdict: Verdict) -> str:
    told = {
        "message": verdict.message,
        "policy": policy.name,
        "binding": binding.name,
        "expressionIndex": index,
        "validationActions": list(binding.actions),
    }
    return encode([told]).decode()


def _refusal(attributes: Attributes, message: str, reason: str) -> APIError:
    error = forbidden(attributes, message)
    error.status["reason"], error.status["code"] = reason, _CODES.get(reason, 422)
    error.status["details"]["causes"] = [{"message": message}]
    return error
