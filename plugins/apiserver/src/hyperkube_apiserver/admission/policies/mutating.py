"""Mutating policies, carried out one after the other.

Source: k8s.io/apiserver/pkg/admission/plugin/policy/mutating/dispatcher.go.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.evaluation import Given, namespace_object
from hyperkube_apiserver.admission.judging import judged
from hyperkube_apiserver.admission.matchconditions import ConditionError, met
from hyperkube_apiserver.admission.objects import Objects
from hyperkube_apiserver.admission.policies.cases import Case, cases
from hyperkube_apiserver.admission.policies.instruments import error_type, mutating_instruments
from hyperkube_apiserver.admission.policies.model import Policy, Sorted
from hyperkube_apiserver.admission.policies.patching import PatchError, applied, patched
from hyperkube_apiserver.admission.policies.programs import Mutation
from hyperkube_apiserver.admission.rounds import Rounds
from hyperkube_apiserver.admission.rules import Target
from hyperkube_apiserver.authz import PromptAuthorizer
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery import meta
from hyperkube_machinery.cel.kubernetes.admission.evaluating import Evaluation, OutOfBudget
from hyperkube_machinery.cel.kubernetes.limits import OBJECT_BUDGET
from hyperkube_machinery.decoding import StrictError
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.schema import WrongType

__all__ = ["MutatingDispatcher"]

Tree = dict[str, Any]

_PLUGIN = "MutatingAdmissionPolicy"


@dataclass(slots=True)
class _Work:
    """One request, while policies work on it."""

    attributes: Attributes
    objects: Objects
    rounds: Rounds
    namespace: Tree | None
    errors: list[tuple[str, str]]  # what denies the request, with reasons
    touched: bool = False


class MutatingDispatcher:
    """Carries out mutating policies."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._instruments = cluster.instruments(mutating_instruments)

    async def mutate(self, attributes: Attributes, asked: Sequence[tuple[int, Policy, Sorted]]) -> None:
        """Let the policies that are about such requests change the object. Raises APIError where one can't."""
        found = [case for _, policy, how in asked for case in await cases(policy, how, attributes, self._cluster)]
        if not found:
            return
        concerned = [case for case in found if case.target is not None]
        namespace = namespace_object(attributes, self._cluster) if concerned else None
        work = _Work(
            attributes, Objects(attributes, self._cluster), Rounds.of(attributes, _PLUGIN), namespace, errors=[]
        )
        work.errors += [
            (_denied(case, case.wrong), "Forbidden")
            for case in found
            if case.wrong and not case.policy.ignores_failures
        ]
        for case in concerned:
            assert case.target is not None
            for params in case.params:
                await self._carry_out(work, case, case.target, params)
        if work.touched:
            work.rounds.require()
        work.rounds.end()
        if work.errors:
            raise _refusal(attributes, work.errors)

    async def _carry_out(self, work: _Work, case: Case, target: Target, params: Tree | None) -> None:
        """One policy with one set of parameters."""
        policy = case.policy
        try:
            if policy.has_conditions and not await self._met(work, policy, target, params):
                return
        except ConditionError as exc:
            self._failed(work, case, str(exc))
            return
        who = (policy.name, case.bound, meta.namespace(params or {}), meta.name(params or {}))
        if not work.rounds.asks(who):
            return
        changed = False
        for index in range(policy.mutations):
            if work.attributes.obj is None:
                continue
            work.touched = True
            began, why = self._cluster.clock.monotonic(), ""
            try:
                changed |= await self._mutated(work, case, target, params, index)
            except (PatchError, OutOfBudget) as exc:
                why = str(exc)
                self._failed(work, case, why)
            error = error_type(why, failed=bool(why))
            seconds = self._cluster.clock.monotonic() - began
            self._instruments.observe(policy.name, case.bound, error, "deny" if why else "allow", seconds)
        work.rounds.asked(who, changed=changed, again=policy.is_reinvoked)

    def _failed(self, work: _Work, case: Case, why: str) -> None:
        if not case.policy.ignores_failures:
            work.errors.append((_denied(case, why), "Invalid"))

    async def _met(self, work: _Work, policy: Policy, target: Target, params: Tree | None) -> bool:
        given = await self._given(work, target)
        ignores = policy.ignores_failures

        def check(authorizer: PromptAuthorizer) -> bool:
            values = given.with_params(params, authorizer)
            return met(policy.programs.conditions, values, ignores_failures=ignores)

        return await judged(self._cluster.authorizer, check)

    async def _given(self, work: _Work, target: Target) -> Given:
        obj, old = await work.objects.at(target)
        return Given(work.attributes, target, obj, old, work.namespace)

    async def _mutated(self, work: _Work, case: Case, target: Target, params: Tree | None, index: int) -> bool:
        """Evaluate and apply one mutation; whether that changed the object.

        Raises PatchError, OutOfBudget, APIError.
        """
        given = await self._given(work, target)
        mutation, value = await judged(self._cluster.authorizer, partial(_evaluated, case.policy, index, given, params))
        live, _ = await work.objects.at(target)
        assert live is not None
        shape = work.objects.shape(target)
        if shape is None:
            raise APIError.of(
                503,
                "ServiceUnavailable",
                f"Resource kind {target.body} not found. There can be a delay between when CustomResourceDefinitions "
                "are created and when they are available.",
            )
        made = patched(live, value) if mutation.is_json_patch else applied(live, value, shape)
        if made == live:
            return False
        try:
            await work.objects.put(target, copy.deepcopy(made), strict=mutation.is_json_patch)
        except (StrictError, WrongType) as exc:
            raise APIError.internal(str(exc)) from exc
        return True


def _evaluated(
    policy: Policy, index: int, given: Given, params: Tree | None, authorizer: PromptAuthorizer
) -> tuple[Mutation, Any]:
    mutation = policy.programs.mutations[index]
    if mutation.program.error:
        raise PatchError(mutation.program.error)
    values: Mapping[str, Any] = given.with_params(params, authorizer)
    found = Evaluation(values, policy.programs.variables, OBJECT_BUDGET).evaluate(mutation.program)
    if found.error:
        raise PatchError(found.error)
    return mutation, found.value


def _denied(case: Case, why: str) -> str:
    if case.binding is not None:
        return f"policy '{case.policy.name}' with binding '{case.binding.name}' denied request: {why}"
    return f'policy "{case.policy.name}" denied request: {why}'


def _refusal(attributes: Attributes, errors: Sequence[tuple[str, str]]) -> APIError:
    message, reason = errors[0]
    error = forbidden(attributes, "admission request denied by policy")
    error.status["message"], error.status["reason"] = message, reason
    error.status["details"]["causes"] = [{"message": text} for text, _ in errors]
    return APIError(error.status)
