"""StorageObjectInUseProtection.

Source: k8s.io/kubernetes/plugin/pkg/admission/storage/storageobjectinuseprotection.
"""

from __future__ import annotations

from hyperkube_apiserver.admission.plugin import CREATE, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery import meta

__all__ = ["StorageObjectInUseProtection"]

_FINALIZERS = {
    "persistentvolumes": "kubernetes.io/pv-protection",
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
}


class StorageObjectInUseProtection(Plugin):
    """What is used goes only after its use: a finalizer keeps it, which a controller takes away."""

    operations = CREATE
    about = tuple(_FINALIZERS)

    def admit(self, attributes: Attributes) -> Waiting:
        """Add the finalizer."""
        assert attributes.obj is not None
        finalizer = _FINALIZERS[attributes.kind.resource.qualified]
        metadata = meta.ensure_meta(attributes.obj)
        finalizers = metadata.get("finalizers") or []
        if finalizer not in finalizers:
            metadata["finalizers"] = [*finalizers, finalizer]
        return None
