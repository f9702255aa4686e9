"""Bindings of admission policies to parameters and resources.

Source: k8s.io/kubernetes/pkg/{registry,apis}/admissionregistration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.admissionregistration.base import Registration
from hyperkube_apiserver.registry.admissionregistration.matching import (
    default_match_resources,
    validate_match_resources,
    validate_mutable_operations,
)
from hyperkube_apiserver.registry.fields import dns_subdomain, one_of, validate_label_selector
from hyperkube_apiserver.registry.strategy import Tree
from hyperkube_machinery import names
from hyperkube_machinery.errors import FieldError

__all__ = ["MutatingPolicyBindings", "ValidatingPolicyBindings"]

_ACTIONS = ("Audit", "Deny", "Warn")
_EXCLUSIVE = "name and selector are mutually exclusive"


class PolicyBindings(Registration):
    """What both kinds of bindings have alike."""

    def default(self, obj: Tree) -> None:
        default_match_resources(obj.setdefault("spec", {}).get("matchResources"))

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec = obj.get("spec") or {}
        if name := spec.get("policyName"):
            errors = dns_subdomain(name, "spec.policyName")
        else:
            errors = [FieldError.required("spec.policyName")]
        errors += _validate_param_ref(spec.get("paramRef"), "spec.paramRef")
        return errors + validate_match_resources(spec.get("matchResources"), "spec.matchResources")


class ValidatingPolicyBindings(PolicyBindings):
    """Bindings that say what becomes of a write that fails its policy."""

    def validate_object(self, obj: Tree) -> list[FieldError]:
        actions = (obj.get("spec") or {}).get("validationActions") or []
        return super().validate_object(obj) + _validate_actions(actions, "spec.validationActions")


class MutatingPolicyBindings(PolicyBindings):
    """Bindings of policies that change what is written."""

    def validate_object(self, obj: Tree) -> list[FieldError]:
        resources = (obj.get("spec") or {}).get("matchResources")
        return super().validate_object(obj) + validate_mutable_operations(resources, "spec.matchResources")


def _validate_param_ref(ref: Mapping[str, Any] | None, path: str) -> list[FieldError]:
    if ref is None:
        return []
    errors: list[FieldError] = []
    name, selector, action = ref.get("name") or "", ref.get("selector"), ref.get("parameterNotFoundAction") or ""
    if name:
        errors += [FieldError.invalid(f"{path}.name", name, text) for text in names.path_segment(name)]
        if selector is not None:
            errors.append(FieldError.forbidden(f"{path}.name", _EXCLUSIVE))
    errors += validate_label_selector(selector, f"{path}.selector")
    if name and selector is not None:
        errors.append(FieldError.forbidden(f"{path}.selector", _EXCLUSIVE))
    if not name and selector is None:
        errors.append(FieldError.required(path, "one of name or selector must be specified"))
    if action not in ("Deny", "Allow"):
        at = f"{path}.parameterNotFoundAction"
        missing = FieldError.required(at)
        errors.append(FieldError.not_supported(at, action, ("Deny", "Allow")) if action else missing)
    return errors


def _validate_actions(actions: Sequence[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, action in enumerate(actions):
        errors += one_of(action, _ACTIONS, f"{path}[{index}]")
        if action in actions[:index]:
            errors.append(FieldError.duplicate(f"{path}[{index}]", action))
    if "Deny" in actions and "Warn" in actions:
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        errors.append(FieldError.invalid(path, actions, text))
    if not actions:
        errors.append(FieldError.required(path, "at least one validation action is required"))
    return errors
