"""Whether a pod is taken while the node is short of something. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/eviction/eviction_manager.go (Admit).
"""

from __future__ import annotations

from collections.abc import Collection

from hyperkube_kubelet.admission import Rejection, tolerates
from hyperkube_kubelet.eviction.words import REASON, node_had_conditions
from hyperkube_kubelet.podresources import is_critical, quality_of
from hyperkube_kubelet.podspec import Tree

__all__ = ["refusal"]

_TAINT = {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}


def refusal(pod: Tree, conditions: Collection[str]) -> Rejection | None:
    """Why the pod is not taken; `conditions`: pressures that the node has."""
    if not conditions or is_critical(pod):
        return None
    if set(conditions) == {"MemoryPressure"}:
        if quality_of(pod) != "BestEffort":
            return None
        if any(tolerates(toleration, _TAINT) for toleration in pod["spec"].get("tolerations") or ()):
            return None
    return Rejection(REASON, node_had_conditions(conditions))
