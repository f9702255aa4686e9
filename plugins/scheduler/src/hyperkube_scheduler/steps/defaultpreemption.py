"""DefaultPreemption: makes room for pods of higher priority.

Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultpreemption.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Protocol

from hyperkube_scheduler.framework.diagnosis import Diagnosis
from hyperkube_scheduler.framework.events import Action, Concern, Kind
from hyperkube_scheduler.framework.interface import Cycle, Nomination
from hyperkube_scheduler.framework.pipeline import Pipeline
from hyperkube_scheduler.framework.verdicts import Code, Verdict
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.preemption import (
    Budget,
    Candidate,
    find_candidates,
    pick,
    potential_nodes,
    why_not_eligible,
)
from hyperkube_scheduler.slices import Slices

__all__ = ["DefaultPreemption", "Evicting"]

_NOT_HELPFUL = Verdict(Code.UNRESOLVABLE, ("Preemption is not helpful for scheduling",))


class Evicting(Protocol):
    """Who carries out what is decided here."""

    def begin(self, preemptor: PodInfo, candidate: Candidate) -> None:
        """Evict the victims, without anybody waiting for it."""

    def is_running(self, preemptor: PodInfo) -> bool:
        """Whether victims of this pod are still to be told."""


class DefaultPreemption:
    """Evicts pods of lower priority where that makes room, as few and as unimportant ones as possible."""

    name = "DefaultPreemption"

    def __init__(
        self,
        evicting: Evicting,
        pipeline_of: Callable[[], Pipeline],
        nominated: Callable[[], Mapping[str, Sequence[PodInfo]]],
        budgets: Callable[[], Sequence[Budget]],
        now: Callable[[], float],
        random: Random,
        *,
        percentage: int = 10,
        least: int = 100,
    ) -> None:
        """`percentage` and `least`: how many of the nodes that come into question are compared."""
        self._evicting = evicting
        self._pipeline_of = pipeline_of
        self._nominated = nominated
        self._budgets = budgets
        self._now = now
        self._random = random
        self._percentage, self._least = percentage, least

    def pre_enqueue(self, pod: PodInfo) -> Verdict | None:
        if not self._evicting.is_running(pod):
            return None
        return Verdict(Code.UNRESOLVABLE, ("waiting for the preemption for this pod to be finished",), self.name)

    def post_filter(self, cycle: Cycle, diagnosis: Diagnosis) -> Slices[tuple[Nomination | None, Verdict | None]]:
        pod, cluster, now = cycle.pod, cycle.cluster, self._now()
        promised = cluster.node(pod.nominated) if pod.nominated else None
        if reason := why_not_eligible(pod, diagnosis.verdict(pod.nominated), promised):
            return None, _refusal(reason)
        nodes = potential_nodes(diagnosis, cluster.nodes)
        candidates: list[Candidate] = []
        verdicts: dict[str, Verdict] = {}
        if nodes:
            start = self._random.randrange(len(nodes))
            candidates, verdicts = yield from find_candidates(
                self._pipeline_of(),
                cycle,
                nodes[start:] + nodes[:start],
                self._nominated(),
                self._budgets(),
                wanted=min(max(len(nodes) * self._percentage // 100, self._least), len(nodes)),
                now=now,
            )
        if not candidates:
            refused = Diagnosis(len(cluster.nodes), verdicts, _NOT_HELPFUL)
            return Nomination(""), _refusal(refused.message)
        best = pick(candidates, now)
        self._evicting.begin(pod, best)
        return Nomination(best.node), None

    def concerns(self) -> Sequence[Concern]:
        # Whether to try again is for those to say who refused the pod; but a pod that is kept out is asked about.
        return [Concern((Kind.POD, Kind.PENDING_POD), Action.DELETE, lambda pod, event: False)]


def _refusal(message: str) -> Verdict:
    return Verdict(Code.UNSCHEDULABLE, (f"preemption: {message}",), DefaultPreemption.name)
