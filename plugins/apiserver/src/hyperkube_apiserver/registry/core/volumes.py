"""Persistent volumes.

Source: k8s.io/kubernetes/pkg/registry/core/persistentvolume, ValidatePersistentVolume.
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.registry.amounts import validate_positive_amount
from hyperkube_apiserver.registry.core.volumewarnings import persistent_volume_warnings
from hyperkube_apiserver.registry.differences import difference
from hyperkube_apiserver.registry.fields import dns_label, dns_subdomain, one_of
from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_apiserver.registry.meta import IMMUTABLE, immutable
from hyperkube_apiserver.registry.podspec.claims import validate_access_modes
from hyperkube_apiserver.registry.podspec.defaults import (
    default_resource_list,
    default_volume_source,
    fill,
)
from hyperkube_apiserver.registry.podspec.paths import validate_no_backsteps
from hyperkube_apiserver.registry.podspec.scheduling import validate_node_selector
from hyperkube_apiserver.registry.podspec.sources import requires, validate_csi_driver_name, validate_source
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext, keep
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.quantity import Quantity

__all__ = ["PersistentVolumes", "validate_sources"]

# In upstream's order: all after the first are forbidden.
_SOURCES = (
    *("hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte"),
    *("cephfs", "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk"),
    *("portworxVolume", "azureDisk", "scaleIO", "local", "storageos", "csi"),
)
_FORBIDDEN_AS = {"cephfs": "cephFS"}
_CHECKED_AS = {"gcePersistentDisk": "persistentDisk"}


class PersistentVolumes(Strategy):
    """Storage that exists; where it is never changes."""

    answers_deleted_object = True
    revalidates_meta = True

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        fill(obj.setdefault("status", {}), phase="Pending")
        fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
        default_resource_list(spec.get("capacity"))
        default_volume_source(spec)

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": context.now}

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        super().prepare_for_update(obj, old, context)
        if context.subresource == "status":
            _note_phase(obj.setdefault("status", {}), old.get("status") or {}, context.now)

    def validate_object(self, obj: Tree) -> list[FieldError]:
        return _validate_volume(obj.get("spec") or {})

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        # Upstream checks the volume twice, once as a new one.
        errors = _validate_volume(spec) * 2
        new, earlier = _sources(spec), _sources(before)
        csi = new.get("csi") or {}
        if "controllerExpandSecretRef" in csi and "controllerExpandSecretRef" not in (earlier.get("csi") or {}):
            new["csi"] = {field: value for field, value in csi.items() if field != "controllerExpandSecretRef"}
        if new != earlier:
            changed = difference(earlier, new, "PersistentVolumeSpec", only=_SOURCES)
            text = f"spec.persistentvolumesource is immutable after creation\n{changed}"
            errors.append(FieldError.forbidden("spec.persistentvolumesource", text))
        errors += immutable("volumeMode", spec.get("volumeMode"), before.get("volumeMode"))
        if (affinity := before.get("nodeAffinity")) is not None and not _same_nodes(spec.get("nodeAffinity"), affinity):
            shown = spec.get("nodeAffinity") and as_internal(spec["nodeAffinity"], "VolumeNodeAffinity")
            text = f"{IMMUTABLE}, except for updating from beta label to GA"
            errors.append(FieldError.invalid("nodeAffinity", shown, text))
        if before.get("volumeAttributesClassName") is not None and spec.get("volumeAttributesClassName") is None:
            text = "update from non-nil value to nil is forbidden"
            errors.append(FieldError.forbidden("spec.volumeAttributesClassName", text))
        return errors

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        return persistent_volume_warnings(obj)


_GENERAL_LABELS = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}


def _same_nodes(affinity: Any, old: Any) -> bool:
    """Whether both name the same nodes, if by the new names of their labels."""
    if isinstance(affinity, list) and isinstance(old, list):
        return len(affinity) == len(old) and all(map(_same_nodes, affinity, old))
    if not isinstance(affinity, dict) or not isinstance(old, dict):
        return bool(affinity == old)
    key = old.get("key")
    if isinstance(key, str) and affinity.get("key") == _GENERAL_LABELS.get(key):
        old = {**old, "key": affinity["key"]}
    return set(affinity) == set(old) and all(_same_nodes(affinity[field], old[field]) for field in old)


def _note_phase(status: Tree, before: Tree, now: str) -> None:
    """When the phase last changed, unless the writer says so."""
    field, said, known = "lastPhaseTransitionTime", status.get("lastPhaseTransitionTime"), before.get("phase")
    if status.get("phase") == known:
        if said is None:
            keep(status, before, field)
    elif said is None or said == before.get(field):
        status[field] = now


def _sources(spec: Tree) -> dict[str, Any]:
    return {name: spec[name] for name in _SOURCES if spec.get(name) is not None}


def _validate_volume(spec: Tree) -> list[FieldError]:
    errors: list[FieldError] = []
    modes, capacity = spec.get("accessModes") or (), spec.get("capacity") or {}
    if not modes:
        errors.append(FieldError.required("spec.accessModes"))
    errors += validate_access_modes(modes, "spec.accessModes")
    if not capacity:
        errors.append(FieldError.required("spec.capacity"))
    if set(capacity) != {"storage"}:
        errors.append(FieldError.not_supported("spec.capacity", spec.get("capacity"), ["storage"]))
    for name, text in capacity.items():
        value = Quantity.parse(text).value
        if value < 0:
            errors.append(FieldError.invalid(f"spec.capacity[{name}]", value, "must be a valid resource quantity"))
        errors += validate_positive_amount(text, f"spec.capacity[{name}]")
    if policy := spec.get("persistentVolumeReclaimPolicy"):
        errors += one_of(policy, ("Delete", "Recycle", "Retain"), "spec.persistentVolumeReclaimPolicy")
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        if affinity.get("required") is not None:
            errors += validate_node_selector(affinity["required"], "spec.nodeAffinity.required")
        else:
            text = "must specify required node constraints"
            errors.append(FieldError.required("spec.nodeAffinity.required", text))
    errors += validate_sources(spec, "spec")
    if name := spec.get("storageClassName"):
        errors += dns_subdomain(name, "spec.storageClassName")
    if spec.get("volumeMode") is not None:
        errors += one_of(spec["volumeMode"], ("Block", "Filesystem"), "spec.volumeMode")
    if spec.get("volumeAttributesClassName") is not None:
        errors += _validate_attributes_class(spec)
    return errors


def _validate_attributes_class(spec: Tree) -> list[FieldError]:
    name, path = spec["volumeAttributesClassName"], "spec.volumeAttributesClassName"
    errors = dns_subdomain(name, path) if name else [FieldError.required(path, "an empty string is disallowed")]
    if spec.get("csi") is None:
        text = "has to be specified when using volumeAttributesClassName"
        errors.append(FieldError.required("spec.csi", text))
    return errors


def validate_sources(spec: Tree, path: str) -> list[FieldError]:
    """The one source that a volume has."""
    given = [name for name in _SOURCES if spec.get(name) is not None]
    if not given:
        return [FieldError.required(path, "must specify a volume type")]
    first = given[0]
    errors = _validate_source(first, spec[first], f"{path}.{_CHECKED_AS.get(first, first)}")
    for name in given[1:]:
        where = f"{path}.{_FORBIDDEN_AS.get(name, name)}"
        errors.append(FieldError.forbidden(where, "may not specify more than 1 volume type"))
    if first == "local" and spec.get("nodeAffinity") is None:
        errors.append(FieldError.required(f"{path}.nodeAffinity", "Local volume requires node affinity"))
    host_path = (spec.get("hostPath") or {}).get("path") or ""
    if host_path and not host_path.strip("/.") and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        text = "may not be 'recycle' for a hostPath mount of '/'"
        errors.append(FieldError.forbidden(f"{path}.persistentVolumeReclaimPolicy", text))
    return errors


def _validate_source(name: str, source: Tree, path: str) -> list[FieldError]:
    match name:
        case "local":
            return requires("path")(source, path) + validate_no_backsteps(source.get("path") or "", f"{path}.path")
        case "csi":
            errors = validate_csi_driver_name(source.get("driver") or "", f"{path}.driver")
            errors += requires("volumeHandle")(source, path)
            for field in ("controllerPublish", "controllerExpand", "nodePublish", "nodeExpand"):
                if (secret := source.get(f"{field}SecretRef")) is not None:
                    errors += requires("name", "namespace")(secret, f"{path}.{field}SecretRef")
            return errors
        case "glusterfs":
            namespace, at = source.get("endpointsNamespace"), f"{path}.endpointsNamespace"
            errors = validate_source(name, source, path)
            if namespace == "":
                text = "if the endpointnamespace is set, it must be a valid namespace name"
                errors.append(FieldError.invalid(at, "", text))
            elif namespace is not None:
                errors += dns_label(namespace, at)
            return errors
        case "azureFile":
            errors = validate_source(name, source, path)
            if source.get("secretNamespace") == "":
                errors.append(FieldError.required(f"{path}.secretNamespace"))
            return errors
    return validate_source(name, source, path)
