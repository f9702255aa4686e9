"""NodePorts: ports of the node that the pod wants for itself.

Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeports.
"""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_scheduler.framework.events import Action, Concern, Event, Kind
from hyperkube_scheduler.framework.interface import Cycle
from hyperkube_scheduler.framework.verdicts import SKIP, Code, Verdict
from hyperkube_scheduler.nodeinfo import NodeInfo, conflicts
from hyperkube_scheduler.podinfo import PodInfo

__all__ = ["NodePorts"]


class NodePorts:
    """Refuses nodes where one of them is taken."""

    name = "NodePorts"
    local = True
    refusal = Verdict(Code.UNSCHEDULABLE, ("node(s) didn't have free ports for the requested pod ports",), name)

    def pre_filter(self, cycle: Cycle) -> Verdict | frozenset[str] | None:
        return None if cycle.pod.template.ports else SKIP

    def filter(self, cycle: Cycle, node: NodeInfo) -> Verdict | None:
        return self.refusal if conflicts(cycle.pod.template.ports, node.ports) else None

    def concerns(self) -> Sequence[Concern]:
        return [
            Concern((Kind.POD, Kind.PENDING_POD), Action.DELETE, _frees_ports),
            Concern((Kind.NODE,), Action.ADD),
        ]


def _frees_ports(pod: PodInfo, event: Event) -> bool:
    gone = event.old
    if not isinstance(gone, PodInfo) or not (gone.node_name or gone.nominated):
        return False
    return conflicts(pod.template.ports, dict.fromkeys(gone.template.ports, 1))
