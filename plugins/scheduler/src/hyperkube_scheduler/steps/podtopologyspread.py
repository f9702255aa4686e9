"""PodTopologySpread: pods of a kind spread evenly over zones, nodes or whatever nodes are labelled by.

Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/podtopologyspread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import add, not_

from hyperkube_machinery.selectors import EVERYTHING, LabelSelector
from hyperkube_scheduler.cache import Cache
from hyperkube_scheduler.framework.events import Action, Concern, Event, Kind
from hyperkube_scheduler.framework.interface import MAX_SCORE, Cycle
from hyperkube_scheduler.framework.verdicts import SKIP, Code, Verdict
from hyperkube_scheduler.nodeinfo import HOSTNAME, NodeFacts, NodeInfo
from hyperkube_scheduler.nodematching import tolerates_all
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.podterms import SpreadConstraint
from hyperkube_scheduler.slices import Slices
from hyperkube_scheduler.tallies import Tally

__all__ = ["SYSTEM_CONSTRAINTS", "PodTopologySpread"]

SYSTEM_CONSTRAINTS = (
    SpreadConstraint(max_skew=3, topology_key=HOSTNAME, hard=False, selector=EVERYTHING),
    SpreadConstraint(max_skew=5, topology_key="topology.kubernetes.io/zone", hard=False, selector=EVERYTHING),
)
"""For pods that say nothing themselves, with the selectors of who owns them. Source: the plugin's defaults."""

_NOWHERE = (1 << 31) - 1
_IGNORED = -1
_A_SLICE = 500  # nodes


@dataclass(slots=True)
class _Spread:
    """How pods are spread over the places of one constraint."""

    constraint: SpreadConstraint
    places: Mapping[str, int]
    by_node: Mapping[str, int]
    counts_itself: bool
    """Whether the pod to be placed is of the kind that is counted."""
    changes: dict[str, int] = field(default_factory=dict)
    """What is only tried on, by place."""
    _ascending: list[tuple[int, str]] | None = None

    def clone(self) -> _Spread:
        copied = _Spread(self.constraint, self.places, self.by_node, self.counts_itself, dict(self.changes))
        copied._ascending = self._sorted()
        return copied

    def _sorted(self) -> list[tuple[int, str]]:
        if self._ascending is None:
            self._ascending = sorted((count, place) for place, count in self.places.items())
        return self._ascending

    def count(self, place: str) -> int:
        return self.places.get(place, 0) + self.changes.get(place, 0)

    def least(self) -> int:
        """In the place with the fewest; 0 where there are fewer places than there should be."""
        domains = len(self.places) + sum(place not in self.places for place in self.changes)
        if domains < self.constraint.min_domains:
            return 0
        if not self.changes:
            return min(self.places.values(), default=_NOWHERE)
        least = min(self.count(place) for place in self.changes)
        untouched = next((count for count, place in self._sorted() if place not in self.changes), _NOWHERE)
        return min(least, untouched)


@dataclass(slots=True)
class _Hard:
    """State of the filter."""

    spreads: list[_Spread]
    floors: list[int]
    """The least of each, which every node is compared with."""

    def clone(self) -> _Hard:
        return _Hard([one.clone() for one in self.spreads], list(self.floors))


@dataclass(slots=True)
class _Soft:
    """State of the score."""

    spreads: list[_Spread]
    requires_all: bool
    columns: list[list[str | None]] = field(default_factory=list)
    """Of each constraint: the places of the nodes that are to be scored."""
    ignored: list[bool] = field(default_factory=list)
    """Which of them lack a label that they should have; empty where that doesn't matter."""
    weights: list[float] = field(default_factory=list)

    def clone(self) -> _Soft:
        return self


class PodTopologySpread:
    """Refuses nodes where there would be too many, and likes those more where there are few.

    `defaults` are for pods without constraints; `selector_of` tells what counts as a pod of the same kind.
    """

    name = "PodTopologySpread"
    local = False
    too_many = Verdict(Code.UNSCHEDULABLE, ("node(s) didn't match pod topology spread constraints",), name)
    no_label = Verdict(
        Code.UNRESOLVABLE, ("node(s) didn't match pod topology spread constraints (missing required label)",), name
    )

    def __init__(
        self,
        selector_of: Callable[[PodInfo], LabelSelector],
        defaults: Sequence[SpreadConstraint] = SYSTEM_CONSTRAINTS,
        *,
        system_defaults: bool = True,
    ) -> None:
        self._selector_of = selector_of
        self._defaults = tuple(defaults)
        self._system_defaults = system_defaults
        self._soft_state = f"{self.name}/score"

    def _constraints(self, pod: PodInfo) -> Sequence[SpreadConstraint]:
        own = pod.template.constraints
        if own or not self._defaults:
            return own
        selector = self._selector_of(pod)
        return () if selector.empty else [one.about(selector) for one in self._defaults]

    def prepare(self, cycle: Cycle) -> Slices[None]:
        """Find out how pods are spread, for filter and score."""
        constraints = self._constraints(cycle.pod)
        hard = [one for one in constraints if one.hard]
        soft = [one for one in constraints if not one.hard]
        if hard:
            spreads = yield from self._spreads(cycle, hard, required=True)
            cycle.states[self.name] = _Hard(spreads, [one.least() for one in spreads])
        if soft:
            # Nodes without a zone still have a name to spread by.
            required = bool(cycle.pod.template.constraints) or not self._system_defaults
            spreads = yield from self._spreads(cycle, soft, required=required)
            cycle.states[self._soft_state] = _Soft(spreads, required)

    def _spreads(
        self, cycle: Cycle, constraints: Sequence[SpreadConstraint], *, required: bool
    ) -> Slices[list[_Spread]]:
        keys = tuple(one.topology_key for one in constraints) if required else ()
        spreads = []
        for constraint in constraints:
            tally = yield from _tally(cycle.cluster, cycle.pod.namespace, constraint.selector)
            everywhere = cycle.pod.template.nodes.anywhere or not constraint.honors_affinity
            if everywhere and not constraint.honors_taints:
                places: Mapping[str, int] = yield from tally.places(
                    (constraint.topology_key, keys), cycle.cluster.nodes
                )
            else:
                places = yield from _places_for(cycle, constraint, keys, tally)
            itself = constraint.selector.matches(cycle.pod.labels)
            spreads.append(_Spread(constraint, places, tally.by_node, itself))
        return spreads

    # The filter

    def pre_filter(self, cycle: Cycle) -> Verdict | frozenset[str] | None:
        return None if self.name in cycle.states else SKIP

    def filter(self, cycle: Cycle, node: NodeInfo) -> Verdict | None:
        return self.checker(cycle)(node)

    def checker(self, cycle: Cycle) -> Callable[[NodeInfo], Verdict | None]:
        state = cycle.states[self.name]
        assert isinstance(state, _Hard)
        # Of each constraint: the label, counts by its values, what was tried on, and the most there may be.
        limits = [
            (
                spread.constraint.topology_key,
                spread.places,
                spread.changes,
                spread.constraint.max_skew + floor - spread.counts_itself,
            )
            for spread, floor in zip(state.spreads, state.floors, strict=True)
        ]

        def check(node: NodeInfo) -> Verdict | None:
            labels = node.facts.labels
            for key, places, changes, most in limits:
                place = labels.get(key)
                if place is None:
                    return self.no_label
                count = places.get(place, 0)
                if changes:
                    count += changes.get(place, 0)
                if count > most:
                    return self.too_many
            return None

        return check

    def add_pod(self, cycle: Cycle, pod: PodInfo, node: NodeInfo) -> None:
        self._change(cycle, pod, node, 1)

    def remove_pod(self, cycle: Cycle, pod: PodInfo, node: NodeInfo) -> None:
        self._change(cycle, pod, node, -1)

    def _change(self, cycle: Cycle, pod: PodInfo, node: NodeInfo, by: int) -> None:
        state = cycle.states[self.name]
        assert isinstance(state, _Hard)
        labels = node.facts.labels
        if pod.namespace != cycle.pod.namespace or pod.terminating:
            return
        if not all(one.constraint.topology_key in labels for one in state.spreads):
            return
        for index, spread in enumerate(state.spreads):
            constraint = spread.constraint
            if constraint.selector.matches(pod.labels) and _counts_here(cycle.pod, constraint, node.facts):
                place = labels[constraint.topology_key]
                spread.changes[place] = spread.changes.get(place, 0) + by
                state.floors[index] = spread.least()

    # The score

    def pre_score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> Verdict | None:
        state = cycle.states.get(self._soft_state)
        if not isinstance(state, _Soft):
            return SKIP
        every = [node.facts.labels for node in nodes]
        for spread in state.spreads:
            key = spread.constraint.topology_key
            state.columns.append([labels.get(key) for labels in every])
        if state.requires_all:
            state.ignored = [None in row for row in zip(*state.columns, strict=True)]
        for spread, column in zip(state.spreads, state.columns, strict=True):
            scored = list(compress(column, map(not_, state.ignored))) if state.ignored else column
            size = len(scored) if spread.constraint.topology_key == HOSTNAME else len(set(scored))
            state.weights.append(math.log(size + 2))
        return None

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[int]:
        state = cycle.states[self._soft_state]
        assert isinstance(state, _Soft)
        totals = [0.5] * len(nodes)  # for rounding
        for spread, column, weight in zip(state.spreads, state.columns, state.weights, strict=True):
            skew = spread.constraint.max_skew - 1
            if spread.constraint.topology_key == HOSTNAME:
                counts = spread.by_node
                parts = [counts.get(node.facts.name, 0) * weight + skew for node in nodes]
                if None in column:
                    parts = [0.0 if place is None else part for place, part in zip(column, parts, strict=True)]
            else:
                worth: dict[str | None, float] = {None: 0.0}
                for place in set(column):
                    if place is not None:
                        worth[place] = spread.count(place) * weight + skew
                parts = [worth[place] for place in column]
            totals = list(map(add, totals, parts))
        scores = list(map(int, totals))
        if state.ignored:
            return [_IGNORED if ignored else score for ignored, score in zip(state.ignored, scores, strict=True)]
        return scores

    def normalize(self, cycle: Cycle, nodes: Sequence[NodeInfo], scores: list[int]) -> list[int]:
        counted = [score for score in scores if score != _IGNORED]
        least, most = min(counted, default=0), max(counted, default=0)
        if most and len(counted) == len(scores):
            whole = MAX_SCORE * (most + least)
            return [(whole - MAX_SCORE * score) // most for score in scores]
        if most == 0:
            return [0 if score == _IGNORED else MAX_SCORE for score in scores]
        return [0 if score == _IGNORED else MAX_SCORE * (most + least - score) // most for score in scores]

    # What makes another attempt worthwhile

    def concerns(self) -> Sequence[Concern]:
        of_pods = Action.ADD | Action.UPDATE_POD_LABEL | Action.UPDATE_POD_TOLERATION | Action.DELETE
        of_nodes = Action.ADD | Action.DELETE | Action.UPDATE_NODE_LABEL | Action.UPDATE_NODE_TAINT
        return [
            Concern((Kind.POD, Kind.PENDING_POD), of_pods, self._pods_moved),
            Concern((Kind.NODE,), of_nodes, self._nodes_moved),
        ]

    def _hard(self, pod: PodInfo) -> list[SpreadConstraint]:
        return [one for one in self._constraints(pod) if one.hard]

    def _pods_moved(self, pod: PodInfo, event: Event) -> bool:
        changed = [one for one in (event.old, event.new) if isinstance(one, PodInfo)]
        if not all(_is_involved(one, pod) for one in changed):
            return False
        constraints = self._hard(pod)
        if len(changed) == 1:
            return any(one.selector.matches(changed[0].labels) for one in constraints)
        old, new = changed
        if (
            new.uid == pod.uid
            and old.template.tolerations != new.template.tolerations
            and any(one.honors_taints for one in constraints)
        ):
            return True
        return any(one.selector.matches(old.labels) != one.selector.matches(new.labels) for one in constraints)

    def _nodes_moved(self, pod: PodInfo, event: Event) -> bool:
        keys = [one.topology_key for one in self._hard(pod)]
        changed = [one for one in (event.old, event.new) if isinstance(one, NodeFacts)]
        count = [all(key in one.labels for key in keys) for one in changed]
        if len(changed) == 1:
            return count[0]
        old, new = changed
        if count[0] != count[1]:
            return True
        if not count[1]:
            return False
        moved = any(old.labels.get(key) != new.labels.get(key) for key in keys)
        return moved or (old.taints, old.soft_taints) != (new.taints, new.soft_taints)


def _tally(cluster: Cache, namespace: str, selector: LabelSelector) -> Slices[Tally]:
    """Pods of the namespace that the selector matches and nobody deletes; an empty selector counts none."""

    def counts(pod: PodInfo) -> bool:
        return not pod.terminating and not selector.empty and selector.matches(pod.labels)

    return cluster.tally(("spread", namespace, selector), namespace, counts)


def _places_for(
    cycle: Cycle, constraint: SpreadConstraint, keys: Sequence[str], tally: Tally
) -> Slices[dict[str, int]]:
    """Counts by place, of the nodes alone that are open to this very pod."""
    places: dict[str, int] = {}
    for number, node in enumerate(cycle.cluster.nodes, 1):
        labels = node.facts.labels
        if all(key in labels for key in keys) and _counts_here(cycle.pod, constraint, node.facts):
            place = labels.get(constraint.topology_key, "")
            places[place] = places.get(place, 0) + tally.by_node.get(node.facts.name, 0)
        if number % _A_SLICE == 0:
            yield
    return places


def _counts_here(pod: PodInfo, constraint: SpreadConstraint, node: NodeFacts) -> bool:
    if constraint.honors_affinity and not pod.template.nodes.matches(node.name, node.labels):
        return False
    return not constraint.honors_taints or tolerates_all(pod.template.tolerations, node.taints)


def _is_involved(changed: PodInfo, pod: PodInfo) -> bool:
    if changed.uid == pod.uid:
        return True
    return bool(changed.node_name or changed.nominated) and changed.namespace == pod.namespace
