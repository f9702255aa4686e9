"""Which node a pod goes to: the nodes that will do, and the best of them. Nothing is changed here.

Source of the order and the numbers: k8s.io/kubernetes/pkg/scheduler/schedule_one.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from hyperkube_scheduler.framework.diagnosis import Diagnosis
from hyperkube_scheduler.framework.interface import Cycle
from hyperkube_scheduler.framework.pipeline import Pipeline, Weighed
from hyperkube_scheduler.framework.verdicts import SKIP, Code, Verdict
from hyperkube_scheduler.nodeinfo import NodeInfo
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.sharing import UNKNOWN, EqualPods, Sharing
from hyperkube_scheduler.slices import Slices

__all__ = ["Algorithm", "Choice", "count_to_find"]

_FEWEST_TO_FIND = 100
_LEAST_PERCENTAGE = 5
_A_PART = 128
"""Nodes that are looked at together, if all is known of them."""
_A_SLICE = 32
"""Nodes that are asked about anew between two chances for others to go on."""


def count_to_find(nodes: int, percentage: int) -> int:
    """How many nodes that will do are enough, of so many. 0 percent: fewer, the larger the cluster."""
    if nodes < _FEWEST_TO_FIND:
        return nodes
    percentage = percentage or max(50 - nodes // 125, _LEAST_PERCENTAGE)
    return max(nodes * percentage // 100, _FEWEST_TO_FIND)


@dataclass(frozen=True, slots=True)
class Choice:
    """The node that a pod should go to, or why there is none."""

    node: str = ""
    diagnosis: Diagnosis | None = None
    evaluated: int = 0
    """Nodes that were looked at."""
    feasible: int = 0
    """Nodes that would do."""


class Algorithm:
    """Chooses nodes for the pods of all profiles; it goes round, so that each node has its turn."""

    def __init__(self, percentage: int, random: Random) -> None:
        """`percentage`: of nodes to score, 0 for a number that falls with the size of the cluster."""
        self._percentage = percentage
        self._random = random
        self._sharing: dict[str, Sharing] = {}
        self._start = 0

    def choose(self, pipeline: Pipeline, cycle: Cycle, nominated: Mapping[str, Sequence[PodInfo]]) -> Slices[Choice]:
        """The best node. `nominated`: pods that were promised a node, by node. The cluster has nodes."""
        diagnosis = Diagnosis(len(cycle.cluster.nodes))
        for step in pipeline.prepares:
            yield from step.prepare(cycle)
        names = _pre_filter(pipeline, cycle, diagnosis)
        if diagnosis.pre_filter_message:
            return Choice(diagnosis=diagnosis)
        sharing = self._sharing.get(pipeline.name) or self._sharing.setdefault(pipeline.name, Sharing(pipeline))
        equal = sharing.of(cycle.pod.template)
        equal.catch_up(cycle)
        promised = cycle.cluster.node(cycle.pod.nominated) if cycle.pod.nominated else None
        if promised is not None:
            verdict = pipeline.filter_beside(cycle, promised, nominated.get(promised.name, ()))
            if verdict is None:
                return Choice(promised.name, evaluated=1, feasible=1)
        feasible = yield from self._feasible(pipeline, cycle, equal, nominated, names, diagnosis)
        seen = len(feasible) + len(diagnosis.verdicts)
        if not feasible:
            return Choice(diagnosis=diagnosis, evaluated=seen)
        if len(feasible) == 1:
            return Choice(feasible[0].name, evaluated=seen, feasible=1)
        best = self._best(pipeline, cycle, equal, feasible)
        return Choice(best.name, evaluated=seen, feasible=len(feasible))

    def _feasible(
        self,
        pipeline: Pipeline,
        cycle: Cycle,
        equal: EqualPods,
        nominated: Mapping[str, Sequence[PodInfo]],
        names: frozenset[str] | None,
        diagnosis: Diagnosis,
    ) -> Slices[list[NodeInfo]]:
        every = cycle.cluster.nodes
        count = len(every)
        parts = self._in_turn(every)
        if names is not None:
            found = [node for name in sorted(names) if (node := cycle.cluster.node(name)) is not None]
            parts, count = iter([found]), len(found)
        percentage = self._percentage if pipeline.percentage is None else pipeline.percentage
        wanted = count_to_find(count, percentage) if pipeline.scores else 1
        search = _Search(pipeline, cycle, equal, nominated, wanted)
        for nodes in parts:
            yield from search.look_at(nodes, known=names is None)
            if len(search.feasible) >= wanted:
                break
        for node, verdict in search.refused if not search.feasible else ():
            diagnosis.refuse(node.name, verdict)
        self._start = (self._start + len(search.feasible) + len(search.refused)) % len(every)
        return search.feasible

    def _in_turn(self, nodes: list[NodeInfo]) -> Iterator[list[NodeInfo]]:
        """All nodes from where the last pod's search ended, in parts that lie together."""
        start = self._start % len(nodes)
        for first, last in ((start, len(nodes)), (0, start)):
            for begin in range(first, last, _A_PART):
                yield nodes[begin : min(begin + _A_PART, last)]

    def _best(self, pipeline: Pipeline, cycle: Cycle, equal: EqualPods, nodes: list[NodeInfo]) -> NodeInfo:
        """Of the nodes with the highest score, any."""
        indexes = [node.index for node in nodes]
        totals = list(map(equal.points.__getitem__, indexes))
        for values, liked, weighed in zip(equal.raw, equal.liked, equal.normalized, strict=True):
            if liked:
                totals = _added(totals, cycle, nodes, weighed, list(map(values.__getitem__, indexes)))
        before = {step.name: step for step in pipeline.pre_scores}
        for weighed in pipeline.scores:
            step = weighed.step
            if step.local:
                continue
            pre_score = before.get(step.name)
            if pre_score is not None and pre_score.pre_score(cycle, nodes) is not None:
                continue
            totals = _added(totals, cycle, nodes, weighed, step.score(cycle, nodes))
        most = max(totals)
        best = [node for node, total in zip(nodes, totals, strict=True) if total == most]
        return self._random.choice(best)


class _Search:
    """Looks for nodes that will do for one pod."""

    def __init__(
        self,
        pipeline: Pipeline,
        cycle: Cycle,
        equal: EqualPods,
        nominated: Mapping[str, Sequence[PodInfo]],
        wanted: int,
    ) -> None:
        self._pipeline = pipeline
        self._cycle = cycle
        self._equal = equal
        self._nominated = nominated
        self._wanted = wanted
        checks = pipeline.checks
        self._checks = [checks[step.name](cycle) for step in equal.others if step.name not in cycle.skipped]
        self.feasible: list[NodeInfo] = []
        self.refused: list[tuple[NodeInfo, Verdict]] = []

    def look_at(self, nodes: list[NodeInfo], *, known: bool) -> Slices[None]:
        """Go through `nodes` until enough will do. `known`: they lie together in the cluster's list."""
        if not nodes:
            return
        if known and not self._checks and not self._nominated:
            # Nothing but what equal pods share, and often all of these will do.
            first = nodes[0].index
            if self._equal.verdicts[first : first + len(nodes)].count(None) == len(nodes):
                self.feasible += nodes[: self._wanted - len(self.feasible)]
                return
        verdicts, checks, nominated = self._equal.verdicts, self._checks, self._nominated
        asked = 0
        for node in nodes:
            verdict = verdicts[node.index]
            if verdict is UNKNOWN:
                verdict = self._equal.judge(self._cycle, node)
                asked += 1
            if verdict is None:
                for check in checks:
                    verdict = check(node)
                    if verdict is not None:
                        break
            if verdict is None and nominated and node.facts.name in nominated:
                verdict = self._pipeline.filter_beside(self._cycle, node, nominated[node.facts.name])
                asked += 1
            if verdict is None:
                self.feasible.append(node)
                if len(self.feasible) >= self._wanted:
                    return
            else:
                self.refused.append((node, verdict))
            if asked == _A_SLICE:
                asked = 0
                yield
        yield


def _added(
    totals: list[int], cycle: Cycle, nodes: Sequence[NodeInfo], weighed: Weighed, scores: list[int]
) -> list[int]:
    """The sums, with one more score in them. Where it is the same for all nodes it makes no difference."""
    if scores.count(scores[0]) == len(scores):
        return totals
    if weighed.normalizing is not None:
        scores = weighed.normalizing.normalize(cycle, nodes, scores)
    weight = weighed.weight
    return [total + weight * score for total, score in zip(totals, scores, strict=True)]


def _pre_filter(pipeline: Pipeline, cycle: Cycle, diagnosis: Diagnosis) -> frozenset[str] | None:
    """The only nodes that come into question, if some filter knows. Refusals go into `diagnosis`."""
    names: frozenset[str] | None = None
    narrowing: list[str] = []
    for step in pipeline.pre_filters:
        found = step.pre_filter(cycle)
        if found is SKIP:
            cycle.skipped.add(step.name)
        elif isinstance(found, Verdict):
            _refuse_all(diagnosis, found)
            return None
        elif found is not None:
            narrowing.append(step.name)
            names = found if names is None else names & found
            if not names:
                said = f"node(s) didn't satisfy plugin(s) [{' '.join(sorted(narrowing))}] simultaneously"
                if len(narrowing) == 1:
                    said = f"node(s) didn't satisfy plugin {narrowing[0]}"
                diagnosis.steps.update(narrowing)
                _refuse_all(diagnosis, Verdict(Code.UNRESOLVABLE, (said,)))
                return None
    if names is not None:
        said = f"node(s) didn't satisfy plugin(s) [{' '.join(sorted(narrowing))}]"
        diagnosis.absent = Verdict(Code.UNRESOLVABLE, (said,))
        diagnosis.steps.update(narrowing)
    return names


def _refuse_all(diagnosis: Diagnosis, verdict: Verdict) -> None:
    diagnosis.absent = verdict
    diagnosis.pre_filter_message = verdict.message
    diagnosis.blame(verdict)
