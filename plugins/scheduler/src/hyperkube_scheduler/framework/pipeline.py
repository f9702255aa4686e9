"""The steps of one profile, sorted by extension point, and the running of them on one node.

Source: k8s.io/kubernetes/pkg/scheduler/framework/runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from hyperkube_scheduler.framework.interface import (
    Bind,
    Compiled,
    Concerned,
    Cycle,
    Filter,
    Following,
    Normalize,
    Permit,
    PostBind,
    PostFilter,
    PreBind,
    PreEnqueue,
    PreFilter,
    Prepare,
    PreScore,
    QueueSort,
    Reserve,
    Score,
    Step,
)
from hyperkube_scheduler.framework.verdicts import Verdict

if TYPE_CHECKING:
    from hyperkube_scheduler.nodeinfo import NodeInfo
    from hyperkube_scheduler.podinfo import PodInfo

__all__ = ["Check", "Pipeline", "Weighed"]


Check: TypeAlias = "Callable[[NodeInfo], Verdict | None]"
"""What one filter says of a node, in one attempt."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """A score and how much it counts."""

    step: Score
    weight: int
    normalizing: Normalize | None
    """The same step, if its scores are only comparable once all nodes have theirs."""


def _check_of(step: Filter) -> Callable[[Cycle], Check]:
    if isinstance(step, Compiled):
        return step.checker
    return lambda cycle: partial(step.filter, cycle)


class Pipeline:
    """What a profile has its pods go through."""

    def __init__(
        self,
        name: str,
        points: Mapping[str, Sequence[Step]],
        weights: Mapping[str, int],
        percentage: int | None = None,
    ) -> None:
        """`points`: steps in their order, by extension point; `percentage`: of nodes to score, if this profile says."""
        self.name = name
        self.percentage = percentage

        def at(point: str) -> Iterable[Step]:
            return points.get(point, ())

        self.pre_enqueue = [step for step in at("preEnqueue") if isinstance(step, PreEnqueue)]
        self.queue_sort = next(step for step in at("queueSort") if isinstance(step, QueueSort))
        self.pre_filters = [step for step in at("preFilter") if isinstance(step, PreFilter)]
        self.filters = [step for step in at("filter") if isinstance(step, Filter)]
        self.post_filters = [step for step in at("postFilter") if isinstance(step, PostFilter)]
        self.pre_scores = [step for step in at("preScore") if isinstance(step, PreScore)]
        self.scores = [
            Weighed(step, weights.get(step.name, 1), step if isinstance(step, Normalize) else None)
            for step in at("score")
            if isinstance(step, Score)
        ]
        self.checks = {step.name: _check_of(step) for step in self.filters}
        """By filter: what makes its check for an attempt."""
        self.reserves = [step for step in at("reserve") if isinstance(step, Reserve)]
        self.permits = [step for step in at("permit") if isinstance(step, Permit)]
        self.pre_binds = [step for step in at("preBind") if isinstance(step, PreBind)]
        self.binds = [step for step in at("bind") if isinstance(step, Bind)]
        self.post_binds = [step for step in at("postBind") if isinstance(step, PostBind)]
        every = {step.name: step for listed in points.values() for step in listed}
        self.concerned = [step for step in every.values() if isinstance(step, Concerned)]
        self.prepares = [step for step in every.values() if isinstance(step, Prepare)]
        self._following = [step for step in self.pre_filters if isinstance(step, Following)]

    def filter(self, cycle: Cycle, node: NodeInfo) -> Verdict | None:
        """Ask all filters about one node; the first that refuses decides."""
        for step in self.filters:
            if step.name not in cycle.skipped:
                verdict = step.filter(cycle, node)
                if verdict is not None:
                    return verdict
        return None

    def filter_beside(self, cycle: Cycle, node: NodeInfo, nominated: Iterable[PodInfo]) -> Verdict | None:
        """The same where pods were promised this node: it must do with those that go before, and also without.

        Without, because they may never come, and then nothing may depend on them.
        """
        before = [one for one in nominated if one.priority >= cycle.pod.priority and one.uid != cycle.pod.uid]
        if before:
            tried, crowded = cycle.clone(), node.copy()
            for pod in before:
                self.add_pod(tried, pod, crowded)
            verdict = self.filter(tried, crowded)
            if verdict is not None:
                return verdict
        return self.filter(cycle, node)

    def add_pod(self, cycle: Cycle, pod: PodInfo, node: NodeInfo) -> None:
        """As if `pod` were on `node`, both of which are only tried on."""
        node.add(pod)
        for step in self._following:
            if step.name not in cycle.skipped:
                step.add_pod(cycle, pod, node)

    def remove_pod(self, cycle: Cycle, pod: PodInfo, node: NodeInfo) -> None:
        """As if it weren't."""
        node.remove(pod)
        for step in self._following:
            if step.name not in cycle.skipped:
                step.remove_pod(cycle, pod, node)
