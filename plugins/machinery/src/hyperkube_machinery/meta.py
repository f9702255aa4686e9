"""Reading the metadata of objects kept as plain trees. Nothing here changes an object, but `ensure_meta`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "annotations_of",
    "controller_of",
    "deletion_timestamp",
    "ensure_meta",
    "finalizers",
    "generation",
    "labels_of",
    "metadata",
    "name",
    "namespace",
    "owner_references",
    "resource_version",
    "uid",
]

Tree = Mapping[str, Any]


def metadata(obj: Tree) -> Tree:
    """The object's metadata; empty where it has none."""
    return obj.get("metadata") or {}


def ensure_meta(obj: dict[str, Any]) -> dict[str, Any]:
    """The object's metadata for changing, made if there is none."""
    meta = obj.get("metadata")
    if not isinstance(meta, dict):
        meta = obj["metadata"] = {}
    return meta


def name(obj: Tree) -> str:
    return metadata(obj).get("name") or ""


def namespace(obj: Tree) -> str:
    return metadata(obj).get("namespace") or ""


def uid(obj: Tree) -> str:
    return metadata(obj).get("uid") or ""


def resource_version(obj: Tree) -> str:
    return metadata(obj).get("resourceVersion") or ""


def generation(obj: Tree) -> int:
    """How often the spec was changed; 0 for kinds that do not count."""
    return metadata(obj).get("generation") or 0


def labels_of(obj: Tree) -> Mapping[str, str]:
    return metadata(obj).get("labels") or {}


def annotations_of(obj: Tree) -> Mapping[str, str]:
    return metadata(obj).get("annotations") or {}


def finalizers(obj: Tree) -> Sequence[str]:
    return metadata(obj).get("finalizers") or ()


def owner_references(obj: Tree) -> Sequence[Tree]:
    return metadata(obj).get("ownerReferences") or ()


def controller_of(obj: Tree) -> Tree | None:
    """The owner that manages this object, if one says so."""
    return next((owner for owner in owner_references(obj) if owner.get("controller")), None)


def deletion_timestamp(obj: Tree) -> str | None:
    """When the object is to be gone (RFC 3339); None while nobody deletes it."""
    return metadata(obj).get("deletionTimestamp")
