"""PrioritySort: who goes first. Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/queuesort."""

from __future__ import annotations

from hyperkube_scheduler.framework.interface import Rank
from hyperkube_scheduler.podinfo import PodInfo

__all__ = ["PrioritySort"]


class PrioritySort:
    """The higher priority, and of the same the one that waits longer."""

    name = "PrioritySort"

    def rank(self, pod: PodInfo, since: float) -> Rank:
        return (-pod.template.priority, since)
