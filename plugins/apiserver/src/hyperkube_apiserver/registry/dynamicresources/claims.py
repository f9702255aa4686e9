"""Claims to devices, and templates of them. Source: k8s.io/kubernetes/pkg/{registry,apis}/resource."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.dynamicresources.claimstatus import device_id, validate_status
from hyperkube_apiserver.registry.dynamicresources.parts import (
    MOST_CONFIGS,
    required_or,
    validate_configuration,
    validate_each,
    validate_qualified_name,
    validate_selectors,
    validate_toleration,
)
from hyperkube_apiserver.registry.dynamicresources.requests import MOST_REQUESTS, RequestNames
from hyperkube_apiserver.registry.dynamicresources.shown import shown
from hyperkube_apiserver.registry.fields import dns_label, dns_subdomain
from hyperkube_apiserver.registry.meta import validate_annotations, validate_labels
from hyperkube_apiserver.registry.strategy import Strategy, Tree, reset_meta_for_status
from hyperkube_machinery.errors import FieldError

__all__ = ["ClaimTemplates", "Claims"]

_MOST_CONSTRAINTS = 32
_MOST_ALTERNATIVES = 8
_KIND = "exactly one of `exactly` or `firstAvailable` is required"


class Claims(Strategy):
    """What a pod, or several, need of devices. Fixed once it is made."""

    revalidates_meta = True
    answers_deleted_object = True
    evaluates = True

    def default(self, obj: Tree) -> None:
        _default_claim(obj.setdefault("spec", {}))
        devices = ((obj.get("status") or {}).get("allocation") or {}).get("devices") or {}
        for result in devices.get("results") or ():
            _default_tolerations(result)

    def prepare_status_update(self, obj: Tree, old: Tree) -> None:
        super().prepare_status_update(obj, old)
        reset_meta_for_status(obj, old)
        _forget_released(obj.get("status") or {}, old.get("status") or {})

    def validate_object(self, obj: Tree) -> list[FieldError]:
        return validate_claim((obj.get("spec") or {}).get("devices") or {}, "spec.devices")

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return _fixed(obj, old, "ResourceClaimSpec")

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return validate_status(obj, old)


class ClaimTemplates(Strategy):
    """What claims are made of for one pod each. Fixed once it is made."""

    revalidates_meta = True
    answers_deleted_object = True
    evaluates = True

    def default(self, obj: Tree) -> None:
        _default_claim(obj.setdefault("spec", {}).setdefault("spec", {}))

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec = obj.get("spec") or {}
        mine = spec.get("metadata") or {}
        path = "spec.metadata"
        errors = validate_annotations(mine.get("annotations") or {}, f"{path}.annotations")
        errors += validate_labels(mine.get("labels") or {}, f"{path}.labels")
        for field, value in mine.items():
            if value and field not in ("annotations", "labels"):
                name = "uID" if field == "uid" else field  # upstream's, from the name in Go
                errors.append(FieldError.forbidden(f"{path}.{name}", "cannot be set"))
        return errors + validate_claim((spec.get("spec") or {}).get("devices") or {}, "spec.spec.devices")

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return self.validate_object(obj) + _fixed(obj, old, "ResourceClaimTemplateSpec")


def _fixed(obj: Tree, old: Tree, definition: str) -> list[FieldError]:
    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    if spec == before:
        return []
    return [FieldError.invalid("spec", shown(spec, definition), object_meta.IMMUTABLE)]


def _default_claim(spec: Tree) -> None:
    for request in (spec.get("devices") or {}).get("requests") or ():
        exactly = request.get("exactly")
        for one in (*([exactly] if exactly is not None else ()), *(request.get("firstAvailable") or ())):
            if not one.get("allocationMode"):
                one["allocationMode"] = "ExactCount"
            if one["allocationMode"] == "ExactCount" and not one.get("count"):
                one["count"] = 1
            _default_tolerations(one)


def _default_tolerations(holder: Tree) -> None:
    for toleration in holder.get("tolerations") or ():
        if not toleration.get("operator"):
            toleration["operator"] = "Equal"


def _forget_released(status: Tree, old: Tree) -> None:
    """Drop what was told of devices that are allocated no more."""

    def allocated(one: Tree) -> set[Hashable]:
        results = ((one.get("allocation") or {}).get("devices") or {}).get("results") or ()
        return {device_id(result) for result in results}

    released = allocated(old) - allocated(status)
    kept = [device for device in status.get("devices") or () if device_id(device) not in released]
    if kept:
        status["devices"] = kept
    else:
        status.pop("devices", None)


def validate_claim(devices: Mapping[str, Any], path: str) -> list[FieldError]:
    requests = devices.get("requests") or ()
    names = RequestNames(requests)
    errors = validate_each(requests, MOST_REQUESTS, _validate_request, f"{path}.requests", _name)

    def constraint(one: Tree, at: str) -> list[FieldError]:
        return names.validate(one.get("requests") or (), f"{at}.requests") + _validate_constraint(one, at)

    def config(one: Tree, at: str) -> list[FieldError]:
        return names.validate(one.get("requests") or (), f"{at}.requests") + validate_configuration(one, at)

    errors += validate_each(devices.get("constraints") or (), _MOST_CONSTRAINTS, constraint, f"{path}.constraints")
    return errors + validate_each(devices.get("config") or (), MOST_CONFIGS, config, f"{path}.config")


def _name(request: Tree) -> str:
    return request.get("name") or ""


def _validate_request(request: Tree, path: str) -> list[FieldError]:
    errors = dns_label(_name(request), f"{path}.name")
    exactly: Tree | None = request.get("exactly")
    alternatives: Sequence[Tree] = request.get("firstAvailable") or ()
    if exactly is not None and alternatives:
        return [*errors, FieldError.invalid(path, None, f"{_KIND}, but multiple fields are set")]
    if exactly is not None:
        return errors + _validate_exact(exactly, f"{path}.exactly")
    if not alternatives:
        return [*errors, FieldError.required(path, _KIND)]
    return errors + validate_each(
        alternatives, _MOST_ALTERNATIVES, _validate_alternative, f"{path}.firstAvailable", _name
    )


def _validate_alternative(request: Tree, path: str) -> list[FieldError]:
    return dns_label(_name(request), f"{path}.name") + _validate_exact(request, path)


def _validate_exact(request: Tree, path: str) -> list[FieldError]:
    errors = required_or(request.get("deviceClassName") or "", f"{path}.deviceClassName", dns_subdomain)
    errors += validate_selectors(request.get("selectors") or (), f"{path}.selectors")
    mode, count = request.get("allocationMode") or "", request.get("count") or 0
    if mode == "All":
        if count:
            text = "must not be specified when allocationMode is 'All'"
            errors.append(FieldError.invalid(f"{path}.count", count, text))
    elif mode == "ExactCount":
        if count <= 0:
            errors.append(FieldError.invalid(f"{path}.count", count, "must be greater than zero"))
    else:
        errors.append(FieldError.not_supported(f"{path}.allocationMode", mode, ("All", "ExactCount")))
    return errors + validate_each(request.get("tolerations") or (), None, validate_toleration, f"{path}.tolerations")


def _validate_constraint(constraint: Tree, path: str) -> list[FieldError]:
    for field in ("matchAttribute", "distinctAttribute"):
        if (name := constraint.get(field)) is not None:
            errors = validate_qualified_name(name, f"{path}.{field}")
            if "/" not in name:
                text = "a fully qualified name must be a domain and a name separated by a slash"
                errors.append(FieldError.invalid(f"{path}.{field}", name, text))
            return errors
    # The words are upstream's.
    text = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
    return [FieldError.required(path, text)]
