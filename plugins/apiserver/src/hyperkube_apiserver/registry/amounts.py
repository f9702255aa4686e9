"""Names and quantities of resources (cpu, memory, …) in specs and statuses.

Source: k8s.io/kubernetes/pkg/apis/core/helper, ValidateResourceQuantityValue and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping

from hyperkube_apiserver.registry.fields import NEGATIVE, NOT_POSITIVE, qualified
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import qualified_name
from hyperkube_machinery.quantity import Quantity

__all__ = [
    "is_extended_resource",
    "is_huge_page",
    "is_native_resource",
    "is_overcommit_allowed",
    "is_standard_quota_resource",
    "validate_amount",
    "validate_amounts",
    "validate_container_resource_name",
    "validate_positive_amount",
    "validate_quota_resource_name",
    "validate_resource_name",
]

_COUNTED = frozenset(
    {
        *("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps"),
        *("persistentvolumeclaims", "services.nodeports", "services.loadbalancers"),
    }
)
_MEASURED = frozenset({"cpu", "memory", "ephemeral-storage"})
_QUOTA = _COUNTED | _MEASURED | {f"requests.{name}" for name in _MEASURED} | {f"limits.{name}" for name in _MEASURED}
_STANDARD = _QUOTA | {"storage", "requests.storage"}


def is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def is_standard_quota_resource(name: str) -> bool:
    return name in _QUOTA | {"requests.storage"} or is_huge_page(name) or name.startswith("requests.hugepages-")


def is_native_resource(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def is_extended_resource(name: str) -> bool:
    if is_native_resource(name) or name.startswith("requests."):
        return False
    return not qualified_name(f"requests.{name}")


def is_overcommit_allowed(name: str) -> bool:
    return is_native_resource(name) and not is_huge_page(name)


def validate_resource_name(name: str, path: str) -> list[FieldError]:
    errors = qualified(name, path)
    if errors or "/" in name or name in _STANDARD or is_huge_page(name) or name.startswith("requests.hugepages-"):
        return errors
    return [FieldError.invalid(path, name, "must be a standard resource type or fully qualified")]


def validate_container_resource_name(name: str, path: str) -> list[FieldError]:
    errors = validate_resource_name(name, path)
    if "/" not in name:
        if name not in _MEASURED and not is_huge_page(name):
            errors.append(FieldError.invalid(path, name, "must be a standard resource for containers"))
    elif not is_native_resource(name) and not is_extended_resource(name):
        errors.append(FieldError.invalid(path, name, "doesn't follow extended resource name standard"))
    return errors


def validate_quota_resource_name(name: str, path: str) -> list[FieldError]:
    errors = validate_resource_name(name, path)
    if "/" not in name and not is_standard_quota_resource(name):
        errors.append(FieldError.invalid(path, name, "must be a standard resource for quota"))
    return errors


def validate_amount(name: str, text: str, path: str) -> list[FieldError]:
    """Not below zero, and whole where things are counted."""
    errors: list[FieldError] = []
    amount = Quantity.parse(text)
    if amount.nano < 0:
        errors.append(FieldError.invalid(path, text, NEGATIVE))
    if (name in _COUNTED or is_extended_resource(name)) and amount.milli % 1000:
        errors.append(FieldError.invalid(path, text, "must be an integer"))
    return errors


def validate_positive_amount(text: str, path: str) -> list[FieldError]:
    return [FieldError.invalid(path, text, NOT_POSITIVE)] if Quantity.parse(text).nano <= 0 else []


def validate_amounts(amounts: Mapping[str, str], path: str) -> list[FieldError]:
    """All of a resource list whose keys stand in brackets, with names that quotas know."""
    errors: list[FieldError] = []
    for name, text in amounts.items():
        errors += validate_quota_resource_name(name, f"{path}[{name}]")
        errors += validate_amount(name, text, f"{path}[{name}]")
    return errors
