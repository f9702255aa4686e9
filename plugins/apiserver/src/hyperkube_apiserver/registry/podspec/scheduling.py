"""Where a pod may be placed: affinity, tolerations, spreading and gates.

Source: validateAffinity, ValidateTolerations, validateTopologySpreadConstraints in core validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.fields import (
    checked,
    dns_label,
    dns_subdomain,
    one_of,
    positive,
    qualified,
    validate_label_selector,
    validate_operator,
)
from hyperkube_apiserver.registry.meta import validate_label_key
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import label_value

__all__ = ["validate_affinity", "validate_gates", "validate_node_selector", "validate_spread", "validate_tolerations"]

Tree = Mapping[str, Any]

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def validate_tolerations(tolerations: Sequence[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, toleration in enumerate(tolerations):
        at = f"{path}[{index}]"
        key, operator = toleration.get("key") or "", toleration.get("operator") or ""
        value, effect = toleration.get("value") or "", toleration.get("effect") or ""
        if key:
            errors += validate_label_key(key, f"{at}.key")
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(FieldError.invalid(f"{at}.operator", operator, text))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(FieldError.invalid(f"{at}.effect", effect, text))
        if operator in ("Equal", ""):
            if wrong := label_value(value):
                errors.append(FieldError.invalid(f"{at}.operator", value, ";".join(wrong)))
        elif operator == "Exists":
            if value:
                text = "value must be empty when `operator` is 'Exists'"
                errors.append(FieldError.invalid(f"{at}.operator", value, text))
        else:
            known = ("Equal", "Exists", "Lt", "Gt") if operator in ("Lt", "Gt") else ("Equal", "Exists")
            errors.append(FieldError.not_supported(f"{at}.operator", operator, known))
        if effect and effect not in _EFFECTS:
            errors.append(FieldError.not_supported(f"{at}.effect", effect, _EFFECTS))
    return errors


def validate_gates(gates: Sequence[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name") or ""
        errors += qualified(name, f"{path}[{index}]")
        if name in seen:
            errors.append(FieldError.duplicate(f"{path}[{index}]", name))
        seen.add(name)
    return errors


def validate_affinity(affinity: Tree | None, path: str) -> list[FieldError]:
    if affinity is None:
        return []
    errors: list[FieldError] = []
    node = affinity.get("nodeAffinity") or {}
    if (required := node.get(_REQUIRED)) is not None:
        errors += validate_node_selector(required, f"{path}.nodeAffinity.{_REQUIRED}")
    for index, term in enumerate(node.get(_PREFERRED) or ()):
        at = f"{path}.nodeAffinity.{_PREFERRED}[{index}]"
        errors += _validate_weight(term, at)
        errors += _validate_node_term(term.get("preference") or {}, f"{at}.preference", any_value=True)
    for name in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(name) or {}
        for index, term in enumerate(part.get(_REQUIRED) or ()):
            errors += _validate_pod_term(term, f"{path}.{name}.{_REQUIRED}[{index}]")
        for index, weighted in enumerate(part.get(_PREFERRED) or ()):
            at = f"{path}.{name}.{_PREFERRED}[{index}]"
            errors += _validate_weight(weighted, at)
            errors += _validate_pod_term(weighted.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm")
    return errors


def _validate_weight(term: Tree, path: str) -> list[FieldError]:
    weight = term.get("weight") or 0
    if 0 < weight <= 100:
        return []
    return [FieldError.invalid(f"{path}.weight", weight, "must be in the range 1-100")]


def validate_node_selector(selector: Tree, path: str) -> list[FieldError]:
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        return [FieldError.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    return [
        error
        for index, term in enumerate(terms)
        for error in _validate_node_term(term, f"{path}.nodeSelectorTerms[{index}]", any_value=False)
    ]


def _validate_node_term(term: Tree, path: str, *, any_value: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        at = f"{path}.matchExpressions[{index}]"
        operator, values = requirement.get("operator") or "", requirement.get("values") or []
        if operator not in ("Gt", "Lt"):
            errors += validate_operator(operator, values, at)
        elif len(values) != 1:
            text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors.append(FieldError.required(f"{at}.values", text))
        errors += validate_label_key(requirement.get("key") or "", f"{at}.key")
        if not any_value:
            for position, value in enumerate(values):
                errors += checked(label_value, value, f"{at}.values[{position}]")
    for index, requirement in enumerate(term.get("matchFields") or ()):
        errors += _validate_node_field(requirement, f"{path}.matchFields[{index}]")
    return errors


def _validate_node_field(requirement: Tree, path: str) -> list[FieldError]:
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    errors: list[FieldError] = []
    if operator not in ("In", "NotIn"):
        errors.append(FieldError.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.append(FieldError.required(f"{path}.values", text))
    key = requirement.get("key") or ""
    if key != "metadata.name":
        return [*errors, FieldError.invalid(f"{path}.key", key, "not a valid field selector key")]
    for index, value in enumerate(values):
        errors += dns_subdomain(value, f"{path}.values[{index}]")
    return errors


def _validate_pod_term(term: Tree, path: str) -> list[FieldError]:
    selector = term.get("labelSelector")
    errors = validate_label_selector(selector, f"{path}.labelSelector")
    errors += validate_label_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for name in term.get("namespaces") or ():
        errors += dns_label(name, f"{path}.namespace")
    errors += _validate_label_keys(term, selector, path)
    topology = term.get("topologyKey") or ""
    if not topology:
        errors.append(FieldError.required(f"{path}.topologyKey", "can not be empty"))
    return errors + validate_label_key(topology, f"{path}.topologyKey")


def _validate_label_keys(term: Tree, selector: Tree | None, path: str) -> list[FieldError]:
    """matchLabelKeys and mismatchLabelKeys, by now merged into the selector once each."""
    errors: list[FieldError] = []
    matching, mismatching = term.get("matchLabelKeys") or [], term.get("mismatchLabelKeys") or []
    for field, keys in (("matchLabelKeys", matching), ("mismatchLabelKeys", mismatching)):
        if keys and selector is None:
            text = "must not be specified when labelSelector is not set"
            errors.append(FieldError.forbidden(f"{path}.{field}", text))
        elif keys:
            for index, key in enumerate(keys):
                errors += validate_label_key(key, f"{path}.{field}[{index}]")
    if selector is not None:
        seen = set(selector.get("matchLabels") or ())
        for expression in selector.get("matchExpressions") or ():
            key = expression.get("key") or ""
            if key in matching and key in seen:
                text = "exists in both matchLabelKeys and labelSelector"
                errors.append(FieldError.invalid(f"{path}[{matching.index(key)}]", key, text))
            seen.add(key)
    for index, key in enumerate(matching):
        if key in mismatching:
            text = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors.append(FieldError.invalid(f"{path}.matchLabelKeys[{index}]", key, text))
    return errors


def validate_spread(constraints: Sequence[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, constraint in enumerate(constraints):
        at = f"{path}[{index}]"
        topology, action = constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or ""
        errors += positive(constraint.get("maxSkew") or 0, f"{at}.maxSkew")
        if not topology:
            errors.append(FieldError.required(f"{at}.topologyKey", "can not be empty"))
        errors += one_of(action, ("DoNotSchedule", "ScheduleAnyway"), f"{at}.whenUnsatisfiable")
        for other in constraints[index + 1 :]:
            if (other.get("topologyKey") or "", other.get("whenUnsatisfiable") or "") == (topology, action):
                field = f"{at}.{{topologyKey, whenUnsatisfiable}}"
                errors.append(FieldError.duplicate(field, f"{{{topology}, {action}}}"))
                break
        domains = constraint.get("minDomains")
        if domains is not None:
            errors += positive(domains, f"{at}.minDomains")
            if action != "DoNotSchedule":
                text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                errors.append(FieldError.invalid(f"{at}.minDomains", domains, text))
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if constraint.get(field) is not None:
                errors += one_of(constraint[field], ("Honor", "Ignore"), f"{at}.{field}")
        selector = constraint.get("labelSelector")
        errors += _validate_label_keys(constraint, selector, at)
        errors += validate_label_selector(selector, f"{at}.labelSelector")
    return errors
