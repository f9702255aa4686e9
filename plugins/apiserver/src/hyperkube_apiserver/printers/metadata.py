"""Objects reduced to their metadata. Source: k8s.io/apiserver/pkg/endpoints/handlers (asPartialObjectMetadata)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hyperkube_apiserver.kinds import Kind
    from hyperkube_apiserver.printers.cells import Tree

__all__ = ["ListMeta", "partial", "partial_list"]

# Annotations that are fields of upstream's internal versions, whose metadata it is that clients are shown.
_HIDDEN = {
    ("apps", "DaemonSet"): "deprecated.daemonset.template.generation",
    ("apps", "Deployment"): "deprecated.deployment.rollback.to",
}


@dataclass(frozen=True, slots=True)
class ListMeta:
    """The metadata of a list, or of a table: of one object it is the object's resource version."""

    resource_version: str = ""
    continue_token: str = ""
    remaining: int | None = None

    def tree(self) -> dict[str, Any]:
        """As it stands in an answer: what is empty is left out."""
        tree: dict[str, Any] = {}
        if self.resource_version:
            tree["resourceVersion"] = self.resource_version
        if self.continue_token:
            tree["continue"] = self.continue_token
        if self.remaining is not None:
            tree["remainingItemCount"] = self.remaining
        return tree


def partial(obj: Tree, version: str = "v1", *, kind: Kind | None = None) -> dict[str, Any]:
    """`obj` as PartialObjectMetadata of meta.k8s.io/`version`; `kind` is the object's own."""
    metadata = obj["metadata"]
    hidden = _HIDDEN.get((kind.resource.group, kind.resource.kind)) if kind is not None else None
    if hidden is not None and hidden in (metadata.get("annotations") or ()):
        metadata = {**metadata, "annotations": {k: v for k, v in metadata["annotations"].items() if k != hidden}}
        if not metadata["annotations"]:
            del metadata["annotations"]
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": metadata}


def partial_list(
    objects: Iterable[Tree], meta: ListMeta, version: str = "v1", *, kind: Kind | None = None
) -> dict[str, Any]:
    """`objects` as a PartialObjectMetadataList; of none, its items are null, as upstream's are."""
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": meta.tree(),
        "items": [partial(obj, version, kind=kind) for obj in objects] or None,
    }
