"""Sources of volumes that pods and persistent volumes share, and what each must say.

Source: the validate…VolumeSource functions of k8s.io/kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from hyperkube_apiserver.registry.fields import dns_label, dns_subdomain, invalid_each, one_of
from hyperkube_apiserver.registry.podspec.paths import validate_no_backsteps
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import in_range

__all__ = ["REQUIRED", "Check", "requires", "validate_csi_driver_name", "validate_source"]

Tree = Mapping[str, Any]
Check = Callable[[Tree, str], list[FieldError]]

_HOST_PATH_TYPES = (
    *("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"),
)
_ISCSI_NAMES = {
    "iqn": r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9.-]+)(:[^,;*&$|\s]+)$",
    "eui": r"^eui.[A-Za-z0-9]{16}$",
    "naa": r"^naa.[A-Za-z0-9]{32}$",
}

# Fields that are all a source is checked for.
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "rbd": ("monitors", "image"),
    "cephfs": ("monitors",),
    "glusterfs": ("endpoints", "path"),
    "vsphereVolume": ("volumePath",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "scaleIO": ("gateway", "system", "volumeName"),
    "azureFile": ("secretName", "shareName"),
    "persistentVolumeClaim": ("claimName",),
}


def requires(*fields: str) -> Check:
    def check(source: Tree, path: str) -> list[FieldError]:
        return [FieldError.required(f"{path}.{field}") for field in fields if not source.get(field)]

    return check


def validate_source(name: str, source: Tree, path: str) -> list[FieldError]:
    """What is wrong with a source that is called `name` and known here; nothing for others."""
    if check := _CHECKS.get(name):
        return check(source, path)
    return requires(*REQUIRED.get(name, ()))(source, path)


def _host_path(source: Tree, path: str) -> list[FieldError]:
    target = source.get("path") or ""
    if not target:
        return [FieldError.required(f"{path}.path")]
    errors = validate_no_backsteps(target, f"{path}.path")
    return errors + one_of(source.get("type") or "", _HOST_PATH_TYPES, f"{path}.type")


def _nfs(source: Tree, path: str) -> list[FieldError]:
    errors = requires("server", "path")(source, path)
    target = source.get("path") or ""
    if not target.startswith("/"):
        errors.append(FieldError.invalid(f"{path}.path", target, "must be an absolute path"))
    return errors


def _partitioned(field: str) -> Check:
    def check(source: Tree, path: str) -> list[FieldError]:
        partition = source.get("partition") or 0
        errors = requires(field)(source, path)
        if not 0 <= partition <= 255:
            # Upstream's text begins at 1, though 0 is accepted.
            errors += invalid_each(f"{path}.partition", partition, in_range(partition, 1, 255))
        return errors

    return check


def _iscsi(source: Tree, path: str) -> list[FieldError]:
    errors = requires("targetPortal")(source, path)
    if iqn := source.get("iqn"):
        errors += _validate_iscsi_name(iqn, f"{path}.iqn")
    else:
        errors.append(FieldError.required(f"{path}.iqn"))
    lun = source.get("lun") or 0
    errors += invalid_each(f"{path}.lun", lun, in_range(lun, 0, 255))
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        errors.append(FieldError.required(f"{path}.secretRef"))
    if (initiator := source.get("initiatorName")) is not None:
        errors += _validate_iscsi_name(initiator, f"{path}.initiatorname")
    return errors


def _validate_iscsi_name(name: str, path: str) -> list[FieldError]:
    pattern = _ISCSI_NAMES.get(name[:3])
    if pattern is None:
        return [FieldError.invalid(path, name, "must be valid format starting with iqn, eui, or naa")]
    return [] if re.search(pattern, name) else [FieldError.invalid(path, name, "must be valid format")]


def _flocker(source: Tree, path: str) -> list[FieldError]:
    name, uuid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    errors: list[FieldError] = []
    if not name and not uuid:
        errors.append(FieldError.required(path, "one of datasetName and datasetUUID is required"))
    if name and uuid:
        text = "datasetName and datasetUUID can not be specified simultaneously"
        errors.append(FieldError.invalid(path, "resource", text))
    if "/" in name:
        errors.append(FieldError.invalid(f"{path}.datasetName", name, "must not contain '/'"))
    return errors


def _cinder(source: Tree, path: str) -> list[FieldError]:
    return requires("volumeID")(source, path) + _validate_secret_name(source, path)


def _storage_os(source: Tree, path: str) -> list[FieldError]:
    name, namespace = source.get("volumeName") or "", source.get("volumeNamespace") or ""
    errors = dns_label(name, f"{path}.volumeName") if name else [FieldError.required(f"{path}.volumeName")]
    if namespace:
        errors += dns_label(namespace, f"{path}.volumeNamespace")
    return errors + _validate_secret_name(source, path)


def _validate_secret_name(source: Tree, path: str) -> list[FieldError]:
    secret = source.get("secretRef")
    return [FieldError.required(f"{path}.secretRef.name")] if secret is not None and not secret.get("name") else []


def _quobyte(source: Tree, path: str) -> list[FieldError]:
    text = "must be a host:port pair or multiple pairs separated by commas"
    registry = source.get("registry") or ""
    errors: list[FieldError] = []
    if not registry:
        errors.append(FieldError.required(f"{path}.registry", text))
    elif len(source.get("tenant") or "") >= 65:
        why = "must be a UUID and may not exceed a length of 64 characters"
        errors.append(FieldError.required(f"{path}.tenant", why))
    else:
        pairs = registry.split(",")
        wrong = [pair for pair in pairs if not re.fullmatch(r"([^:\[\]]*|\[[^\[\]]*\]):[^:\[\]]*", pair)]
        errors += [FieldError.invalid(f"{path}.registry", registry, text)] * len(wrong)
    return errors + requires("volume")(source, path)


def _fc(source: Tree, path: str) -> list[FieldError]:
    names, wwids, lun = source.get("targetWWNs") or [], source.get("wwids") or [], source.get("lun")
    errors: list[FieldError] = []
    if not names and not wwids:
        text = "must specify either targetWWNs or wwids, but not both"
        errors.append(FieldError.required(f"{path}.targetWWNs", text))
    if names and wwids:
        text = "targetWWNs and wwids can not be specified simultaneously"
        errors.append(FieldError.invalid(f"{path}.targetWWNs", names, text))
    if names and lun is None:
        errors.append(FieldError.required(f"{path}.lun", "lun is required if targetWWNs is specified"))
    elif names and lun is not None:
        errors += invalid_each(f"{path}.lun", lun, in_range(lun, 0, 255))
    return errors


def _flex(source: Tree, path: str) -> list[FieldError]:
    errors = requires("driver")(source, path)
    for key in source.get("options") or ():
        domain = "." + key.partition("/")[0].lower()
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            text = "kubernetes.io and k8s.io namespaces are reserved"
            errors.append(FieldError.invalid(f"{path}.options[{key}]", key, text))
    return errors


def _azure_disk(source: Tree, path: str) -> list[FieldError]:
    errors = requires("diskName", "diskURI")(source, path)
    kind, uri = source.get("kind"), source.get("diskURI") or ""
    if source.get("cachingMode") is not None:
        errors += one_of(source["cachingMode"], ("None", "ReadOnly", "ReadWrite"), f"{path}.cachingMode")
    if kind is None:
        return errors
    errors += one_of(kind, ("Dedicated", "Managed", "Shared"), f"{path}.kind")
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        shape = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
        errors.append(FieldError.not_supported(f"{path}.diskURI", uri, [shape]))
    elif kind != "Managed" and not uri.startswith("https://"):
        shape = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
        errors.append(FieldError.not_supported(f"{path}.diskURI", uri, [shape]))
    return errors


def validate_csi_driver_name(name: str, path: str) -> list[FieldError]:
    if not name:
        return [FieldError.required(path)]
    errors = [FieldError.too_long(path, 63)] if len(name.encode()) > 63 else []
    wrong = dns_subdomain(name.lower(), path)
    return errors + [FieldError.invalid(path, name, error.detail) for error in wrong]


_CHECKS: Mapping[str, Check] = {
    "hostPath": _host_path,
    "nfs": _nfs,
    "gcePersistentDisk": _partitioned("pdName"),
    "awsElasticBlockStore": _partitioned("volumeID"),
    "iscsi": _iscsi,
    "flocker": _flocker,
    "cinder": _cinder,
    "storageos": _storage_os,
    "quobyte": _quobyte,
    "fc": _fc,
    "flexVolume": _flex,
    "azureDisk": _azure_disk,
}
