"""The spec of a volume claim, wherever it stands.

Source: ValidatePersistentVolumeClaimSpec in k8s.io/kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hyperkube_apiserver.registry.amounts import validate_positive_amount
from hyperkube_apiserver.registry.fields import dns_label, dns_subdomain, one_of, validate_label_selector
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.quantity import Quantity

__all__ = ["claim_warnings", "validate_access_modes", "validate_claim_spec"]

Tree = Mapping[str, Any]

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")


def validate_access_modes(modes: Iterable[str], path: str) -> list[FieldError]:
    modes = list(modes)
    errors = [error for mode in modes for error in one_of(mode, _MODES, path)]
    if "ReadWriteOncePod" in modes and any(mode in _MODES[:3] for mode in modes):
        errors.append(FieldError.forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return errors


def validate_claim_spec(spec: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if not spec.get("accessModes"):
        errors.append(FieldError.required(f"{path}.accessModes", "at least 1 access mode is required"))
    errors += validate_label_selector(spec.get("selector"), f"{path}.selector")
    errors += validate_access_modes(spec.get("accessModes") or (), f"{path}.accessModes")
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    at = f"{path}.resources[storage]"
    if size is None:
        errors.append(FieldError.required(at))
    else:
        errors += validate_positive_amount(size, at)
    for field in ("storageClassName", "volumeAttributesClassName"):
        if name := spec.get(field):
            errors += dns_subdomain(name, f"{path}.{field}")
    if spec.get("volumeMode") is not None:
        errors += one_of(spec["volumeMode"], ("Block", "Filesystem"), f"{path}.volumeMode")
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    for field, one in (("dataSource", source), ("dataSourceRef", reference)):
        if one is not None:
            errors += _validate_data_source(one, f"{path}.{field}")
    # The value told is upstream's: a path where the data source was meant, which prints as an empty object.
    if reference is not None and reference.get("namespace"):
        if source is not None:
            text = "may not be specified when dataSourceRef.namespace is specified"
            errors.append(FieldError.invalid(path, {}, text))
    elif source is not None and reference is not None and _identity(source) != _identity(reference):
        errors.append(FieldError.invalid(path, {}, "must match dataSourceRef"))
    return errors


def claim_warnings(spec: Tree, path: str) -> list[str]:
    """Sizes that no number of bytes is."""
    texts = []
    for field in ("requests", "limits"):
        size = ((spec.get("resources") or {}).get(field) or {}).get("storage")
        if size is not None and Quantity.parse(size).milli % 1000:
            told = f'fractional byte value "{size}" is invalid, must be an integer'
            texts.append(f"{path}.resources.{field}[storage]: {told}")
    return texts


def _identity(source: Tree) -> tuple[str, str, str]:
    return source.get("apiGroup") or "", source.get("kind") or "", source.get("name") or ""


def _validate_data_source(source: Tree, path: str) -> list[FieldError]:
    group, kind, name = _identity(source)
    errors = [FieldError.required(f"{path}.{field}") for field, value in (("name", name), ("kind", kind)) if not value]
    if not group and kind != "PersistentVolumeClaim":
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errors.append(FieldError.invalid(path, kind, text))
    if group:
        errors += dns_subdomain(group, f"{path}.apiGroup")
    if namespace := source.get("namespace"):
        errors += dns_label(namespace, f"{path}.namespace")
    return errors
