"""TaintNodesByCondition. Source: k8s.io/kubernetes/plugin/pkg/admission/nodetaint."""

from __future__ import annotations

from hyperkube_apiserver.admission.plugin import CREATE, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes

__all__ = ["TaintNodesByCondition"]

_NOT_READY, _NO_SCHEDULE = "node.kubernetes.io/not-ready", "NoSchedule"


class TaintNodesByCondition(Plugin):
    """Nothing is placed on a new node before somebody found it ready."""

    operations = CREATE
    about = ("nodes",)

    def admit(self, attributes: Attributes) -> Waiting:
        """Taint the node."""
        assert attributes.obj is not None
        spec = attributes.obj.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(one.get("key") == _NOT_READY and one.get("effect") == _NO_SCHEDULE for one in taints):
            spec["taints"] = [*taints, {"key": _NOT_READY, "effect": _NO_SCHEDULE}]
        return None
