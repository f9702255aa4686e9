"""DefaultStorageClass and DefaultIngressClass: the class of what doesn't name one.

Source: k8s.io/kubernetes/plugin/pkg/admission/{storage/storageclass/setdefault,network/defaultingressclass}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.plugin import CREATE, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery import meta

__all__ = ["DefaultIngressClass", "DefaultStorageClass"]

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


class _DefaultClass(Plugin):
    """What doesn't name a class is of the default one."""

    operations = CREATE
    classes: ClassVar[tuple[str, str]]  # resource and group
    marks: ClassVar[Sequence[str]]  # the annotations that say of a class that it is the default
    field: ClassVar[str]
    old_annotation: ClassVar[str]  # which named the class before there was the field

    def admit(self, attributes: Attributes) -> Waiting:
        """Name the class. An empty name is one too: it asks for none."""
        assert attributes.obj is not None
        spec = attributes.obj.setdefault("spec", {})
        if spec.get(self.field) is not None or self.old_annotation in meta.annotations_of(attributes.obj):
            return None
        if name := _default(self.cluster, *self.classes, self.marks):
            spec[self.field] = name
        return None


class DefaultStorageClass(_DefaultClass):
    """A claim without a class is one of the default class."""

    about = ("persistentvolumeclaims",)
    classes = ("storageclasses", "storage.k8s.io")
    marks = (
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    )
    field = "storageClassName"
    old_annotation = "volume.beta.kubernetes.io/storage-class"


class DefaultIngressClass(_DefaultClass):
    """An ingress without a class is one of the default class."""

    about = ("ingresses.networking.k8s.io",)
    classes = ("ingressclasses", "networking.k8s.io")
    marks = ("ingressclass.kubernetes.io/is-default-class",)
    field = "ingressClassName"
    old_annotation = "kubernetes.io/ingress.class"
