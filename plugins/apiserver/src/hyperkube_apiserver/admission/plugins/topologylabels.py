"""PodTopologyLabels. Source: k8s.io/kubernetes/plugin/pkg/admission/podtopologylabels."""

from __future__ import annotations

from hyperkube_apiserver.admission.plugin import CREATE, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery import meta

__all__ = ["PodTopologyLabels"]

_LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels(Plugin):
    """A pod can tell in which zone and region it is: it gets these labels of its node, as it is bound to it."""

    operations = CREATE
    about = ("pods", "pods/binding")

    def admit(self, attributes: Attributes) -> Waiting:
        """Label a new pod that has a node, or the binding, which gives its labels to the pod."""
        assert attributes.obj is not None
        if attributes.subresource:
            target = attributes.obj.get("target") or {}
            node = target.get("name") if target.get("kind") == "Node" else None
        else:
            node = (attributes.obj.get("spec") or {}).get("nodeName")
        found = self.cluster.find("nodes", node) if node else None
        if found is None:
            return None
        labels = {key: value for key, value in meta.labels_of(found).items() if key in _LABELS}
        if labels:
            metadata = meta.ensure_meta(attributes.obj)
            metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
        return None
