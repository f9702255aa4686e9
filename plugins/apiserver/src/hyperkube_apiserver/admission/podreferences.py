"""What objects a pod refers to. Source: k8s.io/kubernetes/pkg/api/pod/util.go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["config_map_names", "containers", "referenced_resource", "secret_names"]

Tree = dict[str, Any]

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
# Where a volume names a secret: the field of the source, and of the source's field that names it.
_SECRETS = {
    "azureFile": ("", "secretName"),
    "cephfs": ("secretRef", "name"),
    "cinder": ("secretRef", "name"),
    "flexVolume": ("secretRef", "name"),
    "rbd": ("secretRef", "name"),
    "secret": ("", "secretName"),
    "scaleIO": ("secretRef", "name"),
    "iscsi": ("secretRef", "name"),
    "storageos": ("secretRef", "name"),
    "csi": ("nodePublishSecretRef", "name"),
}
_HARMLESS = frozenset(
    {
        *("awsElasticBlockStore", "azureDisk", "cephfs", "cinder", "downwardAPI", "emptyDir", "fc", "flexVolume"),
        *("flocker", "gcePersistentDisk", "gitRepo", "hostPath", "image", "iscsi", "nfs", "photonPersistentDisk"),
        *("portworxVolume", "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume"),
    }
)
_REFERRING = {
    "configMap": "configmaps (via configmap volumes)",
    "secret": "secrets (via secret volumes)",
    "csi": "csidrivers (via CSI volumes)",
    "glusterfs": "endpoints (via glusterFS volumes)",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims (via ephemeral volumes)",
    "azureFile": "secrets (via azureFile volumes)",
}
_PROJECTED = {
    "configMap": "configmaps (via projected volumes)",
    "secret": "secrets (via projected volumes)",
    "serviceAccountToken": "serviceaccounts (via projected volumes)",
    "clusterTrustBundle": "clustertrustbundles",
    "podCertificate": "podcertificates",
}


def containers(spec: Tree) -> Iterator[tuple[str, Tree]]:
    """Every container of a pod, with its path in the spec."""
    for field in _CONTAINERS:
        for index, container in enumerate(spec.get(field) or ()):
            yield f"{field}[{index}]", container


def secret_names(spec: Tree) -> Iterator[str]:
    """The secrets that a pod refers to; none of the names is empty."""
    yield from filter(None, _secret_names(spec))


def _secret_names(spec: Tree) -> Iterator[str]:
    for reference in spec.get("imagePullSecrets") or ():
        yield reference.get("name") or ""
    yield from _environment(spec, "secretRef", "secretKeyRef")
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield (source.get("secret") or {}).get("name") or ""
        for field, (inner, name) in _SECRETS.items():
            named = volume.get(field) or {}
            if inner:
                named = named.get(inner) or {}
            yield named.get(name) or ""


def config_map_names(spec: Tree) -> Iterator[str]:
    """The config maps that a pod refers to; none of the names is empty."""
    yield from filter(None, _config_map_names(spec))


def _config_map_names(spec: Tree) -> Iterator[str]:
    yield from _environment(spec, "configMapRef", "configMapKeyRef")
    for volume in spec.get("volumes") or ():
        yield (volume.get("configMap") or {}).get("name") or ""
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield (source.get("configMap") or {}).get("name") or ""


def _environment(spec: Tree, whole: str, key: str) -> Iterator[str]:
    for _, container in containers(spec):
        for source in container.get("envFrom") or ():
            yield (source.get(whole) or {}).get("name") or ""
        for variable in container.get("env") or ():
            yield ((variable.get("valueFrom") or {}).get(key) or {}).get("name") or ""


def referenced_resource(spec: Tree) -> str:
    """The first sort of objects that a pod refers to, as refusals name it; "" if it refers to none.

    Raises ValueError for a volume of a kind that is not known, which might refer to anything.
    """
    if spec.get("serviceAccountName"):
        return "serviceaccounts"
    if any(secret_names(spec)):
        return "secrets"
    if any(config_map_names(spec)):
        return "configmaps"
    if spec.get("resourceClaims"):
        return "resourceclaims"
    for volume in spec.get("volumes") or ():
        if found := _reference_of(volume):
            return found
    return ""


def _reference_of(volume: Tree) -> str:
    kinds = {field for field, source in volume.items() if field != "name" and source is not None}
    if kinds & _HARMLESS:
        return ""
    for field, told in _REFERRING.items():
        if field in kinds:
            return told
    if "projected" not in kinds:
        raise ValueError(f'unknown volume type for volume  "{volume.get("name") or ""}"')
    for source in volume["projected"].get("sources") or ():
        for field, told in _PROJECTED.items():
            if source.get(field) is not None:
                return told
        if source.get("downwardAPI") is None:
            raise ValueError(f'unknown source for projected volume "{volume.get("name") or ""}"')
    return ""
