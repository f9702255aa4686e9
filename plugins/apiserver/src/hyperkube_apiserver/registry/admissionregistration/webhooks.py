"""Webhook configurations. Source: k8s.io/kubernetes/pkg/{registry,apis}/admissionregistration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hyperkube_apiserver.registry.admissionregistration.base import Registration
from hyperkube_apiserver.registry.admissionregistration.matching import (
    FAILURE_POLICIES,
    MATCH_POLICIES,
    REINVOCATION_POLICIES,
    default_rules,
    validate_match_conditions,
    validate_rule,
)
from hyperkube_apiserver.registry.fields import one_of, validate_label_selector
from hyperkube_apiserver.registry.strategy import Tree
from hyperkube_apiserver.registry.webhookclients import validate_client
from hyperkube_machinery import names
from hyperkube_machinery.errors import FieldError

__all__ = ["MutatingWebhooks", "ValidatingWebhooks"]

_REVIEW_VERSIONS = ("v1", "v1beta1")
_HARMLESS = ("None", "NoneOnDryRun")
_SIDE_EFFECTS = (*_HARMLESS, "Some", "Unknown")
_SELECTORS = ("namespaceSelector", "objectSelector")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strictness:
    """What is asked of webhooks. An update asks no more than the stored ones came up to."""

    harmless: bool = True
    reviewable: bool = True
    unique: bool = True
    selectors: bool = True
    conditions: bool = True


class ValidatingWebhooks(Registration):
    """Webhooks that refuse writes."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "timeoutSeconds": 10,
    }

    def default(self, obj: Tree) -> None:
        for hook in obj.get("webhooks") or ():
            for field, value in self.defaults.items():
                hook.setdefault(field, value)
            for field in _SELECTORS:
                hook.setdefault(field, {})
            default_rules(hook.get("rules"))
            if service := hook.get("clientConfig", {}).get("service"):
                service.setdefault("port", 443)

    def is_new_generation(self, obj: Tree, old: Tree) -> bool:
        return bool(obj.get("webhooks") != old.get("webhooks"))

    def validate_object(self, obj: Tree) -> list[FieldError]:
        return self._validate_hooks(obj.get("webhooks") or (), _Strictness())

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        hooks, before = obj.get("webhooks") or [], old.get("webhooks") or []
        strictness = _Strictness(
            harmless=all(hook.get("sideEffects") in _HARMLESS for hook in before),
            reviewable=all(_is_reviewable(hook) for hook in before if hook.get("admissionReviewVersions")),
            unique=len({hook.get("name") for hook in before}) == len(before),
            selectors=not any(validate_label_selector(hook.get(field), "") for hook in before for field in _SELECTORS),
            conditions=len(hooks) != len(before)
            or any(
                one.get("matchConditions") != other.get("matchConditions")
                for one, other in zip(hooks, before, strict=True)
            ),
        )
        return self._validate_hooks(hooks, strictness)

    def _validate_hooks(self, hooks: Sequence[Tree], strictness: _Strictness) -> list[FieldError]:
        errors: list[FieldError] = []
        seen: set[str] = set()
        for index, hook in enumerate(hooks):
            path, name = f"webhooks[{index}]", hook.get("name") or ""
            errors += self.validate_hook(hook, path, strictness)
            versions = hook.get("admissionReviewVersions") or []
            errors += _validate_review_versions(versions, strictness.reviewable, f"{path}.admissionReviewVersions")
            if strictness.unique and name in seen:
                errors.append(FieldError.duplicate(f"{path}.name", name))
            if name:
                seen.add(name)
        return errors

    def validate_hook(self, hook: Tree, path: str, strictness: _Strictness) -> list[FieldError]:
        errors = _fully_qualified(hook.get("name") or "", f"{path}.name")
        for index, rule in enumerate(hook.get("rules") or ()):
            errors += validate_rule(rule, f"{path}.rules[{index}]")
        errors += _if_set(hook, "failurePolicy", FAILURE_POLICIES, path)
        errors += _if_set(hook, "matchPolicy", MATCH_POLICIES, path)
        allowed = _HARMLESS if strictness.harmless else _SIDE_EFFECTS
        if hook.get("sideEffects") is None:
            errors.append(FieldError.required(f"{path}.sideEffects", f"must specify one of {', '.join(allowed)}"))
        errors += _if_set(hook, "sideEffects", allowed, path)
        seconds = hook.get("timeoutSeconds")
        if seconds is not None and not 1 <= seconds <= 30:
            text = "the timeout value must be between 1 and 30 seconds"
            errors.append(FieldError.invalid(f"{path}.timeoutSeconds", seconds, text))
        for field in _SELECTORS:
            errors += validate_label_selector(hook.get(field), f"{path}.{field}", checks_values=strictness.selectors)
        errors += self.validate_policies(hook, path)
        errors += validate_client(hook.get("clientConfig") or {}, f"{path}.clientConfig")
        if strictness.conditions:
            errors += validate_match_conditions(hook.get("matchConditions") or (), f"{path}.matchConditions")
        return errors

    def validate_policies(self, hook: Tree, path: str) -> list[FieldError]:
        """What is wrong with the fields that only some webhooks have."""
        return []


class MutatingWebhooks(ValidatingWebhooks):
    """Webhooks that change what is written, and may be asked again after others did."""

    defaults: ClassVar[Mapping[str, Any]] = {**ValidatingWebhooks.defaults, "reinvocationPolicy": "Never"}

    def validate_policies(self, hook: Tree, path: str) -> list[FieldError]:
        return _if_set(hook, "reinvocationPolicy", REINVOCATION_POLICIES, path)


def _if_set(hook: Tree, field: str, allowed: Sequence[str], path: str) -> list[FieldError]:
    return [] if hook.get(field) is None else one_of(hook[field], allowed, f"{path}.{field}")


def _is_reviewable(hook: Tree) -> bool:
    return not set(_REVIEW_VERSIONS).isdisjoint(hook.get("admissionReviewVersions") or ())


def _fully_qualified(name: str, path: str) -> list[FieldError]:
    if not name:
        return [FieldError.required(path)]
    if wrong := names.dns1123_subdomain(name):
        return [FieldError.invalid(path, name, ",".join(wrong))]
    if name.count(".") < 2:
        text = "should be a domain with at least three segments separated by dots"
        return [FieldError.invalid(path, name, text)]
    return []


def _validate_review_versions(versions: Sequence[str], reviewable: bool, path: str) -> list[FieldError]:
    listed = ", ".join(_REVIEW_VERSIONS)
    if not versions:
        return [FieldError.required(path, f"must specify one of {listed}")]
    errors: list[FieldError] = []
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.append(FieldError.invalid(f"{path}[{index}]", version, "duplicate version"))
            continue
        errors += [FieldError.invalid(f"{path}[{index}]", version, text) for text in names.dns1035_label(version)]
    if reviewable and set(_REVIEW_VERSIONS).isdisjoint(versions):
        errors.append(FieldError.invalid(path, versions, f"must include at least one of {listed}"))
    return errors
