"""What nodes have and pods ask for: NodeResourcesFit and NodeResourcesBalancedAllocation.

Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/noderesources.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from hyperkube_scheduler.framework.events import Action, Concern, Event, Kind
from hyperkube_scheduler.framework.interface import MAX_SCORE, Cycle
from hyperkube_scheduler.framework.verdicts import SKIP, Code, Verdict
from hyperkube_scheduler.nodeinfo import NodeFacts, NodeInfo
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.requests import Requests

__all__ = [
    "DEFAULT_RESOURCES",
    "BalancedAllocation",
    "Fit",
    "Resource",
    "Strategy",
    "least_allocated",
    "most_allocated",
    "requested_to_capacity_ratio",
]


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that scores look at, and how much it counts."""

    name: str
    weight: int = 1

    @property
    def optional(self) -> bool:
        """Whether it only counts for pods that ask for it."""
        return self.name not in ("cpu", "memory", "ephemeral-storage")


DEFAULT_RESOURCES = (Resource("cpu"), Resource("memory"))

Strategy: TypeAlias = Callable[[int, int], int]
"""The score, 0 … MAX_SCORE, of a node on which so much of one resource would be taken, of so much that there is."""


def least_allocated(taken: int, capacity: int) -> int:
    return 0 if taken > capacity else (capacity - taken) * MAX_SCORE // capacity


def most_allocated(taken: int, capacity: int) -> int:
    return MAX_SCORE if taken > capacity else taken * MAX_SCORE // capacity


def requested_to_capacity_ratio(shape: Sequence[tuple[int, int]]) -> Strategy:
    """Scores that lie on a line through points of utilization (percent) and score (0 … MAX_SCORE), ascending."""

    def score(taken: int, capacity: int) -> int:
        utilization = MAX_SCORE if taken > capacity else taken * MAX_SCORE // capacity
        for index, (at, value) in enumerate(shape):
            if utilization <= at:
                if index == 0:
                    return value
                before, lower = shape[index - 1]
                # Rounded toward zero, as upstream divides.
                return lower + int((value - lower) * (utilization - before) / (at - before))
        return shape[-1][1]

    return score


class Fit:
    """Refuses nodes that have too little left, and likes those that have much left (or little, by its strategy)."""

    name = "NodeResourcesFit"
    local = True

    def __init__(
        self,
        strategy: Strategy = least_allocated,
        resources: Sequence[Resource] = DEFAULT_RESOURCES,
        *,
        rounds: bool = False,
        ignored: frozenset[str] = frozenset(),
        ignored_groups: frozenset[str] = frozenset(),
    ) -> None:
        """`rounds`: to the nearest, and leave out what scores nothing; `ignored`: extended resources not to look at."""
        self._strategy = strategy
        self._resources = tuple(resources)
        self._rounds = rounds
        self._ignored, self._ignored_groups = ignored, ignored_groups
        self._verdicts: dict[tuple[Code, tuple[str, ...]], Verdict] = {}

    def filter(self, cycle: Cycle, node: NodeInfo) -> Verdict | None:
        wanted, facts = cycle.pod.template.requests, node.facts
        if (
            len(node.pods) < facts.pods
            and wanted.cpu <= facts.cpu - node.cpu
            and wanted.memory <= facts.memory - node.memory
            and wanted.storage <= facts.storage - node.storage
            and not wanted.scalars
        ):
            return None
        missing, hopeless = self._missing(wanted, node)
        if not missing:
            return None
        code = Code.UNRESOLVABLE if hopeless else Code.UNSCHEDULABLE
        key = (code, tuple(missing))
        return self._verdicts.get(key) or self._verdicts.setdefault(key, Verdict(code, key[1], self.name))

    def _missing(self, wanted: Requests, node: NodeInfo) -> tuple[list[str], bool]:
        """Reasons, and whether some request is beyond all that the node has."""
        missing, hopeless = [], False
        facts = node.facts
        if len(node.pods) + 1 > facts.pods:
            missing.append("Too many pods")
        for name in ("cpu", "memory", "ephemeral-storage"):
            amount, capacity = wanted.of(name), facts.allocatable(name)
            if amount > 0 and amount > capacity - node.requested(name):
                missing.append(f"Insufficient {name}")
                hopeless = hopeless or amount > capacity
        for name, amount in wanted.scalars:
            if amount == 0 or self._ignores(name):
                continue
            capacity = facts.scalars.get(name, 0)
            if amount > capacity - node.scalars.get(name, 0):
                missing.append(f"Insufficient {name}")
                hopeless = hopeless or amount > capacity
        return missing, hopeless

    def _ignores(self, name: str) -> bool:
        return name in self._ignored or name.partition("/")[0] in self._ignored_groups

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[int]:
        return [self._score(cycle.pod.template.requests, node) for node in nodes]

    def _score(self, wanted: Requests, node: NodeInfo) -> int:
        total = weights = 0
        for resource in self._resources:
            name = resource.name
            match name:
                case "cpu":
                    amount, taken = wanted.counted_cpu, node.counted_cpu
                case "memory":
                    amount, taken = wanted.counted_memory, node.counted_memory
                case _:
                    amount, taken = wanted.of(name), node.requested(name)
            capacity = node.facts.allocatable(name)
            if not capacity or (resource.optional and not amount):
                continue
            score = self._strategy(taken + amount, capacity)
            if score > 0 or not self._rounds:
                total += score * resource.weight
                weights += resource.weight
        if not weights:
            return 0
        return int(total / weights + 0.5) if self._rounds else total // weights

    def concerns(self) -> Sequence[Concern]:
        pods = (Kind.POD, Kind.PENDING_POD)
        return [
            Concern(pods, Action.DELETE | Action.UPDATE_POD_SCALE_DOWN, _frees_resources),
            Concern((Kind.NODE,), Action.ADD | Action.UPDATE_NODE_ALLOCATABLE, self._has_more_now),
        ]

    def _has_more_now(self, pod: PodInfo, event: Event) -> bool:
        old, new = event.old, event.new
        if not isinstance(new, NodeFacts):
            return True
        wanted = pod.template.requests
        if self._missing(wanted, NodeInfo(new))[0]:
            return False
        if not isinstance(old, NodeFacts) or new.pods > old.pods:
            return True
        return any(wanted.of(name) and new.allocatable(name) > old.allocatable(name) for name in _names(wanted))


def _names(wanted: Requests) -> list[str]:
    return ["cpu", "memory", "ephemeral-storage", *(name for name, _ in wanted.scalars)]


def _frees_resources(pod: PodInfo, event: Event) -> bool:
    old, new = event.old, event.new
    if not isinstance(old, PodInfo):
        return True
    if not isinstance(new, PodInfo):
        return bool(old.node_name or old.nominated)
    if new.uid == pod.uid:
        return True
    wanted = pod.template.requests
    return bool(new.node_name) and any(
        wanted.of(name) and old.requests.of(name) > new.requests.of(name) for name in _names(wanted)
    )


class BalancedAllocation:
    """Likes nodes whose resources the pod would bring into balance: as much of the one taken as of the other."""

    name = "NodeResourcesBalancedAllocation"
    local = True

    def __init__(self, resources: Sequence[Resource] = DEFAULT_RESOURCES) -> None:
        self._resources = tuple(resources)

    def pre_score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> Verdict | None:
        # Or many pods that ask for nothing would all go to the node that is balanced best.
        wanted = cycle.pod.template.requests
        return None if any(wanted.of(resource.name) for resource in self._resources) else SKIP

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[int]:
        return [self._score(cycle.pod.template.requests, node) for node in nodes]

    def _score(self, wanted: Requests, node: NodeInfo) -> int:
        before, after = [], []
        for resource in self._resources:
            name = resource.name
            amount, capacity = wanted.of(name), node.facts.allocatable(name)
            if not capacity or (resource.optional and not amount):
                continue
            taken = node.requested(name)
            before.append(min(taken / capacity, 1.0))
            after.append(min((taken + amount) / capacity, 1.0))
        half = MAX_SCORE // 2
        return half + (half + _balance(after) - _balance(before)) // 2


def _balance(shares: Sequence[float]) -> int:
    """MAX_SCORE where all are the same, less the further they are apart."""
    if len(shares) == 2:
        deviation = abs(shares[0] - shares[1]) / 2
    elif len(shares) > 2:
        mean = sum(shares) / len(shares)
        deviation = (sum((share - mean) ** 2 for share in shares) / len(shares)) ** 0.5
    else:
        deviation = 0.0
    return int((1 - deviation) * MAX_SCORE)
