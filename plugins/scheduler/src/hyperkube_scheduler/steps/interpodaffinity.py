"""InterPodAffinity: pods that want to be near each other, or far from each other.

Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/interpodaffinity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hyperkube_machinery.selectors import LabelSelector
from hyperkube_scheduler.cache import Cache
from hyperkube_scheduler.framework.events import Action, Concern, Event, Kind
from hyperkube_scheduler.framework.interface import MAX_SCORE, Cycle
from hyperkube_scheduler.framework.verdicts import SKIP, Code, Verdict
from hyperkube_scheduler.nodeinfo import NodeFacts, NodeInfo
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.podterms import AffinityTerm
from hyperkube_scheduler.slices import Slices
from hyperkube_scheduler.tallies import Tally

__all__ = ["InterPodAffinity"]

_Place = tuple[str, str]  # a label and its value


@dataclass(slots=True)
class _Required:
    """State of the filter: for each term, pods by the value of the term's label. `changes`: what is only tried on."""

    affinity: list[tuple[AffinityTerm, Mapping[str, int]]] = field(default_factory=list)
    far: dict[str, list[Mapping[str, int]]] = field(default_factory=dict)
    """By label: places of pods that this one doesn't want near it."""
    unwanted: dict[str, list[Mapping[str, int]]] = field(default_factory=dict)
    """By label: places of pods that don't want this one near them."""
    affinity_changes: dict[_Place, int] = field(default_factory=dict)
    far_changes: dict[_Place, int] = field(default_factory=dict)
    unwanted_changes: dict[_Place, int] = field(default_factory=dict)

    def clone(self) -> _Required:
        return _Required(
            self.affinity,
            dict(self.far),
            dict(self.unwanted),
            dict(self.affinity_changes),
            dict(self.far_changes),
            dict(self.unwanted_changes),
        )

    def nobody_near(self) -> bool:
        """Whether nowhere in the cluster there is a pod to be near to."""
        if any(self.affinity_changes.values()):
            return False
        return not any(any(places.values()) for _, places in self.affinity)


@dataclass(slots=True)
class _Preferred:
    """State of the score: how much each place of a label is liked."""

    parts: list[tuple[str, Mapping[str, int], int]]

    def clone(self) -> _Preferred:
        return self


class InterPodAffinity:
    """Refuses nodes by required terms, of the pod and of those that are there, and likes them by preferred ones."""

    name = "InterPodAffinity"
    local = False
    not_near = Verdict(Code.UNRESOLVABLE, ("node(s) didn't match pod affinity rules",), name)
    not_far = Verdict(Code.UNSCHEDULABLE, ("node(s) didn't match pod anti-affinity rules",), name)
    unwanted = Verdict(Code.UNSCHEDULABLE, ("node(s) didn't satisfy existing pods anti-affinity rules",), name)

    def __init__(self, *, hard_weight: int = 1, ignores_preferences_of_others: bool = False) -> None:
        """`hard_weight`: how much it counts for a score that a pod that is there requires this one near it."""
        self._hard_weight = hard_weight
        self._ignores = ignores_preferences_of_others
        self._soft_state = f"{self.name}/score"

    def prepare(self, cycle: Cycle) -> Slices[None]:
        """Find out where the pods are that the pod's terms are about."""
        pod, cluster = cycle.pod, cycle.cluster
        template, labels = pod.template, cluster.namespace_labels(pod.namespace)
        state = _Required()
        for term, places in cluster.anti_affinity.matching(pod, labels, cluster.node):
            state.unwanted.setdefault(term.topology_key, []).append(places)
        if template.affinity:
            tally = yield from _tally(cluster, template.affinity)  # of pods that all terms mean at once
            for term in template.affinity:
                places = yield from _places(tally, term, cluster)
                state.affinity.append((term, places))
        for term in template.anti_affinity:
            tally = yield from _tally(cluster, (term,))
            places = yield from _places(tally, term, cluster)
            state.far.setdefault(term.topology_key, []).append(places)
        if state.unwanted or state.affinity or state.far:
            cycle.states[self.name] = state
        parts: list[tuple[str, Mapping[str, int], int]] = []
        for terms, sign in ((template.preferred_affinity, 1), (template.preferred_anti_affinity, -1)):
            for term in terms:
                tally = yield from _tally(cluster, (term,))
                places = yield from _places(tally, term, cluster)
                parts.append((term.topology_key, places, sign * term.weight))
        if parts or not self._ignores:
            parts += self._preferences_of_others(pod, cluster, labels)
        if parts:
            cycle.states[self._soft_state] = _Preferred(parts)

    def _preferences_of_others(
        self, pod: PodInfo, cluster: Cache, labels: Mapping[str, str]
    ) -> list[tuple[str, Mapping[str, int], int]]:
        parts: list[tuple[str, Mapping[str, int], int]] = []
        if self._hard_weight:
            for term, places in cluster.affinity.matching(pod, labels, cluster.node):
                parts.append((term.topology_key, places, self._hard_weight))
        for term, places in cluster.preferred_affinity.matching(pod, labels, cluster.node):
            parts.append((term.topology_key, places, term.weight))
        for term, places in cluster.preferred_anti_affinity.matching(pod, labels, cluster.node):
            parts.append((term.topology_key, places, -term.weight))
        return parts

    # The filter

    def pre_filter(self, cycle: Cycle) -> Verdict | frozenset[str] | None:
        return None if self.name in cycle.states else SKIP

    def filter(self, cycle: Cycle, node: NodeInfo) -> Verdict | None:
        return self.checker(cycle)(node)

    def checker(self, cycle: Cycle) -> Callable[[NodeInfo], Verdict | None]:
        state = cycle.states[self.name]
        assert isinstance(state, _Required)
        far, unwanted = _taken(state.far, state.far_changes), _taken(state.unwanted, state.unwanted_changes)
        near = bool(state.affinity)

        def check(node: NodeInfo) -> Verdict | None:
            labels = node.facts.labels
            if near and not self._is_near(cycle, state, labels):
                return self.not_near
            for key, is_taken in far:
                if key in labels and is_taken(labels[key]):
                    return self.not_far
            for key, is_taken in unwanted:
                if key in labels and is_taken(labels[key]):
                    return self.unwanted
            return None

        return check

    def _is_near(self, cycle: Cycle, state: _Required, labels: Mapping[str, str]) -> bool:
        near = True
        for term, places in state.affinity:
            value = labels.get(term.topology_key)
            if value is None:
                return False
            if places.get(value, 0) + state.affinity_changes.get((term.topology_key, value), 0) <= 0:
                near = False
        # The first of its kind would else never find a place: it wants to be near others like itself.
        return near or (state.nobody_near() and _mean(cycle.pod.template.affinity, cycle.pod, cycle.cluster))

    def add_pod(self, cycle: Cycle, pod: PodInfo, node: NodeInfo) -> None:
        self._change(cycle, pod, node, 1)

    def remove_pod(self, cycle: Cycle, pod: PodInfo, node: NodeInfo) -> None:
        self._change(cycle, pod, node, -1)

    def _change(self, cycle: Cycle, pod: PodInfo, node: NodeInfo, by: int) -> None:
        state, cluster, labels = cycle.states[self.name], cycle.cluster, node.facts.labels
        assert isinstance(state, _Required)

        def change(changes: dict[_Place, int], key: str) -> None:
            if key in labels:
                place = (key, labels[key])
                changes[place] = changes.get(place, 0) + by

        for term in pod.template.anti_affinity:
            if _mean((term,), cycle.pod, cluster):
                state.unwanted.setdefault(term.topology_key, [])
                change(state.unwanted_changes, term.topology_key)
        if cycle.pod.template.affinity and _mean(cycle.pod.template.affinity, pod, cluster):
            for term in cycle.pod.template.affinity:
                change(state.affinity_changes, term.topology_key)
        for term in cycle.pod.template.anti_affinity:
            if _mean((term,), pod, cluster):
                change(state.far_changes, term.topology_key)

    # The score

    def pre_score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> Verdict | None:
        return None if self._soft_state in cycle.states else SKIP

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[int]:
        state = cycle.states[self._soft_state]
        assert isinstance(state, _Preferred)
        totals = [0] * len(nodes)
        for key, places, weight in state.parts:
            liked = [
                places.get(node.facts.labels[key], 0) * weight if key in node.facts.labels else 0 for node in nodes
            ]
            totals = [total + part for total, part in zip(totals, liked, strict=True)]
        return totals

    def normalize(self, cycle: Cycle, nodes: Sequence[NodeInfo], scores: list[int]) -> list[int]:
        least, most = min(scores), max(scores)
        if least == most:
            return [0] * len(scores)
        return [int(MAX_SCORE * ((score - least) / (most - least))) for score in scores]

    # What makes another attempt worthwhile

    def concerns(self) -> Sequence[Concern]:
        of_pods = Action.ADD | Action.UPDATE_POD_LABEL | Action.DELETE
        return [
            Concern((Kind.POD, Kind.PENDING_POD), of_pods, _pods_moved),
            Concern((Kind.NODE,), Action.ADD | Action.UPDATE_NODE_LABEL, _nodes_moved),
        ]


def _taken(
    listed: Mapping[str, Sequence[Mapping[str, int]]], changes: Mapping[_Place, int]
) -> list[tuple[str, Callable[[str], object]]]:
    """By label: whether somebody is where the label has a value."""

    def asking(key: str, every: Sequence[Mapping[str, int]]) -> Callable[[str], object]:
        if len(every) == 1 and not changes:
            return every[0].get  # a count is as good as an answer

        def is_taken(value: str) -> bool:
            return changes.get((key, value), 0) + sum(places.get(value, 0) for places in every) > 0

        return is_taken

    return [(key, asking(key, every)) for key, every in listed.items()]


def _mean(terms: Sequence[AffinityTerm], pod: PodInfo, cluster: Cache) -> bool:
    """Whether all of `terms` mean `pod`."""
    labels = cluster.namespace_labels(pod.namespace)
    return all(term.matches(pod.namespace, pod.labels, labels) for term in terms)


def _tally(cluster: Cache, terms: Sequence[AffinityTerm]) -> Slices[Tally]:
    """Pods that all of `terms` mean."""
    asked = tuple(_about(term) for term in terms)
    namespaces = asked[0][0]
    alone = all(selector.nothing and len(names) == 1 and names == namespaces for names, selector, _ in asked)

    def counts(pod: PodInfo) -> bool:
        return _mean(terms, pod, cluster)

    return cluster.tally(("terms", asked), next(iter(namespaces)) if alone else None, counts)


def _about(term: AffinityTerm) -> tuple[frozenset[str], LabelSelector, LabelSelector]:
    return term.namespaces, term.namespace_selector, term.selector


def _places(tally: Tally, term: AffinityTerm, cluster: Cache) -> Slices[dict[str, int]]:
    return tally.places((term.topology_key, (term.topology_key,)), cluster.nodes)


def _all_match(terms: Sequence[AffinityTerm], pod: PodInfo) -> bool:
    """As hints have it: namespaces are only told apart by name."""
    return bool(terms) and all(term.matches(pod.namespace, pod.labels, {}) for term in terms)


def _pods_moved(pod: PodInfo, event: Event) -> bool:
    old = event.old if isinstance(event.old, PodInfo) else None
    new = event.new if isinstance(event.new, PodInfo) else None
    if new is not None and old is not None and new.uid == pod.uid:
        return True
    if any(one is not None and not (one.node_name or one.nominated) for one in (old, new)):
        return False
    near, far = pod.template.affinity, pod.template.anti_affinity
    if new is not None and old is not None:
        if not _all_match(near, old) and _all_match(near, new):
            return True
        return _all_match(far, old) and not _all_match(far, new)
    if new is not None:
        return _all_match(near, new)
    assert old is not None
    return _all_match(far, old) or _all_match(old.template.anti_affinity, pod)


def _nodes_moved(pod: PodInfo, event: Event) -> bool:
    old, new = event.old, event.new
    if not isinstance(new, NodeFacts):
        return True
    near, far = pod.template.affinity, pod.template.anti_affinity
    if not isinstance(old, NodeFacts):
        return bool(far) or any(term.topology_key in new.labels for term in near)
    before, after = old.labels, new.labels
    for term in near:
        if term.topology_key in after and before.get(term.topology_key) != after[term.topology_key]:
            return True
    return any(
        term.topology_key in before and before[term.topology_key] != after.get(term.topology_key) for term in far
    )
