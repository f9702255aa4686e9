"""FlowSchemas and PriorityLevelConfigurations. Source: k8s.io/kubernetes/pkg/{registry,apis}/flowcontrol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.clusterdefaults import mandatory_specs
from hyperkube_apiserver.registry.fields import dns_subdomain, one_of
from hyperkube_apiserver.registry.flowrules import validate_flow_rule
from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_apiserver.registry.podspec.defaults import fill
from hyperkube_apiserver.registry.strategy import Strategy, Tree
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError

__all__ = ["FlowSchemas", "PriorityLevelConfigurations"]

_DEFINITIONS = "io.k8s.api.flowcontrol.v1."
_DISTINGUISHERS = ("ByNamespace", "ByUser")
_LAST_PRECEDENCE = 10_000
_DEFAULT_PRECEDENCE = 1_000
_DEFAULT_SHARES = 30
_MOST_QUEUES = 10_000_000
_HASH_BITS = 60
_PRESERVE_ZERO = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"


class _Configuration(Strategy):
    """What both kinds have in common: status is nobody's but its own, and metadata may change as in a new object."""

    counts_generation = True
    revalidates_meta = True

    def prepare_status_update(self, obj: Tree, old: Tree) -> None:
        obj["metadata"] = {**old["metadata"], **_kept_of_new(obj)}
        obj["spec"] = old["spec"]

    def validate_own_meta_update(self, obj: Tree, old: Tree, subresource: str) -> list[FieldError]:
        return []

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return _validate_status(obj)


def _kept_of_new(obj: Tree) -> Tree:
    """Who owns which field and what version was changed is a matter of the write."""
    metadata = obj["metadata"]
    return {field: metadata[field] for field in ("managedFields", "resourceVersion") if field in metadata}


class FlowSchemas(_Configuration):
    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("matchingPrecedence"):
            spec["matchingPrecedence"] = _DEFAULT_PRECEDENCE

    def validate_object(self, obj: Tree) -> list[FieldError]:
        name, spec = meta.name(obj), obj.get("spec") or {}
        errors = _validate_schema(name, spec)
        fixed = mandatory_specs("flowschemas").get(name)
        if fixed is not None and spec != fixed:
            errors.append(_not_fixed(spec, "FlowSchemaSpec", f"spec of '{name}' must equal the fixed value"))
        return errors + _validate_status(obj)


class PriorityLevelConfigurations(_Configuration):
    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        exempt, limited = spec.get("exempt"), spec.get("limited")
        if exempt is not None:
            fill(exempt, nominalConcurrencyShares=0, lendablePercent=0)
        if limited is not None:
            fill(limited, nominalConcurrencyShares=_DEFAULT_SHARES, lendablePercent=0)
            queuing = (limited.get("limitResponse") or {}).get("queuing")
            for field, value in (("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)):
                if queuing is not None and not queuing.get(field):
                    queuing[field] = value

    def validate_object(self, obj: Tree) -> list[FieldError]:
        name, spec = meta.name(obj), obj.get("spec") or {}
        errors: list[FieldError] = []
        if _PRESERVE_ZERO in meta.annotations_of(obj):
            text = f"annotation '{_PRESERVE_ZERO}' is forbidden"
            errors.append(FieldError.forbidden("metadata.annotations", text))
        errors += _validate_level(name, spec)
        fixed = mandatory_specs("prioritylevelconfigurations").get(name)
        if fixed is not None:
            compared, told = spec, f"spec of '{name}' must equal the fixed value"
            if name == "exempt":
                compared = {**spec, "exempt": fixed["exempt"]}
                told = f"spec of '{name}' except the 'spec.exempt' field must equal the fixed value"
            if compared != fixed:
                errors.append(_not_fixed(spec, "PriorityLevelConfigurationSpec", told))
        return errors + _validate_status(obj)


def _not_fixed(spec: Tree, definition: str, text: str) -> FieldError:
    return FieldError.invalid("spec", as_internal(spec, definition, package=_DEFINITIONS), text)


def _validate_schema(name: str, spec: Tree) -> list[FieldError]:
    errors: list[FieldError] = []
    precedence = spec.get("matchingPrecedence") or 0
    if precedence <= 0:
        errors.append(FieldError.invalid("spec.matchingPrecedence", precedence, "must be a positive value"))
    if precedence > _LAST_PRECEDENCE:
        text = f"must not be greater than {_LAST_PRECEDENCE}"
        errors.append(FieldError.invalid("spec.matchingPrecedence", precedence, text))
    if precedence == 1 and name != "exempt":
        text = "only the schema named 'exempt' may have matchingPrecedence 1"
        errors.append(FieldError.invalid("spec.matchingPrecedence", precedence, text))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in _DISTINGUISHERS:
        shown = {"Type": method.get("type") or ""}
        errors.append(FieldError.not_supported("spec.distinguisherMethod.type", shown, _DISTINGUISHERS))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
    at = "spec.priorityLevelConfiguration.name"
    errors += dns_subdomain(level, at) if level else [FieldError.required(at, "must reference a priority level")]
    for index, rule in enumerate(spec.get("rules") or ()):
        errors += validate_flow_rule(rule, f"spec.rules[{index}]")
    return errors


def _validate_level(name: str, spec: Tree) -> list[FieldError]:
    kind, exempt, limited = spec.get("type") or "", spec.get("exempt"), spec.get("limited")
    errors: list[FieldError] = []
    if (name == "exempt") != (kind == "Exempt"):
        text = "must be 'Exempt' if and only if `name` is 'exempt'"
        errors.append(FieldError.invalid("spec.type", kind, text))
    if kind == "Exempt":
        if limited is not None:
            errors.append(FieldError.forbidden("spec.limited", "must be nil if the type is not Limited"))
        return errors + (_validate_shares(exempt, "spec.exempt") if exempt is not None else [])
    if kind != "Limited":
        return errors + one_of(kind, ("Exempt", "Limited"), "spec.type")
    if exempt is not None:
        errors.append(FieldError.forbidden("spec.exempt", "must be nil if the type is Limited"))
    if limited is None:
        errors.append(FieldError.required("spec.limited", "must not be empty when type is Limited"))
        return errors
    errors += _validate_shares(limited, "spec.limited")
    errors += _validate_response(limited.get("limitResponse") or {}, "spec.limited.limitResponse")
    borrowed = limited.get("borrowingLimitPercent")
    if borrowed is not None and borrowed < 0:
        text = "if specified, must be a non-negative integer"
        errors.append(FieldError.invalid("spec.limited.borrowingLimitPercent", borrowed, text))
    return errors


def _validate_shares(level: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    shares, lendable = level.get("nominalConcurrencyShares") or 0, level.get("lendablePercent")
    if shares < 0:
        text = "must be a non-negative integer"
        errors.append(FieldError.invalid(f"{path}.nominalConcurrencyShares", shares, text))
    if lendable is not None and not 0 <= lendable <= 100:
        errors.append(FieldError.invalid(f"{path}.lendablePercent", lendable, "must be between 0 and 100, inclusive"))
    return errors


def _validate_response(response: Tree, path: str) -> list[FieldError]:
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind == "Reject" and queuing is not None:
        text = "must be nil if limited.limitResponse.type is not Limited"
        return [FieldError.forbidden(f"{path}.queuing", text)]
    if kind == "Queue" and queuing is None:
        text = "must not be empty if limited.limitResponse.type is Limited"
        return [FieldError.required(f"{path}.queuing", text)]
    if kind == "Queue":
        return _validate_queuing(queuing or {}, f"{path}.queuing")
    return one_of(kind, ("Queue", "Reject"), f"{path}.type")


def _validate_queuing(queuing: Mapping[str, Any], path: str) -> list[FieldError]:
    length, queues, hand = (queuing.get(field) or 0 for field in ("queueLengthLimit", "queues", "handSize"))
    errors: list[FieldError] = []
    if length <= 0:
        errors.append(FieldError.invalid(f"{path}.queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        errors.append(FieldError.invalid(f"{path}.queues", queues, "must be positive"))
    elif queues > _MOST_QUEUES:
        errors.append(FieldError.invalid(f"{path}.queues", queues, f"must not be greater than {_MOST_QUEUES}"))
    wrong = ""
    if hand <= 0:
        wrong = "must be positive"
    elif hand > queues:
        wrong = f"should not be greater than queues ({queues})"
    elif math.ceil(math.log2(queues) * hand) > _HASH_BITS:
        wrong = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_HASH_BITS}"
        )
    if wrong:
        errors.append(FieldError.invalid(f"{path}.handSize", hand, wrong))
    return errors


def _validate_status(obj: Tree) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in enumerate((obj.get("status") or {}).get("conditions") or ()):
        kind, at = condition.get("type") or "", f"status.conditions[{index}].type"
        if kind in seen:
            errors.append(FieldError.duplicate(at, kind))
        seen.add(kind)
        if not kind:
            errors.append(FieldError.required(at))
    return errors
