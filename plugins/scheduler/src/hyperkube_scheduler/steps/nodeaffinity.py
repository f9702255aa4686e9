"""NodeAffinity: nodes that the pod selects, requires or prefers.

Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeaffinity.
"""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_scheduler.framework.events import Action, Concern, Event, Kind
from hyperkube_scheduler.framework.interface import Cycle
from hyperkube_scheduler.framework.verdicts import SKIP, Code, Verdict
from hyperkube_scheduler.nodeinfo import NodeFacts, NodeInfo
from hyperkube_scheduler.nodematching import NodeTerm, RequiredNodes
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.steps.normalizing import share_of_most

__all__ = ["NodeAffinity"]


class NodeAffinity:
    """Refuses nodes that don't match, and likes those more that the pod prefers.

    `added` and `added_preferred` are what a profile asks of all its pods besides.
    """

    name = "NodeAffinity"
    local = True
    refusal = Verdict(Code.UNRESOLVABLE, ("node(s) didn't match Pod's node affinity/selector",), name)
    enforced = Verdict(Code.UNRESOLVABLE, ("node(s) didn't match scheduler-enforced node affinity",), name)
    conflict = Verdict(Code.UNRESOLVABLE, ("pod affinity terms conflict",), name)

    def __init__(self, added: RequiredNodes | None = None, added_preferred: Sequence[NodeTerm] = ()) -> None:
        self._added = added
        self._added_preferred = tuple(added_preferred)

    def pre_filter(self, cycle: Cycle) -> Verdict | frozenset[str] | None:
        template = cycle.pod.template
        if self._added is None and template.nodes.anywhere:
            return SKIP
        names = template.node_names
        return self.conflict if names is not None and not names else names

    def filter(self, cycle: Cycle, node: NodeInfo) -> Verdict | None:
        facts = node.facts
        if self._added is not None and not self._added.matches(facts.name, facts.labels):
            return self.enforced
        return None if cycle.pod.template.nodes.matches(facts.name, facts.labels) else self.refusal

    def pre_score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> Verdict | None:
        return None if cycle.pod.template.preferred_nodes or self._added_preferred else SKIP

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[int]:
        terms = (*self._added_preferred, *cycle.pod.template.preferred_nodes)
        return [
            sum(term.weight for term in terms if term.matches(node.facts.name, node.facts.labels)) for node in nodes
        ]

    def normalize(self, cycle: Cycle, nodes: Sequence[NodeInfo], scores: list[int]) -> list[int]:
        return share_of_most(scores)

    def concerns(self) -> Sequence[Concern]:
        return [Concern((Kind.NODE,), Action.ADD | Action.UPDATE_NODE_LABEL, self._matches_now)]

    def _matches_now(self, pod: PodInfo, event: Event) -> bool:
        old, new = event.old, event.new
        if not isinstance(new, NodeFacts):
            return True
        if self._added is not None and not self._added.matches(new.name, new.labels):
            return False
        nodes = pod.template.nodes
        if not nodes.matches(new.name, new.labels):
            return False
        return not isinstance(old, NodeFacts) or not nodes.matches(old.name, old.labels)
