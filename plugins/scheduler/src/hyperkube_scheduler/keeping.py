"""What is kept of objects: what the scheduler reads, and what equal pods have in common once.

A pod takes some 13 kB as it comes, most of it environment, volumes, managed fields and the status of containers. Those
of one template differ in their metadata and their node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hyperkube_machinery.encoding import encode
from hyperkube_machinery.remembering import Remembered

__all__ = ["POD_SPEC_FIELDS", "keep_metadata", "keep_node", "keep_pod", "keep_selector"]

Tree = dict[str, Any]

_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "labels",
    "deletionTimestamp",
    "ownerReferences",
)
POD_SPEC_FIELDS = (
    "schedulerName",
    "nodeSelector",
    "tolerations",
    "affinity",
    "topologySpreadConstraints",
    "overhead",
    "resources",
    "preemptionPolicy",
    "schedulingGates",
    "priority",
)
"""What is read of a pod's spec beside its containers, its node and images among its volumes."""
_CONTAINER = ("name", "image", "ports", "resources", "restartPolicy")
_STATUS = ("phase", "conditions", "nominatedNodeName", "startTime", "resources", "allocatedResources")
_CONTAINER_STATUS = ("name", "resources", "allocatedResources")
_CONTAINERS = ("containers", "initContainers")
_CONTAINER_STATUSES = ("containerStatuses", "initContainerStatuses")

_specs: Remembered[Tree] = Remembered()


def keep_pod(tree: Tree) -> Tree:
    """What is read of a pod."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    kept = _picked(spec, POD_SPEC_FIELDS)
    for field in _CONTAINERS:
        if listed := spec.get(field):
            kept[field] = [_picked(one, _CONTAINER) for one in listed]
    if images := [{"image": one["image"]} for one in spec.get("volumes") or () if "image" in one]:
        kept["volumes"] = images
    shared = _shared(kept)
    if node := spec.get("nodeName"):
        shared = {**shared, "nodeName": node}
    told = _picked(status, _STATUS)
    for field in _CONTAINER_STATUSES:
        if resized := [_picked(one, _CONTAINER_STATUS) for one in status.get(field) or () if one.get("resources")]:
            told[field] = resized
    return {**_identity(tree), "spec": shared, "status": told}


def _shared(spec: Tree) -> Tree:
    key = encode(spec)
    found = _specs.get(key)
    if found is None:
        found = spec
        _specs.keep(key, found)
    return found


def keep_node(tree: Tree) -> Tree:
    """What is read of a node."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    kept = _identity(tree)
    if annotations := tree["metadata"].get("annotations"):
        kept["metadata"]["annotations"] = annotations
    conditions = [_picked(one, ("type", "status")) for one in status.get("conditions") or ()]
    return {
        **kept,
        "spec": _picked(spec, ("taints", "unschedulable")),
        "status": {**_picked(status, ("allocatable", "images")), "conditions": conditions},
    }


def keep_metadata(tree: Tree) -> Tree:
    """What is read of a namespace."""
    return _identity(tree)


def keep_selector(tree: Tree) -> Tree:
    """What is read of a service, or of an owner of pods."""
    return {**_identity(tree), "spec": _picked(tree.get("spec") or {}, ("selector",))}


def _identity(tree: Tree) -> Tree:
    return {**_picked(tree, ("apiVersion", "kind")), "metadata": _picked(tree["metadata"], _METADATA)}


def _picked(tree: Mapping[str, Any], fields: Iterable[str]) -> Tree:
    return {field: tree[field] for field in fields if field in tree}
