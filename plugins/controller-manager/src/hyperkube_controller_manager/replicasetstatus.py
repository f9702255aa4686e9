"""The status of a replica set, computed from its pods.

Source: k8s.io/kubernetes/pkg/controller/replicaset/replica_set_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hyperkube_controller_manager import conditions
from hyperkube_controller_manager.podstates import is_available, is_ready
from hyperkube_machinery import timestamps
from hyperkube_machinery.meta import generation, labels_of

__all__ = ["PodCounts", "replica_set_status"]

Tree = Mapping[str, Any]


class PodCounts:
    """What is counted of a replica set's pods; they may be added a few at a time."""

    def __init__(self, replica_set: Tree, now: float) -> None:
        spec = replica_set["spec"]
        self._labels = labels_of(spec.get("template") or {}).items()
        self._min_ready = spec.get("minReadySeconds") or 0
        self._now = now
        self.active = self.labelled = self.ready = self.available = self.terminating = 0

    def add(self, active: Iterable[Tree], terminating: int) -> None:
        for pod in active:
            self.active += 1
            self.labelled += self._labels <= labels_of(pod).items()
            if is_ready(pod):
                self.ready += 1
                self.available += is_available(pod, self._min_ready, self._now)
        self.terminating += terminating


def replica_set_status(replica_set: Tree, counts: PodCounts, failure: Exception | None, now: float) -> dict[str, Any]:
    """`failure` is why pods could not be made or deleted."""
    spec, current = replica_set["spec"], replica_set.get("status") or {}
    optional = {
        "fullyLabeledReplicas": counts.labelled,
        "readyReplicas": counts.ready,
        "availableReplicas": counts.available,
        "observedGeneration": generation(replica_set),
    }
    status: dict[str, Any] = {
        "replicas": counts.active,
        "terminatingReplicas": counts.terminating,
        **{field: count for field, count in optional.items() if count},
    }
    held = _conditions(current.get("conditions") or [], counts.active - spec.get("replicas", 1), failure, now)
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
