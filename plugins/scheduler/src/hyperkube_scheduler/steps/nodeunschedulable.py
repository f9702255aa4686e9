"""NodeUnschedulable: nodes that are cordoned off.

Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeunschedulable.
"""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_scheduler.framework.events import Action, Concern, Event, Kind
from hyperkube_scheduler.framework.interface import Cycle
from hyperkube_scheduler.framework.verdicts import Code, Verdict
from hyperkube_scheduler.nodeinfo import NodeFacts, NodeInfo
from hyperkube_scheduler.nodematching import Taint, tolerate
from hyperkube_scheduler.podinfo import PodInfo

__all__ = ["NodeUnschedulable"]

_AS_TAINT = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")


class NodeUnschedulable:
    """Refuses them, unless the pod tolerates the taint that says the same."""

    name = "NodeUnschedulable"
    local = True
    refusal = Verdict(Code.UNRESOLVABLE, ("node(s) were unschedulable",), name)

    def filter(self, cycle: Cycle, node: NodeInfo) -> Verdict | None:
        if not node.facts.unschedulable or tolerate(cycle.pod.template.tolerations, _AS_TAINT):
            return None
        return self.refusal

    def concerns(self) -> Sequence[Concern]:
        return [
            Concern((Kind.NODE,), Action.ADD | Action.UPDATE_NODE_TAINT, _is_open_now),
            Concern((Kind.POD, Kind.PENDING_POD), Action.UPDATE_POD_TOLERATION, _tolerates_now),
        ]


def _is_open_now(pod: PodInfo, event: Event) -> bool:
    old, new = event.old, event.new
    if not isinstance(new, NodeFacts):
        return True
    return not new.unschedulable and (not isinstance(old, NodeFacts) or old.unschedulable)


def _tolerates_now(pod: PodInfo, event: Event) -> bool:
    new = event.new
    return isinstance(new, PodInfo) and new.uid == pod.uid and tolerate(new.template.tolerations, _AS_TAINT)
