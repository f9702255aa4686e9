"""DefaultStorageClass and DefaultIngressClass: the class of what doesn't name one.

Source: k8s.io/kubernetes/plugin/pkg/admission/{storage/storageclass/setdefault,network/defaultingressclass}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.plugin import CREATE, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery import meta

__all__ = ["DefaultIngressClass", "DefaultStorageClass"]

_DEFAULT_STORAGE = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_DEFAULT_INGRESS = ("ingressclass.kubernetes.io/is-default-class",)
_OLD_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_OLD_INGRESS_CLASS = "kubernetes.io/ingress.class"

Tree = dict[str, Any]


def _default(cluster: Cluster, resource: str, group: str, annotations: Sequence[str]) -> str:
    """The name of the default class, "" if there is none; of several it is the newest."""
    found = [
        (meta.metadata(one).get("creationTimestamp") or "", meta.name(one))
        for annotation in annotations
        for one in cluster.having(resource, b'"%b":"true"' % annotation.encode(), group=group)
        if meta.annotations_of(one).get(annotation) == "true"
    ]
    newest = max((created for created, _ in found), default="")
    return min((name for created, name in found if created == newest), default="")


class DefaultStorageClass(Plugin):
    """A claim without a class is one of the default class."""

    operations = CREATE
    about = ("persistentvolumeclaims",)

    def admit(self, attributes: Attributes) -> Waiting:
        """Name the class. An empty name is one too: it asks for a volume of no class."""
        assert attributes.obj is not None
        spec = attributes.obj.setdefault("spec", {})
        if spec.get("storageClassName") is not None or _OLD_STORAGE_CLASS in meta.annotations_of(attributes.obj):
            return None
        if name := _default(self.cluster, "storageclasses", "storage.k8s.io", _DEFAULT_STORAGE):
            spec["storageClassName"] = name
        return None


class DefaultIngressClass(Plugin):
    """An ingress without a class is one of the default class."""

    operations = CREATE
    about = ("ingresses.networking.k8s.io",)

    def admit(self, attributes: Attributes) -> Waiting:
        """Name the class."""
        assert attributes.obj is not None
        spec = attributes.obj.setdefault("spec", {})
        if spec.get("ingressClassName") is not None or _OLD_INGRESS_CLASS in meta.annotations_of(attributes.obj):
            return None
        if name := _default(self.cluster, "ingressclasses", "networking.k8s.io", _DEFAULT_INGRESS):
            spec["ingressClassName"] = name
        return None
