"""What containers and pods request and are limited to.

Source: ValidateContainerResourceRequirements, validatePodResources in core validation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from hyperkube_apiserver.registry.amounts import (
    is_huge_page,
    is_overcommit_allowed,
    validate_amount,
    validate_container_resource_name,
    validate_resource_name,
)
from hyperkube_apiserver.registry.fields import dns_label
from hyperkube_apiserver.registry.podspec.podlevel import aggregate, is_pod_level_resource
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.quantity import Quantity, QuantityError

__all__ = ["validate_pod_resources", "validate_resources"]

Tree = Mapping[str, Any]


def validate_resources(
    resources: Tree,
    claims: Collection[str],
    path: str,
    check_name: Callable[[str, str], list[FieldError]] = validate_container_resource_name,
) -> list[FieldError]:
    """Limits, requests that fit them, and claims that the pod has (`claims`)."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    errors: list[FieldError] = []
    for field, amounts in (("limits", limits), ("requests", requests)):
        for name, text in amounts.items():
            at = f"{path}.{field}[{name}]"
            errors += check_name(name, at) + validate_amount(name, text, at)
            if field == "requests":
                errors += _validate_request(name, text, limits, path)
            if is_huge_page(name) and not _is_whole_pages(name, text):
                errors.append(FieldError.invalid(at, text, f"{text} is not positive integer multiple of {name}"))
    used = {*limits, *requests}
    if any(map(is_huge_page, used)) and not used & {"cpu", "memory"}:
        errors.append(FieldError.forbidden(path, "HugePages require cpu or memory"))
    return errors + _validate_claims(resources.get("claims") or (), claims, f"{path}.claims")


def _validate_request(name: str, text: str, limits: Mapping[str, str], path: str) -> list[FieldError]:
    limit = limits.get(name)
    overcommit = is_overcommit_allowed(name)
    if limit is None:
        if overcommit:
            return []
        return [FieldError.required(f"{path}.limits", "Limit must be set for non overcommitable resources")]
    if Quantity.parse(text) != Quantity.parse(limit) and not overcommit:
        return [FieldError.invalid(f"{path}.requests", text, f"must be equal to {name} limit of {limit}")]
    if Quantity.parse(limit) < Quantity.parse(text):
        detail = f"must be less than or equal to {name} limit of {limit}"
        return [FieldError.invalid(f"{path}.requests", text, detail)]
    return []


def _is_whole_pages(name: str, text: str) -> bool:
    try:
        page = Quantity.parse(name.removeprefix("hugepages-"))
    except QuantityError:
        return False
    return page.nano > 0 and not page.milli % 1000 and not Quantity.parse(text).value % page.value


def _validate_claims(used: Collection[Tree], claims: Collection[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, claim in enumerate(used):
        at, name, request = f"{path}[{index}]", claim.get("name") or "", claim.get("request") or ""
        if not name:
            errors.append(FieldError.required(at))
        elif name in seen:
            errors.append(FieldError.duplicate(at, name))
        else:
            if request:
                errors += dns_label(request, f"{at}.request")
            key = f"{name}/{request}" if request else name
            if key in seen:
                errors.append(FieldError.duplicate(at, key))
            elif not request:
                errors += [FieldError.duplicate(at, name) for one in seen if one.partition("/")[0] == name]
            seen.add(key)
        if name and name not in claims:
            told = f": {', '.join(sorted(claims))}" if claims else " which is empty"
            detail = f"must be one of the names in pod.spec.resourceClaims{told}"
            errors.append(FieldError("FieldValueNotFound", at, detail, name))
    return errors


def _check_pod_resource_name(name: str, path: str) -> list[FieldError]:
    errors = validate_resource_name(name, path)
    if errors or is_pod_level_resource(name):
        return errors
    return [FieldError.not_supported(path, name, ("cpu", "hugepages-", "memory"))]


def validate_pod_resources(spec: Tree, claims: Collection[str], path: str) -> list[FieldError]:
    """Resources of the pod as a whole, which its containers have to fit into."""
    resources = spec.get("resources")
    if resources is None:
        return []
    if (spec.get("os") or {}).get("name") == "windows":
        return [FieldError.forbidden(path, "may not be set for a windows pod")]
    errors: list[FieldError] = []
    if resources.get("claims") is not None:
        errors.append(FieldError.forbidden(f"{path}.claims", "claims may not be set for Resources at pod-level"))
    errors += validate_resources(resources, claims, path, _check_pod_resource_name)
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name, total in aggregate(spec, "requests").items():
        if name in requests and Quantity.parse(requests[name]) < total:
            detail = f"must be greater than or equal to aggregate container requests of {total}"
            errors.append(FieldError.invalid(f"{path}.requests[{name}]", requests[name], detail))
    for name, total in aggregate(spec, "limits").items():
        if is_huge_page(name) and name in limits and Quantity.parse(limits[name]) < total:
            detail = f"must be greater than or equal to aggregate container limits of {total}"
            errors.append(FieldError.invalid(f"{path}.limits[{name}]", limits[name], detail))
    for index, container in enumerate(spec.get("containers") or ()):
        for name, text in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and Quantity.parse(limits[name]) < Quantity.parse(text):
                detail = f"must be less than or equal to pod limits of {limits[name]}"
                errors.append(FieldError.invalid(f"{path}.containers[{index}][{name}].limits", text, detail))
    return errors
