"""NodeName: the node that a pod names. Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodename."""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_scheduler.framework.events import Action, Concern, Kind
from hyperkube_scheduler.framework.interface import Cycle
from hyperkube_scheduler.framework.verdicts import Code, Verdict
from hyperkube_scheduler.nodeinfo import NodeInfo

__all__ = ["NodeName"]


class NodeName:
    """Refuses all other nodes. Local, although no template has it: a pod that names its node never waits for one."""

    name = "NodeName"
    local = True
    refusal = Verdict(Code.UNRESOLVABLE, ("node(s) didn't match the requested node name",), name)

    def filter(self, cycle: Cycle, node: NodeInfo) -> Verdict | None:
        wanted = cycle.pod.node_name
        return self.refusal if wanted and wanted != node.facts.name else None

    def concerns(self) -> Sequence[Concern]:
        return [Concern((Kind.NODE,), Action.ADD)]
