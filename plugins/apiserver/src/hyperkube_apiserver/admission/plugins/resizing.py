"""PodResizeValidator and NodeDeclaredFeatureValidator: what a node can do for pods that change while they run.

Source: k8s.io/kubernetes/plugin/pkg/admission/{podresize,nodedeclaredfeatures}, k8s.io/component-helpers/{resource,
nodedeclaredfeatures}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.plugin import UPDATE, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_apiserver.registry.podspec.podlevel import aggregate
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.quantity import Quantity

__all__ = ["NodeDeclaredFeatureValidator", "PodResizeValidator"]

_SYSTEM = "kubernetes.io/os"

Tree = dict[str, Any]


class _NodePlugin(Plugin):
    """Looks at the node of a pod whose spec changes."""

    operations = UPDATE

    def _has_new_spec(self, attributes: Attributes) -> bool:
        """Whether the pod is on a node and its spec changes, which its generation tells."""
        new, old = attributes.obj or {}, attributes.old or {}
        return bool((new.get("spec") or {}).get("nodeName")) and meta.generation(new) != meta.generation(old)

    def _node_of(self, attributes: Attributes) -> Tree:
        assert attributes.obj is not None
        name = attributes.obj["spec"]["nodeName"]
        node = self.cluster.find("nodes", name)
        if node is None:
            raise forbidden(attributes, f'node "{name}" not found')
        return node


class PodResizeValidator(_NodePlugin):
    """A pod grows only as far as its node has room for it alone."""

    about = ("pods/resize",)

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for a node that is too small, or that can't resize."""
        if not self._has_new_spec(attributes):
            return None
        assert attributes.obj is not None
        node = self._node_of(attributes)
        system = meta.labels_of(node).get(_SYSTEM, "linux")
        if system != "linux":
            why = f'pod resize is only supported on linux nodes, node "{meta.name(node)}" is "{system}"'
            raise _because(forbidden(attributes, why), "UnsupportedPlatform")
        requests, room = _requests(attributes.obj["spec"]), (node.get("status") or {}).get("allocatable") or {}
        told = []
        for name in ("cpu", "memory"):
            requested, allocatable = requests.get(name, Quantity(0)), Quantity.parse(room.get(name) or "0")
            if allocatable < requested:
                shown = [one.milli if name == "cpu" else one.value for one in (requested, allocatable)]
                told.append(f"{name}, requested: {shown[0]}, allocatable: {shown[1]}")
        if told:
            why = f"node didn't have enough allocatable resources: {'; '.join(told)}"
            raise _because(forbidden(attributes, why), "NodeCapacity")
        return None


def _because(error: APIError, reason: str) -> APIError:
    error.status["details"]["causes"] = [{"reason": reason}]
    return error


def _requests(spec: Mapping[str, Any]) -> dict[str, Quantity]:
    """What a pod requests of its node in all."""
    requests = aggregate(spec, "requests")
    for name, text in ((spec.get("resources") or {}).get("requests") or {}).items():
        requests[name] = Quantity.parse(text)
    for name, text in (spec.get("overhead") or {}).items():
        requests[name] = requests.get(name, Quantity(0)) + Quantity.parse(text)
    return requests


class NodeDeclaredFeatureValidator(_NodePlugin):
    """A pod changes only in ways that its node says it knows."""

    about = ("pods", "pods/resize")

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for a node that lacks a feature which the change needs."""
        if not self._has_new_spec(attributes):
            return None
        new, old = ((one or {}).get("spec") or {} for one in (attributes.obj, attributes.old))
        needed = []
        if (new.get("resources") or None) != (old.get("resources") or None):
            needed.append("InPlacePodLevelResourcesVerticalScaling")
        if _resizes_initialization(new, old):
            needed.append("InPlacePodVerticalScalingInitContainers")
        if not needed:
            return None
        node = self._node_of(attributes)
        declared = (node.get("status") or {}).get("declaredFeatures") or ()
        if missing := [feature for feature in needed if feature not in declared]:
            why = f"pod update requires features {', '.join(missing)} which are not available on node "
            raise forbidden(attributes, f'{why}"{meta.name(node)}"')
        return None


def _resizes_initialization(new: Tree, old: Tree) -> bool:
    """Whether an init container that ends is to have other resources."""
    before, now = old.get("initContainers") or (), new.get("initContainers") or ()
    return any(
        one.get("restartPolicy") != "Always" and (one.get("resources") or {}) != (other.get("resources") or {})
        for one, other in zip(before, now, strict=False)
    )
