"""What equal pods share: whether a node will do, and how good it is, as far as that depends on template and node alone.

A verdict that was found for one pod of a Deployment holds for the next, on all nodes that didn't change in between, and
placing a pod changes one. So a pod costs a look at a node or two rather than at hundreds, and the decision is the same
as if each had been asked again.

Upstream's scheduler does less of this, and differently: it hints at the next best node while the last one is full
(opportunistic batching).
"""

from __future__ import annotations

from collections import OrderedDict

from hyperkube_scheduler.framework.interface import Cycle, Filter, PreScore, Score
from hyperkube_scheduler.framework.pipeline import Pipeline, Weighed
from hyperkube_scheduler.framework.verdicts import Code, Verdict
from hyperkube_scheduler.nodeinfo import NodeInfo
from hyperkube_scheduler.podinfo import PodTemplate

__all__ = ["UNKNOWN", "EqualPods", "Sharing"]

UNKNOWN = Verdict(Code.ERROR, ("not looked at yet",))
"""In the place of a verdict: nobody has asked."""
_FEW = 16
"""Nodes that changed and are looked at anew at once, so that a search finds all known."""
_MOST = 100
"""Templates that are remembered, for each profile; of 5,000 nodes each takes 120 kB."""


class EqualPods:
    """What is known of each node for the pods of one template, by the node's place in the list."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._filters, self.others = _split(pipeline.filters)
        """Filters that must be asked each time: from the first on that isn't local, for the first refusal counts."""
        self._scores: list[tuple[Score, int]] = []
        self.normalized: list[Weighed] = []
        """Local scores that are only comparable once all nodes have theirs."""
        self._pre_scores = {step.name: step for step in pipeline.pre_scores}
        self._pipeline = pipeline
        self._is_asked = False
        self._epoch, self._seen = -1, 0
        self.verdicts: list[Verdict | None] = []
        self.points: list[int] = []
        """The sum of the local scores that count as they are; of nodes without refusal only."""
        self.raw: list[list[int]] = []
        """The other local scores, in the order of `normalized`."""
        self.liked: list[int] = []
        """Of each of these, how many nodes have another one than 0."""

    def catch_up(self, cycle: Cycle) -> None:
        """Forget what was found of nodes that have changed since. `cycle`: of any such pod, after PreFilter."""
        if not self._is_asked:
            self._ask(cycle)
        cluster = cycle.cluster
        count = len(cluster.nodes)
        if cluster.epoch != self._epoch:
            self._epoch = cluster.epoch
            self.verdicts = [UNKNOWN] * count
            self.points = [0] * count
            self.raw = [[0] * count for _ in self.normalized]
            self.liked = [0] * len(self.normalized)
        else:
            changed = set(cluster.changed[self._seen :])
            for index in changed:
                self.verdicts[index] = UNKNOWN
            if len(changed) <= _FEW:
                for index in changed:
                    self.judge(cycle, cluster.nodes[index])
        self._seen = len(cluster.changed)

    def _ask(self, cycle: Cycle) -> None:
        """Which steps have something to do with these pods."""
        self._is_asked = True
        self._filters = [step for step in self._filters if step.name not in cycle.skipped]
        for weighed in self._pipeline.scores:
            step = weighed.step
            if not step.local:
                continue
            before = self._pre_scores.get(step.name)
            if isinstance(before, PreScore) and before.pre_score(cycle, ()) is not None:
                continue
            if weighed.normalizing is not None:
                self.normalized.append(weighed)
            else:
                self._scores.append((step, weighed.weight))

    def judge(self, cycle: Cycle, node: NodeInfo) -> Verdict | None:
        """Ask the local steps about a node, and remember."""
        verdict = None
        for step in self._filters:
            verdict = step.filter(cycle, node)
            if verdict is not None:
                break
        index = node.index
        self.verdicts[index] = verdict
        if verdict is None:
            one = (node,)
            self.points[index] = sum(weight * score.score(cycle, one)[0] for score, weight in self._scores)
            for number, weighed in enumerate(self.normalized):
                values, found = self.raw[number], weighed.step.score(cycle, one)[0]
                self.liked[number] += bool(found) - bool(values[index])
                values[index] = found
        return verdict


def _split(filters: list[Filter]) -> tuple[list[Filter], list[Filter]]:
    """The leading local ones, and the rest."""
    count = next((index for index, step in enumerate(filters) if not step.local), len(filters))
    return filters[:count], filters[count:]


class Sharing:
    """The equal pods of one profile, the latest templates."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._known: OrderedDict[bytes, EqualPods] = OrderedDict()

    def of(self, template: PodTemplate) -> EqualPods:
        found = self._known.get(template.key)
        if found is None:
            found = self._known[template.key] = EqualPods(self._pipeline)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(template.key)
        return found
