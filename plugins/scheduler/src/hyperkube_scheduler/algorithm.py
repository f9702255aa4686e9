"""Which node a pod goes to: the nodes that will do, and the best of them. Nothing is changed here.

Source of the order and the numbers: k8s.io/kubernetes/pkg/scheduler/schedule_one.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from random import Random

from hyperkube_scheduler.framework.diagnosis import Diagnosis
from hyperkube_scheduler.framework.interface import Cycle, Normalize, Score
from hyperkube_scheduler.framework.pipeline import Pipeline
from hyperkube_scheduler.framework.verdicts import SKIP, Code, Verdict
from hyperkube_scheduler.nodeinfo import NodeInfo
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.sharing import UNKNOWN, EqualPods, Sharing
from hyperkube_scheduler.slices import Slices

__all__ = ["Algorithm", "Choice", "count_to_find"]

_FEWEST_TO_FIND = 100
_LEAST_PERCENTAGE = 5
_A_SLICE = 32
"""Nodes that are asked about anew between two chances for others to go on; known ones count a sixteenth of that."""
_KNOWN_A_SLICE = 512


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
        nodes: Iterable[NodeInfo] = self._in_turn(every)
        count = len(every)
        if names is not None:
            found = [node for name in sorted(names) if (node := cycle.cluster.node(name)) is not None]
            nodes, count = found, len(found)
        percentage = self._percentage if pipeline.percentage is None else pipeline.percentage
        wanted = count_to_find(count, percentage) if pipeline.scores else 1
        others = [step for step in equal.others if step.name not in cycle.skipped]
        verdicts = equal.verdicts
        feasible: list[NodeInfo] = []
        refused: list[tuple[NodeInfo, Verdict]] = []
        asked = looked = 0
        for node in nodes:
            verdict = verdicts[node.index]
            looked += 1
            if verdict is UNKNOWN:
                verdict = equal.judge(cycle, node)
                asked += 1
            if verdict is None and others:
                verdict = next((no for step in others if (no := step.filter(cycle, node)) is not None), None)
            if verdict is None and nominated and node.facts.name in nominated:
                verdict = pipeline.filter_beside(cycle, node, nominated[node.facts.name])
                asked += 1
            if verdict is None:
                feasible.append(node)
                if len(feasible) >= wanted:
                    break
            else:
                refused.append((node, verdict))
            if asked == _A_SLICE or looked == _KNOWN_A_SLICE:
                asked = looked = 0
                yield
        for node, verdict in refused if not feasible else ():
            diagnosis.refuse(node.name, verdict)
        if every:
            self._start = (self._start + len(feasible) + len(refused)) % len(every)
        return feasible

    def _in_turn(self, nodes: list[NodeInfo]) -> Iterator[NodeInfo]:
        start = self._start % len(nodes)
        return chain(nodes[start:], nodes[:start]) if start else iter(nodes)

    def _best(self, pipeline: Pipeline, cycle: Cycle, equal: EqualPods, nodes: list[NodeInfo]) -> NodeInfo:
        """Of the nodes with the highest score, any."""
        points = equal.points
        indexes = [node.index for node in nodes]
        totals = [points[index] for index in indexes]
        for values, (step, weight) in zip(equal.raw, equal.normalized, strict=True):
            totals = _added(totals, cycle, nodes, step, weight, [values[index] for index in indexes])
        before = {step.name: step for step in pipeline.pre_scores}
        for weighed in pipeline.scores:
            step = weighed.step
            if step.local:
                continue
            pre_score = before.get(step.name)
            if pre_score is not None and pre_score.pre_score(cycle, nodes) is not None:
                continue
            totals = _added(totals, cycle, nodes, step, weighed.weight, step.score(cycle, nodes))
        most = max(totals)
        best = [node for node, total in zip(nodes, totals, strict=True) if total == most]
        return self._random.choice(best)


def _added(
    totals: list[int], cycle: Cycle, nodes: Sequence[NodeInfo], step: Score, weight: int, scores: list[int]
) -> list[int]:
    """The sums, with one more score in them. Where it is the same for all nodes it makes no difference."""
    if scores.count(scores[0]) == len(scores):
        return totals
    if isinstance(step, Normalize):
        scores = step.normalize(cycle, nodes, scores)
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
