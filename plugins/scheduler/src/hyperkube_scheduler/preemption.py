"""Whom to evict so that a pod fits: pure decisions over copies of nodes.

Source of the rules and their order: k8s.io/kubernetes/pkg/scheduler/framework/preemption and plugins/defaultpreemption.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_machinery import meta
from hyperkube_machinery.selectors import LabelSelector, label_selector
from hyperkube_scheduler.framework.diagnosis import Diagnosis
from hyperkube_scheduler.framework.interface import Cycle
from hyperkube_scheduler.framework.pipeline import Pipeline
from hyperkube_scheduler.framework.verdicts import Code, Verdict
from hyperkube_scheduler.nodeinfo import NodeInfo
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.slices import Slices

__all__ = [
    "NO_VICTIMS",
    "Budget",
    "Candidate",
    "find_candidates",
    "pick",
    "potential_nodes",
    "read_budget",
    "select_victims",
    "why_not_eligible",
]

NO_VICTIMS = Verdict(Code.UNRESOLVABLE, ("No preemption victims found for incoming pod",))
_TO_NON_NEGATIVE = 1 << 31  # added to priorities, so that one victim of a negative one isn't worse than many
_A_SLICE = 4  # nodes that are tried
_A_LOOK = 500  # nodes that are out of the question


@dataclass(frozen=True, slots=True)
class Budget:
    """A PodDisruptionBudget: how many of its pods may still go."""

    namespace: str
    selector: LabelSelector
    allowed: int
    disrupted: frozenset[str]
    """Names of pods that are going, and are no longer counted."""

    def covers(self, pod: PodInfo) -> bool:
        return (
            pod.namespace == self.namespace
            and not self.selector.empty
            and self.selector.matches(pod.labels)
            and pod.name not in self.disrupted
        )


def read_budget(tree: Mapping[str, Any]) -> Budget | None:
    """The budget of this object; None for one whose selector can't be read, as it means no pod."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    try:
        selector = label_selector(spec.get("selector"))
    except ValueError:
        return None
    return Budget(
        meta.namespace(tree),
        selector,
        status.get("disruptionsAllowed") or 0,
        frozenset(status.get("disruptedPods") or ()),
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node, and the pods that would have to leave it, the most important first."""

    node: str
    victims: tuple[PodInfo, ...]
    violations: int
    """How many of them a budget would rather keep."""


def why_not_eligible(pod: PodInfo, verdict: Verdict, promised: NodeInfo | None) -> str:
    """Why a pod may not evict others; empty if it may.

    `promised` is its nominated node, if there is one, and `verdict` what was said of it: pods that go from there on its
    account are waited for, unless that wouldn't help.
    """
    if pod.template.never_preempts:
        return "not eligible due to preemptionPolicy=Never."
    if pod.nominated and verdict.code is not Code.UNRESOLVABLE and promised is not None:
        for other in promised.pods.values():
            if other.priority < pod.priority and _is_going_for_us(other):
                return "not eligible due to a terminating pod on the nominated node."
    return ""


def _is_going_for_us(pod: PodInfo) -> bool:
    if not pod.terminating:
        return False
    conditions = (pod.tree.get("status") or {}).get("conditions") or ()
    found: Mapping[str, Any] = next((one for one in conditions if one.get("type") == "DisruptionTarget"), {})
    return found.get("status") == "True" and found.get("reason") == "PreemptionByScheduler"


def potential_nodes(diagnosis: Diagnosis, nodes: Sequence[NodeInfo]) -> list[NodeInfo]:
    """Nodes where it may help that pods leave."""
    return [node for node in nodes if diagnosis.verdict(node.name).code is Code.UNSCHEDULABLE]


def find_candidates(
    pipeline: Pipeline,
    cycle: Cycle,
    nodes: Sequence[NodeInfo],
    nominated: Mapping[str, Sequence[PodInfo]],
    budgets: Sequence[Budget],
    *,
    wanted: int,
    now: float,
) -> Slices[tuple[list[Candidate], dict[str, Verdict]]]:
    """Nodes on which evicting pods makes room, those first where no budget is violated; and why others are none.

    Ends with `wanted` of them, if one at least violates none.
    """
    harmless: list[Candidate] = []
    harmful: list[Candidate] = []
    verdicts: dict[str, Verdict] = {}
    tried = 0
    for number, node in enumerate(nodes, 1):
        if number % _A_LOOK == 0:
            yield
        if min(node.priorities, default=cycle.pod.priority) >= cycle.pod.priority:
            verdicts[node.name] = NO_VICTIMS
            continue
        found = select_victims(pipeline, cycle.clone(), node.copy(), nominated, budgets, now=now)
        tried += 1
        if isinstance(found, Verdict):
            verdicts[node.name] = found
        else:
            (harmful if found.violations else harmless).append(found)
            if harmless and len(harmless) + len(harmful) >= wanted:
                break
        if tried % _A_SLICE == 0:
            yield
    return [*harmless, *harmful], verdicts


def select_victims(
    pipeline: Pipeline,
    cycle: Cycle,
    node: NodeInfo,
    nominated: Mapping[str, Sequence[PodInfo]],
    budgets: Sequence[Budget],
    *,
    now: float,
) -> Candidate | Verdict:
    """The fewest pods of less priority that must leave. `cycle` and `node` are copies, and are changed."""
    pod = cycle.pod
    beside = nominated.get(node.name, ())
    potential = [one for one in node.pods.values() if one.priority < pod.priority]
    if not potential:
        return NO_VICTIMS
    for victim in potential:
        pipeline.remove_pod(cycle, victim, node)
    verdict = pipeline.filter_beside(cycle, node, beside)
    if verdict is not None:
        return verdict
    potential.sort(key=_importance(now))
    violating, others = _by_violation(potential, budgets)
    victims: list[PodInfo] = []

    def must_leave(victim: PodInfo) -> bool:
        """Whether the pod doesn't fit beside this one."""
        pipeline.add_pod(cycle, victim, node)
        if pipeline.filter_beside(cycle, node, beside) is None:
            return False
        pipeline.remove_pod(cycle, victim, node)
        victims.append(victim)
        return True

    violations = sum([must_leave(victim) for victim in violating])
    for victim in others:
        must_leave(victim)
    if not victims:
        return Verdict(Code.ERROR, (f'expected at least one victim pod on node "{node.name}"',))
    victims.sort(key=_importance(now))
    return Candidate(node.name, tuple(victims), violations)


def _importance(now: float) -> Callable[[PodInfo], tuple[int, float]]:
    """Sorts the most important first: of the highest priority, then the one that runs longest."""
    return lambda pod: (-pod.priority, pod.start_time(now))


def _by_violation(pods: Sequence[PodInfo], budgets: Sequence[Budget]) -> tuple[list[PodInfo], list[PodInfo]]:
    """Pods whose leaving would break a budget, if all before them left too; and the others."""
    left = [budget.allowed for budget in budgets]
    violating: list[PodInfo] = []
    others: list[PodInfo] = []
    for pod in pods:
        violates = False
        for index, budget in enumerate(budgets):
            if pod.labels and budget.covers(pod):
                left[index] -= 1
                violates = violates or left[index] < 0
        (violating if violates else others).append(pod)
    return violating, others


def pick(candidates: Sequence[Candidate], now: float) -> Candidate:
    """The one that does the least harm; of equal ones the first."""

    def harm(candidate: Candidate) -> tuple[float, ...]:
        victims = candidate.victims
        highest = victims[0].priority
        return (
            candidate.violations,
            highest,
            sum(victim.priority + _TO_NON_NEGATIVE for victim in victims),
            len(victims),
            -min(victim.start_time(now) for victim in victims if victim.priority == highest),
        )

    return min(candidates, key=harm)
