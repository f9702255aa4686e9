"""PersistentVolumeClaimResize. Source: k8s.io/kubernetes/plugin/pkg/admission/storage/persistentvolume/resize."""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.plugin import UPDATE, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery import meta
from hyperkube_machinery.quantity import Quantity

__all__ = ["PersistentVolumeClaimResize"]

_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"

Tree = dict[str, Any]


class PersistentVolumeClaimResize(Plugin):
    """A claim grows only if it is bound, and its class says that its volumes can grow."""

    operations = UPDATE
    about = ("persistentvolumeclaims",)

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for any other that grows."""
        new, old = attributes.obj or {}, attributes.old or {}
        if not _size(old) < _size(new):
            return None
        if (old.get("status") or {}).get("phase") != "Bound":
            raise forbidden(attributes, "Only bound persistent volume claims can be expanded")
        name = _class(new)
        found = self.cluster.find("storageclasses", name, group="storage.k8s.io") if name else None
        if name != _class(old) or found is None or not found.get("allowVolumeExpansion"):
            why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
            raise forbidden(attributes, why + "support resize")
        return None


def _size(claim: Tree) -> Quantity:
    resources = (claim.get("spec") or {}).get("resources") or {}
    return Quantity.parse((resources.get("requests") or {}).get("storage") or "0")


def _class(claim: Tree) -> str:
    old = meta.annotations_of(claim).get(_OLD_CLASS)
    return old if old is not None else (claim.get("spec") or {}).get("storageClassName") or ""
