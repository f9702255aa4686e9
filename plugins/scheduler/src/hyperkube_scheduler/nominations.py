"""Pods that were promised a node, on which room is being made for them.

Source: k8s.io/kubernetes/pkg/scheduler/backend/queue (nominator).
"""

from __future__ import annotations

from hyperkube_scheduler.framework.interface import Nomination
from hyperkube_scheduler.podinfo import PodInfo

__all__ = ["Nominations"]


class Nominations:
    """Promises, by node. They are known here before the pods' status says so."""

    def __init__(self) -> None:
        self.by_node: dict[str, list[PodInfo]] = {}
        self._nodes: dict[str, str] = {}

    def promise(self, pod: PodInfo, nomination: Nomination | None) -> None:
        """Promise a node to a pod, take it back, or (None) go by what the pod's status says."""
        self.forget(pod.uid)
        node = pod.nominated if nomination is None else nomination.node
        if node:
            self._nodes[pod.uid] = node
            self.by_node.setdefault(node, []).append(pod)

    def update(self, old: PodInfo, new: PodInfo) -> None:
        """A waiting pod changed. A promise that its status doesn't tell yet is kept."""
        kept = self._nodes.get(old.uid, "") if not old.nominated and not new.nominated else ""
        self.forget(old.uid)
        self.promise(new, Nomination(kept) if kept else None)

    def forget(self, uid: str) -> None:
        node = self._nodes.pop(uid, None)
        if node is not None:
            left = [pod for pod in self.by_node[node] if pod.uid != uid]
            if left:
                self.by_node[node] = left
            else:
                del self.by_node[node]
