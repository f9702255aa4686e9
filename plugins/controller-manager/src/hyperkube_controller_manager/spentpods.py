"""Which pods nobody will ever clear away but the pod garbage collector.

Source: k8s.io/kubernetes/pkg/controller/podgc.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.nodehealth import ready_of
from hyperkube_controller_manager.podstates import node_of
from hyperkube_controller_manager.taints import OUT_OF_SERVICE, has_taint
from hyperkube_machinery import meta

__all__ = ["has_ended", "in_excess", "orphans", "out_of_service", "unscheduled"]

Tree = Mapping[str, Any]
_RUNNING = ("Pending", "Running", "Unknown")


def has_ended(pod: Tree) -> bool:
    """Whether it neither runs nor will."""
    return ((pod.get("status") or {}).get("phase") or "") not in _RUNNING


def in_excess(ended: Sequence[Tree], threshold: int) -> list[Tree]:
    """Those of the ended pods beyond `threshold` of them: evicted ones first, then the oldest. 0 for any number."""
    excess = len(ended) - threshold
    return sorted(ended, key=_age)[:excess] if threshold > 0 and excess > 0 else []


def _age(pod: Tree) -> tuple[bool, str, str]:
    status = pod.get("status") or {}
    evicted = status.get("phase") == "Failed" and status.get("reason") == "Evicted"
    return not evicted, meta.metadata(pod).get("creationTimestamp") or "", meta.name(pod)


def out_of_service(pods: Iterable[Tree], nodes: Mapping[str, Tree]) -> list[Tree]:
    """Pods being deleted on nodes that are not ready and were said to be out of service: no kubelet ends them."""
    return sorted((pod for pod in _deleted(pods) if _is_out_of_service(nodes.get(node_of(pod)))), key=_age)


def _is_out_of_service(node: Tree | None) -> bool:
    if node is None or not has_taint(node, OUT_OF_SERVICE):
        return False
    ready = ready_of(node)
    return ready is None or ready.get("status") != "True"


def orphans(pods: Iterable[Tree], nodes: Container[str]) -> list[Tree]:
    """Pods of nodes that are not among `nodes`."""
    return [pod for pod in pods if node_of(pod) and node_of(pod) not in nodes]


def unscheduled(pods: Iterable[Tree]) -> list[Tree]:
    """Pods being deleted that no node ever had."""
    return [pod for pod in _deleted(pods) if not node_of(pod)]


def _deleted(pods: Iterable[Tree]) -> list[Tree]:
    return [pod for pod in pods if meta.deletion_timestamp(pod) is not None]
