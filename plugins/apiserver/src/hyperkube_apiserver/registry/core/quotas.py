"""Resource quotas and limit ranges.

Source: ValidateResourceQuota, ValidateLimitRange in k8s.io/kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from hyperkube_apiserver.registry.amounts import (
    is_overcommit_allowed,
    is_standard_quota_resource,
    validate_amounts,
    validate_container_resource_name,
    validate_resource_name,
)
from hyperkube_apiserver.registry.fields import qualified
from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_apiserver.registry.meta import IMMUTABLE
from hyperkube_apiserver.registry.podspec.defaults import default_resource_list
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.quantity import Quantity

__all__ = ["LimitRanges", "ResourceQuotas"]

_POD_SCOPES = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity")
_SCOPES = (*_POD_SCOPES, "PriorityClass", "VolumeAttributesClass")
_CONFLICTS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_COMPUTE = {
    *("pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"),
}


class ResourceQuotas(Strategy):
    """What a namespace may use; the scopes it counts in never change."""

    answers_deleted_object = True

    def default(self, obj: Tree) -> None:
        default_resource_list((obj.get("spec") or {}).get("hard"))

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = validate_amounts(spec.get("hard") or {}, "spec.hard")
        return errors + _validate_scopes(spec) + _validate_scope_selector(spec)

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        scopes = (obj.get("spec") or {}).get("scopes") or []
        errors = self.validate_object(obj)
        if set(scopes) != set((old.get("spec") or {}).get("scopes") or []):
            errors.append(FieldError.invalid("spec.scopes", scopes or None, IMMUTABLE))
        return errors

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        status = obj.get("status") or {}
        return [
            error
            for field in ("hard", "used")
            for error in validate_amounts(status.get(field) or {}, f"status.{field}")
        ]

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        if old is not None:
            return []
        hard: Mapping[str, str] = (obj.get("spec") or {}).get("hard") or {}
        texts = []
        for name in ("cpu", "memory", "ephemeral-storage"):
            request, limit = f"requests.{name}", f"limits.{name}"
            if request not in hard and name != "ephemeral-storage":
                request = name
            if request in hard and limit in hard and Quantity.parse(hard[limit]) < Quantity.parse(hard[request]):
                told = f"ResourceQuota {request} ({hard[request]}) should be less than {limit} ({hard[limit]})"
                texts.append(told)
        return texts


def _fits(scope: str, resource: str) -> bool:
    if scope == "BestEffort":
        return resource == "pods"
    if scope == "VolumeAttributesClass":
        return resource in ("persistentvolumeclaims", "requests.storage")
    return scope not in _SCOPES or resource in _COMPUTE


def _validate_scopes(spec: Tree) -> list[FieldError]:
    scopes = spec.get("scopes") or []
    errors: list[FieldError] = []
    for scope in scopes:
        if scope not in _SCOPES:
            errors.append(FieldError.invalid("spec.scopes", scopes, "unsupported scope"))
        for resource in spec.get("hard") or {}:
            if is_standard_quota_resource(resource) and not _fits(scope, resource):
                errors.append(FieldError.invalid("spec.scopes", scopes, "unsupported scope applied to resource"))
    return errors + _validate_conflicts(set(scopes), scopes)


def _validate_conflicts(used: set[str], shown: list[str] | None) -> list[FieldError]:
    return [FieldError.invalid("spec.scopes", shown, "conflicting scopes") for pair in _CONFLICTS if pair <= used]


def _validate_scope_selector(spec: Tree) -> list[FieldError]:
    selector = spec.get("scopeSelector")
    if selector is None:
        return []
    path = "spec.scopeSelector.matchExpressions"
    errors: list[FieldError] = []
    used: set[str] = set()
    for requirement in selector.get("matchExpressions") or ():
        scope, operator = requirement.get("scopeName") or "", requirement.get("operator") or ""
        values = requirement.get("values") or []
        used.add(scope)
        if scope not in _SCOPES:
            errors.append(FieldError.invalid(f"{path}.scopeName", scope, "unsupported scope"))
        for resource in spec.get("hard") or {}:
            if is_standard_quota_resource(resource) and not _fits(scope, resource):
                shown = as_internal(selector, "ScopeSelector")
                errors.append(FieldError.invalid(path, shown, "unsupported scope applied to resource"))
        if scope in _POD_SCOPES and operator != "Exists":
            text = (
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
                "ResourceQuotaScopeNotTerminating, "
                "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
                "ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            errors.append(FieldError.invalid(f"{path}.operator", operator, text))
        if operator in ("In", "NotIn"):
            if not values:
                text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                errors.append(FieldError.required(f"{path}.values", text))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                errors.append(FieldError.invalid(f"{path}.values", values, text))
        else:
            errors.append(FieldError.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    return errors + _validate_conflicts(used, spec.get("scopes") or None)


class LimitRanges(Strategy):
    """Bounds and defaults of what one pod, container or claim may ask for."""

    allows_create_on_update = True
    revalidates_meta = True

    def default(self, obj: Tree) -> None:
        for limit in (obj.get("spec") or {}).get("limits") or ():
            for field in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
                default_resource_list(limit.get(field))
            if limit.get("type") == "Container":
                _fill_container_limits(limit)

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        if not meta.name(obj):
            meta.ensure_meta(obj)["name"] = str(uuid.uuid4())

    def validate_object(self, obj: Tree) -> list[FieldError]:
        errors: list[FieldError] = []
        seen: set[str] = set()
        for index, limit in enumerate((obj.get("spec") or {}).get("limits") or ()):
            errors += _validate_limit(limit, f"spec.limits[{index}]", seen)
        return errors


def _fill_container_limits(limit: Tree) -> None:
    defaults = {**(limit.get("max") or {}), **(limit.get("default") or {})}
    requests = {**(limit.get("min") or {}), **defaults, **(limit.get("defaultRequest") or {})}
    for field, amounts in (("default", defaults), ("defaultRequest", requests)):
        if amounts:
            limit[field] = amounts


def _validate_limit(limit: Tree, path: str, seen: set[str]) -> list[FieldError]:
    kind = limit.get("type") or ""
    errors = qualified(kind, f"{path}.type")
    if not errors and "/" not in kind and kind not in ("Pod", "Container", "PersistentVolumeClaim"):
        text = "must be a standard limit type or fully qualified"
        errors.append(FieldError.invalid(f"{path}.type", kind, text))
    if kind in seen:
        errors.append(FieldError.duplicate(f"{path}.type", kind))
    seen.add(kind)
    fields = ["max", "min"]
    if kind == "Pod":
        for field in ("default", "defaultRequest"):
            if limit.get(field):
                errors.append(FieldError.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'"))
    else:
        fields += ["default", "defaultRequest"]
    if kind == "PersistentVolumeClaim" and not any("storage" in (limit.get(field) or {}) for field in ("min", "max")):
        text = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(FieldError.required(f"{path}.limits", text))
    fields.append("maxLimitRequestRatio")
    check = validate_container_resource_name if kind in ("Pod", "Container") else validate_resource_name
    amounts: dict[str, dict[str, Quantity]] = {}
    for field in fields:
        for name, text in (limit.get(field) or {}).items():
            errors += check(name, f"{path}.{field}[{name}]")
            amounts.setdefault(name, {})[field] = Quantity.parse(text)
    for name, given in amounts.items():
        errors += _validate_order(name, given, path)
    return errors


# Pairs (less, more): whatever both are given must be in this order; the first is told in the text, the second names
# the field whose path is told, the third the field whose value is.
_ORDER = (
    ("min", "max", "min", "min", "min value {} is greater than max value {}"),
    (
        "min",
        "defaultRequest",
        "defaultRequest",
        "defaultRequest",
        "min value {} is greater than default request value {}",
    ),
    (
        "defaultRequest",
        "max",
        "defaultRequest",
        "defaultRequest",
        "default request value {} is greater than max value {}",
    ),
    (
        *("defaultRequest", "default", "defaultRequest", "defaultRequest"),
        "default request value {} is greater than default limit value {}",
    ),
    ("min", "default", "default", "min", "min value {} is greater than default value {}"),
    ("default", "max", "default", "max", "default value {} is greater than max value {}"),
)


def _validate_order(name: str, given: dict[str, Quantity], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for less, more, field, shown, text in _ORDER:
        if less in given and more in given and given[more] < given[less]:
            detail = text.format(given[less], given[more])
            errors.append(FieldError.invalid(f"{path}.{field}[{name}]", str(given[shown]), detail))
    ratio, least, most = given.get("maxLimitRequestRatio"), given.get("min"), given.get("max")
    if ratio is not None:
        at = f"{path}.maxLimitRequestRatio[{name}]"
        if ratio < Quantity.parse("1"):
            errors.append(FieldError.invalid(at, str(ratio), f"ratio {ratio} is less than 1"))
        if least is not None and most is not None and least and ratio.nano / 10**9 > most.nano / least.nano:
            detail = f"ratio {ratio} is greater than max/min = {most.nano / least.nano:f}"
            errors.append(FieldError.invalid(at, str(ratio), detail))
    default, request = given.get("default"), given.get("defaultRequest")
    if not is_overcommit_allowed(name) and default is not None and request is not None and default != request:
        detail = f"default value {default} must equal to defaultRequest value {request} in {name}"
        errors.append(FieldError.invalid(f"{path}.defaultRequest[{name}]", str(request), detail))
    return errors
