"""Evictions: deletions of pods that disruption budgets have a say in.

Source: k8s.io/kubernetes/pkg/registry/core/pod/storage (EvictionREST).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.handlers.write import write_context
from hyperkube_apiserver.parameters import DeleteOptions, WriteOptions, write_options
from hyperkube_apiserver.registry.attributes import Operation
from hyperkube_apiserver.registry.meta import match_namespace
from hyperkube_apiserver.registry.ownership import copied
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_machinery import meta
from hyperkube_machinery.decoding import read_object
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError, FieldError, failure
from hyperkube_machinery.schema import Schemas
from hyperkube_machinery.selectors import label_selector
from hyperkube_machinery.serving.messages import Answer, Response

__all__ = ["Evictions"]

_DEFINITION = "io.k8s.api.policy.v1.Eviction"
_VERSION, _OLD_VERSION = "policy/v1", "policy/v1beta1"
_ATTEMPTS = 20
_MOST_DISRUPTED = 2000
_SOON_SECONDS = 10
_VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."
_ENDED = ("Succeeded", "Failed")

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evictions:
    """Answers POST of pods/NAME/eviction."""

    pods: Served
    budgets: Served
    hub: Hub

    async def __call__(self, call: Call, now: str) -> Answer:
        """Delete the pod if its budget allows that."""
        options = write_options(call.query, "CreateOptions")
        eviction = _read(call, options.field_validation)
        context = write_context(call, now, options, subresource="eviction")
        name = call.info.name
        admission = self.pods.registry.admission
        attributes = self.pods.registry.attributes(Operation.CREATE, name, context, eviction)
        await admission.admit(attributes)
        if meta.name(eviction) != name:
            raise APIError.bad_request("name in URL does not match name in Eviction object")
        asked = _delete_options(eviction, name, dry_run=_dry_run(call, options))
        await admission.validate(attributes)
        # What follows the server does by itself: who may evict need not be allowed to delete.
        own = WriteContext(
            now=now,
            namespace=context.namespace,
            dry_run=asked.dry_run,
            ends=context.ends,
            warn=call.warn,
            annotate=call.annotate,
        )
        pod = await self._delete_ignorable(name, asked, own)
        if pod is not None:
            await self._delete_guarded(pod, asked, own)
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
        return Response(201, encode(status))

    async def _delete_ignorable(self, name: str, asked: DeleteOptions, context: WriteContext) -> Tree | None:
        """Delete a pod that no budget guards because it has ended or never began; else return the pod."""
        attempts = 1 if asked.resource_version is not None else _ATTEMPTS
        for attempt in range(attempts):
            pod = await self._pod(name, context.namespace)
            phase, going = (pod.get("status") or {}).get("phase"), meta.deletion_timestamp(pod)
            if phase not in (*_ENDED, "Pending") and not going:
                return pod
            options = asked
            if phase == "Pending" and not going and asked.resource_version is None:
                # It may be on its way to count for a budget.
                options = replace(asked, resource_version=meta.resource_version(pod))
            try:
                await self._delete(name, options, context)
            except APIError as exc:
                if exc.reason != "Conflict" or attempt == attempts - 1:
                    raise
            else:
                return None
        raise AssertionError("the last attempt returns or raises")

    async def _delete_guarded(self, pod: Tree, asked: DeleteOptions, context: WriteContext) -> None:
        """Delete a running pod if its budget allows one disruption more. Raises 429 if it does not."""
        budgets = self._budgets_of(pod)
        if len(budgets) > 1:
            text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise APIError(failure(500, "", text))
        options, budget = asked, ""
        if budgets:
            budget = meta.name(budgets[0])
            if _is_spare(pod, budgets[0]):
                # It counts for nothing as it is; should it become ready meanwhile, it does.
                options = replace(asked, resource_version=meta.resource_version(pod))
            else:
                await self._count(budget, meta.name(pod), context)
        try:
            await self._delete(meta.name(pod), options, context)
        except APIError as exc:
            if exc.reason == "Conflict" and options is not asked and asked.resource_version is None:
                raise _too_many_requests(_still_processed(budget), _SOON_SECONDS) from exc
            raise

    async def _pod(self, name: str, namespace: str) -> Tree:
        await self.hub.fresh()
        item = self.pods.cache.get(self.pods.kind.key(namespace, name))
        if item is None:
            raise APIError.not_found(self.pods.kind.resource, name)
        return decode_body(item.body)

    def _budgets_of(self, pod: Tree) -> list[Tree]:
        found = []
        for item in self.budgets.cache.items(meta.namespace(pod)):
            budget = decode_body(item.body)
            try:
                selector = label_selector((budget.get("spec") or {}).get("selector"))
            except ValueError:  # it matches no pod
                continue
            if selector.matches(meta.labels_of(pod)):
                found.append(budget)
        return found

    async def _count(self, budget: str, pod: str, context: WriteContext) -> None:
        """Take one disruption from the budget, on behalf of a pod."""

        def take(old: Tree) -> Tree:
            tree = copied(old)
            _take_disruption(tree, pod, context.now)
            return tree

        context = replace(context, subresource="status")
        try:
            await self.budgets.registry.update(budget, take, context, context.warn, attempts=_ATTEMPTS)
        except APIError as exc:
            if exc.reason != "Conflict":
                raise
            text = f'Timeout: couldn\'t update PodDisruptionBudget "{budget}" due to conflicts'
            status = failure(504, "Timeout", text, {"retryAfterSeconds": _SOON_SECONDS})
            raise APIError(status, headers=[("Retry-After", str(_SOON_SECONDS))]) from exc

    async def _delete(self, name: str, options: DeleteOptions, context: WriteContext) -> None:
        """Note in the pod why it goes, and delete it."""
        registry = self.pods.registry
        if not options.dry_run:

            def note(old: Tree) -> Tree:
                _check_preconditions(old, options)
                tree = copied(old)
                _set_disrupted(tree, context.now)
                return tree

            marking = replace(context, subresource="status", admitted=True)
            written = await registry.update(name, note, marking, context.warn)
            if options.resource_version is not None:
                options = replace(options, resource_version=meta.resource_version(decode_body(written.body)))
        await registry.delete(name, options, replace(context, admitted=True), context.warn)


def _read(call: Call, field_validation: str) -> Tree:
    eviction, warnings = read_object(
        call.request.body,
        call.header("content-type"),
        Schemas.load().walker(_DEFINITION),
        group_version=_OLD_VERSION if _OLD_VERSION.encode() in call.request.body else _VERSION,
        kind="Eviction",
        field_validation=field_validation,
    )
    for text in warnings:
        call.warn(text)
    if call.trail is not None:
        call.trail.sent(eviction)
    match_namespace(eviction, call.namespace)
    return eviction


def _dry_run(call: Call, options: WriteOptions) -> list[str]:
    return list(call.query.get("dryRun", ())) if options.dry_run else []


def _delete_options(eviction: Tree, name: str, *, dry_run: list[str]) -> DeleteOptions:
    """What the eviction asks of the deletion, which is a dry run if either of them says so."""
    asked = eviction.get("deleteOptions") or {}
    field = "ignoreStoreReadErrorWithClusterBreakingPotential"
    if asked.get(field):
        text = "can not be set for pod eviction, try after removing the option"
        error = FieldError.invalid(f"deleteOptions.{field}", True, text)
        raise APIError.invalid("policy", "Eviction", name, [error])
    inside = list(asked.get("dryRun") or ())
    if inside and dry_run and inside != dry_run:
        shown = f"[{' '.join(dry_run)}] and [{' '.join(inside)}]"
        raise APIError.of(500, "", f"Non-matching dry-run options in request and content: {shown}")
    preconditions = asked.get("preconditions") or {}
    return DeleteOptions(
        grace_period_seconds=asked.get("gracePeriodSeconds"),
        propagation_policy=asked.get("propagationPolicy"),
        orphan_dependents=asked.get("orphanDependents"),
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run=bool(inside or dry_run),
    )


def _is_spare(pod: Tree, budget: Tree) -> bool:
    """Whether a pod that isn't ready may go without counting as a disruption."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    if any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    healthy, wanted = status.get("currentHealthy") or 0, status.get("desiredHealthy") or 0
    return bool(healthy >= wanted > 0)


def _take_disruption(budget: Tree, pod: str, now: str) -> None:
    """Count one disruption; raises 429 where none is allowed."""
    name, status = meta.name(budget), budget.setdefault("status", {})
    if (status.get("observedGeneration") or 0) < meta.generation(budget):
        raise _too_many_requests(_still_processed(name), _SOON_SECONDS)
    allowed, disrupted = status.get("disruptionsAllowed") or 0, dict(status.get("disruptedPods") or {})
    if allowed < 0:
        raise _forbidden(name, "pdb disruptions allowed is negative")
    if len(disrupted) > _MOST_DISRUPTED:
        raise _forbidden(name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    if allowed == 0:
        raise _too_many_requests(_why_none(name, status))
    status["disruptionsAllowed"] = allowed - 1
    if allowed == 1:
        _set_condition(status, now)
    status["disruptedPods"] = {**disrupted, pod: now}


def _why_none(name: str, status: Tree) -> str:
    conditions = status.get("conditions") or ()
    known: Tree = {}
    condition = next((one for one in conditions if one.get("type") == "DisruptionAllowed"), known)
    reason, message = condition.get("reason") or "", condition.get("message") or ""
    said = condition.get("status") == "False" and message
    healthy, wanted = status.get("currentHealthy") or 0, status.get("desiredHealthy") or 0
    if said and reason == "SyncFailed":
        return f"The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
    if healthy <= wanted:
        return f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently"
    if said:
        return f"The disruption budget {name} does not allow evicting pods currently ({reason}): {message}"
    return f"The disruption budget {name} does not allow evicting pods currently"


def _still_processed(name: str) -> str:
    return f"The disruption budget {name} is still being processed by the server."


def _too_many_requests(why: str, seconds: int = 0) -> APIError:
    details: Tree = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if seconds:
        details["retryAfterSeconds"] = seconds
    headers = [("Retry-After", str(seconds))] if seconds else []
    return APIError(failure(429, "TooManyRequests", _VIOLATED, details), headers=headers)


def _forbidden(name: str, why: str) -> APIError:
    details = {"name": name, "group": "policy", "kind": "poddisruptionbudget"}
    return APIError.of(403, "Forbidden", f'poddisruptionbudget.policy "{name}" is forbidden: {why}', details)


def _set_condition(status: Tree, now: str) -> None:
    """Say that no further disruption is allowed."""
    conditions = [dict(one) for one in status.get("conditions") or ()]
    condition = next((one for one in conditions if one.get("type") == "DisruptionAllowed"), None)
    if condition is None:
        condition = {"type": "DisruptionAllowed", "lastTransitionTime": now, "message": ""}
        conditions.append(condition)
    elif condition.get("status") != "False":
        condition["lastTransitionTime"] = now
    condition |= {"status": "False", "reason": "InsufficientPods", "message": ""}
    if status.get("observedGeneration"):
        condition["observedGeneration"] = status["observedGeneration"]
    status["conditions"] = conditions


def _set_disrupted(pod: Tree, now: str) -> None:
    """Note in the pod's status that it was evicted."""
    status = pod.setdefault("status", {})
    conditions = [dict(one) for one in status.get("conditions") or ()]
    told = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": now,
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    at = next((index for index, one in enumerate(conditions) if one.get("type") == told["type"]), None)
    if at is None:
        conditions.append(told)
    else:
        if conditions[at].get("status") == "True":
            told["lastTransitionTime"] = conditions[at].get("lastTransitionTime")
        conditions[at] = told
    status["conditions"] = conditions


def _check_preconditions(pod: Tree, options: DeleteOptions) -> None:
    for what, wanted, found, why in (
        ("UID", options.uid, meta.uid(pod), "deleted and then recreated"),
        ("ResourceVersion", options.resource_version, meta.resource_version(pod), "modified"),
    ):
        if wanted and wanted != found:
            name = meta.name(pod)
            text = (
                f'Operation cannot be fulfilled on Pod "{name}": the {what} in the precondition ({wanted}) does not '
                f"match the {what} in record ({found}). The object might have been {why}"
            )
            raise APIError.of(409, "Conflict", text, {"name": name, "kind": "Pod"})
