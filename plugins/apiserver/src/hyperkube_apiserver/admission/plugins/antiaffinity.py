"""LimitPodHardAntiAffinityTopology. Source: k8s.io/kubernetes/plugin/pkg/admission/antiaffinity."""

from __future__ import annotations

from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.plugin import CREATE, UPDATE, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes

__all__ = ["LimitPodHardAntiAffinityTopology"]

_HOST = "kubernetes.io/hostname"


class LimitPodHardAntiAffinityTopology(Plugin):
    """A pod may keep others off its node, not off a whole zone."""

    operations = CREATE | UPDATE
    about = ("pods",)

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for a required anti-affinity over anything wider than a node."""
        affinity = ((attributes.obj or {}).get("spec") or {}).get("affinity") or {}
        terms = (affinity.get("podAntiAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for term in terms:
            if (key := term.get("topologyKey") or "") != _HOST:
                why = f"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {_HOST} "
                raise forbidden(attributes, why + "is allowed")
        return None
