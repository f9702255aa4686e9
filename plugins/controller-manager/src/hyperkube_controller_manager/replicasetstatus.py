"""The status of a replica set, computed from its pods.

Source: k8s.io/kubernetes/pkg/controller/replicaset/replica_set_utils.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_controller_manager import conditions
from hyperkube_controller_manager.podstates import is_available, is_ready
from hyperkube_machinery import timestamps
from hyperkube_machinery.meta import generation, labels_of

__all__ = ["replica_set_status"]

Tree = Mapping[str, Any]


def replica_set_status(
    replica_set: Tree, active: Sequence[Tree], terminating: Sequence[Tree], failure: Exception | None, now: float
) -> dict[str, Any]:
    """`failure` is why pods could not be made or deleted."""
    spec, current = replica_set["spec"], replica_set.get("status") or {}
    template_labels = labels_of(spec.get("template") or {}).items()
    min_ready = spec.get("minReadySeconds") or 0
    ready = [pod for pod in active if is_ready(pod)]
    counts = {
        "fullyLabeledReplicas": sum(template_labels <= labels_of(pod).items() for pod in active),
        "readyReplicas": len(ready),
        "availableReplicas": sum(is_available(pod, min_ready, now) for pod in ready),
        "observedGeneration": generation(replica_set),
    }
    status: dict[str, Any] = {
        "replicas": len(active),
        "terminatingReplicas": len(terminating),
        **{field: count for field, count in counts.items() if count},
    }
    held = _conditions(current.get("conditions") or [], len(active) - spec.get("replicas", 1), failure, now)
    if held:
        status["conditions"] = held
    return status


def _conditions(held: list[Tree], excess: int, failure: Exception | None, now: float) -> list[Tree]:
    if failure is None:
        return conditions.without(held, "ReplicaFailure")
    if conditions.find(held, "ReplicaFailure") is not None:
        return held
    reason = "FailedCreate" if excess < 0 else "FailedDelete" if excess > 0 else ""
    told = {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": timestamps.format_seconds(now),
        "reason": reason,
        "message": str(failure),
    }
    return [*held, told]
