"""TaintToleration: nodes with taints that the pod does not tolerate.

Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/tainttoleration.
"""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_scheduler.framework.events import Action, Concern, Event, Kind
from hyperkube_scheduler.framework.interface import Cycle
from hyperkube_scheduler.framework.verdicts import Code, Verdict
from hyperkube_scheduler.nodeinfo import NodeFacts, NodeInfo
from hyperkube_scheduler.nodematching import tolerate, tolerates_all
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.steps.normalizing import share_of_most

__all__ = ["TaintToleration"]


class TaintToleration:
    """Refuses nodes for taints that say so, and likes those less that would rather have no pods."""

    name = "TaintToleration"
    local = True
    refusal = Verdict(Code.UNRESOLVABLE, ("node(s) had untolerated taint(s)",), name)

    def filter(self, cycle: Cycle, node: NodeInfo) -> Verdict | None:
        taints = node.facts.taints
        return self.refusal if taints and not tolerates_all(cycle.pod.template.tolerations, taints) else None

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[int]:
        # A toleration of another effect does not tolerate these: `tolerates` looks at that.
        tolerations = cycle.pod.template.tolerations
        return [
            sum(not tolerate(tolerations, taint) for taint in node.facts.soft_taints) if node.facts.soft_taints else 0
            for node in nodes
        ]

    def normalize(self, cycle: Cycle, nodes: Sequence[NodeInfo], scores: list[int]) -> list[int]:
        return share_of_most(scores, reverse=True)

    def concerns(self) -> Sequence[Concern]:
        return [
            Concern((Kind.NODE,), Action.ADD | Action.UPDATE_NODE_TAINT, _tolerable_now),
            Concern((Kind.POD, Kind.PENDING_POD), Action.UPDATE_POD_TOLERATION, _is_of_pod),
        ]


def _tolerable_now(pod: PodInfo, event: Event) -> bool:
    old, new = event.old, event.new
    tolerations = pod.template.tolerations
    if not isinstance(new, NodeFacts):
        return True
    was = isinstance(old, NodeFacts) and tolerates_all(tolerations, old.taints)
    return not was and tolerates_all(tolerations, new.taints)


def _is_of_pod(pod: PodInfo, event: Event) -> bool:
    return isinstance(event.new, PodInfo) and event.new.uid == pod.uid
