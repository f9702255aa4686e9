"""How many pods of some kind are on each node, in each zone, or whatever nodes are labelled by; kept up to date.

Spreading and affinity ask this of every pod they place. Counting anew would mean looking at each pod of the cluster
each time, so what was counted once is kept and changed with every pod that comes and goes:

    Tally       pods that some pod asks about, such as those of its own ReplicaSet      made when first asked for
    TermBook    what the pods that are there ask about others                           always kept
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TypeAlias

from hyperkube_scheduler.nodeinfo import NodeInfo
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.podterms import AffinityTerm
from hyperkube_scheduler.slices import Slices

__all__ = ["Tallies", "Tally", "TermBook", "Topology"]

_MOST = 1000
"""How many tallies are kept; the one that wasn't asked for longest goes first."""
_A_SLICE = 500  # pods, or nodes

Topology: TypeAlias = tuple[str, tuple[str, ...]]
"""A node's label whose values count as places, and labels that a node must have to count at all."""


class Tally:
    """Counts of the pods that `counts` accepts."""

    __slots__ = ("_places", "by_node", "counts", "namespace")

    def __init__(self, namespace: str | None, counts: Callable[[PodInfo], bool]) -> None:
        self.namespace = namespace
        self.counts = counts
        self.by_node: dict[str, int] = {}
        self._places: dict[Topology, dict[str, int]] = {}

    def change(self, pod: PodInfo, node: str, labels: Mapping[str, str] | None, by: int) -> None:
        """A pod came (+1) or went (-1); `labels` are its node's, None if there is no such node."""
        if not self.counts(pod):
            return
        left = self.by_node.get(node, 0) + by
        if left:
            self.by_node[node] = left
        else:
            self.by_node.pop(node, None)
        if labels is not None:
            for (label, required), places in self._places.items():
                if all(one in labels for one in required):
                    value = labels.get(label, "")
                    places[value] = places.get(value, 0) + by

    def places(self, topology: Topology, nodes: Sequence[NodeInfo]) -> Slices[dict[str, int]]:
        """Counts by the values of a label over all nodes of the cluster, also those of 0. Not to be changed."""
        found = self._places.get(topology)
        if found is not None:
            return found
        found = {}
        label, required = topology[0], frozenset(topology[1])
        by_node = self.by_node
        for number, node in enumerate(nodes, 1):
            labels = node.facts.labels
            if required <= labels.keys():
                value = labels.get(label, "")
                found[value] = found.get(value, 0) + by_node.get(node.facts.name, 0)
            if number % _A_SLICE == 0:
                yield
        self._places[topology] = found
        return found

    def forget_places(self) -> None:
        """Nodes came, went, or have other labels."""
        self._places.clear()


class Tallies:
    """The tallies that are kept, found by what they count."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Tally] = OrderedDict()
        self._by_namespace: dict[str | None, dict[Hashable, Tally]] = {}

    def get(
        self, key: Hashable, namespace: str | None, counts: Callable[[PodInfo], bool], pods: Callable[[], list[PodInfo]]
    ) -> Slices[Tally]:
        """The tally of this key, made from `pods` if there is none. `namespace`: the only one it counts in, if so."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        tally = Tally(namespace, counts)
        for number, pod in enumerate(pods(), 1):
            tally.change(pod, pod.node_name, None, 1)
            if number % _A_SLICE == 0:
                yield
        self._kept[key] = tally
        self._by_namespace.setdefault(namespace, {})[key] = tally
        if len(self._kept) > _MOST:
            self._drop(next(iter(self._kept)))
        return tally

    def change(self, pod: PodInfo, node: str, labels: Mapping[str, str] | None, by: int) -> None:
        for namespace in (pod.namespace, None):
            for tally in self._by_namespace.get(namespace, {}).values():
                tally.change(pod, node, labels, by)

    def forget_places(self) -> None:
        for tally in self._kept.values():
            tally.forget_places()

    def forget_across_namespaces(self) -> None:
        """Namespaces have other labels: drop what may have chosen by them."""
        for key in list(self._by_namespace.get(None, {})):
            self._drop(key)

    def _drop(self, key: Hashable) -> None:
        tally = self._kept.pop(key)
        of_namespace = self._by_namespace[tally.namespace]
        del of_namespace[key]
        if not of_namespace:
            del self._by_namespace[tally.namespace]

    def __len__(self) -> int:
        return len(self._kept)


class TermBook:
    """The affinity terms of the pods that are there, each with how many pods of each place have it."""

    def __init__(self, terms_of: Callable[[PodInfo], tuple[AffinityTerm, ...]]) -> None:
        self._terms_of = terms_of
        self._nodes: dict[AffinityTerm, dict[str, int]] = {}
        self._places: dict[AffinityTerm, dict[str, int]] = {}

    def change(self, pod: PodInfo, node: str, labels: Mapping[str, str] | None, by: int) -> None:
        """A pod came (+1) or went (-1); `labels` are its node's, None if there is no such node."""
        for term in self._terms_of(pod):
            nodes = self._nodes.setdefault(term, {})
            left = nodes.get(node, 0) + by
            if left:
                nodes[node] = left
            else:
                nodes.pop(node, None)
                if not nodes:
                    del self._nodes[term]
                    self._places.pop(term, None)
                    continue
            places = self._places.get(term)
            if places is not None and labels is not None and term.topology_key in labels:
                value = labels[term.topology_key]
                places[value] = places.get(value, 0) + by

    def forget_places(self) -> None:
        self._places.clear()

    def matching(
        self, pod: PodInfo, namespace_labels: Mapping[str, str], node: Callable[[str], NodeInfo | None]
    ) -> Iterator[tuple[AffinityTerm, dict[str, int]]]:
        """The terms that mean `pod`, with how many pods have them by the value of the term's label."""
        for term in self._nodes:
            if term.matches(pod.namespace, pod.labels, namespace_labels):
                yield term, self._counted(term, node)

    def _counted(self, term: AffinityTerm, node: Callable[[str], NodeInfo | None]) -> dict[str, int]:
        found = self._places.get(term)
        if found is None:
            found = self._places[term] = {}
            for name, count in self._nodes[term].items():
                info = node(name)
                if info is not None and term.topology_key in info.facts.labels:
                    value = info.facts.labels[term.topology_key]
                    found[value] = found.get(value, 0) + count
        return found

    def __bool__(self) -> bool:
        return bool(self._nodes)
