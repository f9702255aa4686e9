"""The rows of storage.k8s.io. Source: k8s.io/kubernetes/pkg/printers/internalversion."""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.printers.cells import NONE, UNSET, Tree, age, name

__all__ = [
    "csi_driver",
    "csi_node",
    "storage_class",
    "volume_attachment",
    "volume_attributes_class",
]

_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def _given(tree: Tree, field: str, default: Any) -> Any:
    value = tree.get(field)
    return default if value is None else value


def storage_class(obj: Tree, now: float) -> list[Any]:
    """Name, Provisioner, ReclaimPolicy, VolumeBindingMode, AllowVolumeExpansion, Age."""
    shown, annotations = name(obj), obj["metadata"].get("annotations") or {}
    if any(annotations.get(one) == "true" for one in _DEFAULT_CLASS):
        shown += " (default)"
    return [
        shown,
        obj.get("provisioner", ""),
        _given(obj, "reclaimPolicy", "Delete"),
        _given(obj, "volumeBindingMode", "Immediate"),
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now),
    ]


def csi_driver(obj: Tree, now: float) -> list[Any]:
    """Name, AttachRequired, PodInfoOnMount, StorageCapacity, TokenRequests, RequiresRepublish, Modes, Age."""
    spec = obj.get("spec") or {}
    requests = spec.get("tokenRequests")
    return [
        name(obj),
        _given(spec, "attachRequired", True),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        UNSET if requests is None else ",".join(one.get("audience", "") for one in requests),
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or NONE,
        age(obj, now),
    ]


def csi_node(obj: Tree, now: float) -> list[Any]:
    """Name, Drivers, Age."""
    return [name(obj), len((obj.get("spec") or {}).get("drivers") or ()), age(obj, now)]


def volume_attachment(obj: Tree, now: float) -> list[Any]:
    """Name, Attacher, PV, Node, Attached, Age."""
    spec = obj.get("spec") or {}
    return [
        name(obj),
        spec.get("attacher", ""),
        (spec.get("source") or {}).get("persistentVolumeName") or "",
        spec.get("nodeName", ""),
        bool((obj.get("status") or {}).get("attached")),
        age(obj, now),
    ]


def volume_attributes_class(obj: Tree, now: float) -> list[Any]:
    """Name, DriverName, Age."""
    return [name(obj), obj.get("driverName", ""), age(obj, now)]
