"""What the scheduler knows of the cluster: nodes, the pods on them, and those it has placed that aren't bound yet.

    watch ──→ add_pod ─┐                                  ┌─→ nodes, in the order in which they are tried
    loop ──→ assume ───┴→ NodeInfo, Tallies, TermBooks ───┴─→ changes: which of them, since a given moment

It is changed between attempts only, so an attempt needs no copy of it: what is learnt meanwhile waits (see `changes`).
Source of the semantics: k8s.io/kubernetes/pkg/scheduler/backend/cache.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from itertools import zip_longest

from hyperkube_scheduler.nodeinfo import NodeFacts, NodeInfo
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.slices import Slices
from hyperkube_scheduler.tallies import Tallies, Tally, TermBook

__all__ = ["Cache"]

_LONGEST_LOG = 100_000
_NO_LABELS: Mapping[str, str] = {}


class Cache:
    """Nodes and placed pods. Not for pods that wait: see `queue`."""

    def __init__(self) -> None:
        self._by_name: dict[str, NodeInfo] = {}
        self._pods: dict[str, PodInfo] = {}
        self._assumed: set[str] = set()
        self._by_namespace: dict[str, dict[str, PodInfo]] = {}
        self._strays: dict[str, dict[str, PodInfo]] = {}  # by the name of the node that isn't known (yet, or any more)
        self._order: list[NodeInfo] | None = []
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._images: dict[str, int] = {}
        self._tallies = Tallies()
        self.anti_affinity = TermBook(lambda pod: pod.template.anti_affinity)
        self.affinity = TermBook(lambda pod: pod.template.affinity)
        self.preferred_affinity = TermBook(lambda pod: pod.template.preferred_affinity)
        self.preferred_anti_affinity = TermBook(lambda pod: pod.template.preferred_anti_affinity)
        self._books = (self.anti_affinity, self.affinity, self.preferred_affinity, self.preferred_anti_affinity)
        self.epoch = 0
        """Another number for another list of nodes."""
        self.changed: list[int] = []
        """Places in `nodes` of what changed, one after another, since `epoch` got its number."""

    # Reading

    @property
    def nodes(self) -> list[NodeInfo]:
        """All nodes, zone by zone in turn, so that whoever tries some of them tries all zones."""
        if self._order is None:
            zones: dict[str, list[NodeInfo]] = {}
            for node in self._by_name.values():
                zones.setdefault(node.facts.zone, []).append(node)
            self._order = [node for turn in zip_longest(*zones.values()) for node in turn if node is not None]
            for index, node in enumerate(self._order):
                node.index = index
            self.epoch += 1
            self.changed.clear()
        return self._order

    def node(self, name: str) -> NodeInfo | None:
        return self._by_name.get(name)

    def pod(self, uid: str) -> PodInfo | None:
        """A pod that has a node, if only by our decision."""
        return self._pods.get(uid)

    def is_assumed(self, uid: str) -> bool:
        return uid in self._assumed

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        return self._namespaces.get(namespace, _NO_LABELS)

    def nodes_with_image(self, image: str) -> int:
        """On how many nodes an image is, by its name with a tag."""
        return self._images.get(image, 0)

    def tally(self, key: Hashable, namespace: str | None, counts: Callable[[PodInfo], bool]) -> Slices[Tally]:
        """Counts of the pods that `counts` accepts; the same `key` must always mean the same pods."""
        return self._tallies.get(key, namespace, counts, lambda: self._listed(namespace))

    def _listed(self, namespace: str | None) -> list[PodInfo]:
        return list((self._pods if namespace is None else self._by_namespace.get(namespace, {})).values())

    def sizes(self) -> dict[str, int]:
        """For the metric of this name."""
        return {"nodes": len(self._by_name), "pods": len(self._pods), "assumed_pods": len(self._assumed)}

    # Nodes

    def set_node(self, facts: NodeFacts) -> NodeInfo:
        """A node came, or changed."""
        node = self._by_name.get(facts.name)
        if node is None:
            node = self._by_name[facts.name] = NodeInfo(facts)
            for pod in self._strays.pop(facts.name, {}).values():
                node.add(pod)
            self._forget_order()
            self._count_images(facts, 1)
            return node
        before, node.facts = node.facts, facts
        if before.images != facts.images:
            self._count_images(before, -1)
            self._count_images(facts, 1)
        if before.zone != facts.zone:
            self._forget_order()
        elif before.labels != facts.labels:
            self._forget_places()
        self._touch(node)
        return node

    def remove_node(self, name: str) -> None:
        """A node is gone. Pods may still be on it; they count again should it come back."""
        node = self._by_name.pop(name, None)
        if node is None:
            return
        if node.pods:
            self._strays[name] = dict(node.pods)
        self._count_images(node.facts, -1)
        self._forget_order()

    def _count_images(self, facts: NodeFacts, by: int) -> None:
        for image in facts.images:
            left = self._images.get(image, 0) + by
            if left:
                self._images[image] = left
            else:
                self._images.pop(image, None)

    def _forget_order(self) -> None:
        self._order = None
        self._forget_places()

    def _forget_places(self) -> None:
        self._tallies.forget_places()
        for book in self._books:
            book.forget_places()

    def _touch(self, node: NodeInfo) -> None:
        if self._order is not None:
            self.changed.append(node.index)
            if len(self.changed) > _LONGEST_LOG:
                self.epoch += 1
                self.changed.clear()

    # Pods

    def assume(self, pod: PodInfo, node: str) -> PodInfo:
        """Count `pod` to `node` from now on, before anybody else knows. Returns it as it is there."""
        placed = pod.on(node)
        self._put(placed)
        self._assumed.add(pod.uid)
        return placed

    def forget(self, uid: str) -> None:
        """An assumed pod was not bound after all."""
        if uid in self._assumed:
            self._assumed.discard(uid)
            self._take(self._pods[uid])

    def set_pod(self, pod: PodInfo) -> None:
        """A pod that is bound came, or changed: also one that was assumed, wherever that was."""
        self._assumed.discard(pod.uid)
        before = self._pods.get(pod.uid)
        if before is not None:
            if _counts_alike(before, pod):
                self._replace(before, pod)
                return
            self._take(before)
        self._put(pod)

    def remove_pod(self, uid: str) -> None:
        """A pod is gone, or has come to its end."""
        self._assumed.discard(uid)
        pod = self._pods.get(uid)
        if pod is not None:
            self._take(pod)

    def _replace(self, before: PodInfo, pod: PodInfo) -> None:
        """Keep what was learnt last of a pod where nothing that is counted changed."""
        self._pods[pod.uid] = pod
        self._by_namespace[pod.namespace][pod.uid] = pod
        node = self._by_name.get(pod.node_name)
        pods = node.pods if node is not None else self._strays[pod.node_name]
        pods[before.uid] = pod

    def _put(self, pod: PodInfo) -> None:
        self._pods[pod.uid] = pod
        self._by_namespace.setdefault(pod.namespace, {})[pod.uid] = pod
        node = self._by_name.get(pod.node_name)
        if node is None:
            self._strays.setdefault(pod.node_name, {})[pod.uid] = pod
        else:
            node.add(pod)
            self._touch(node)
        self._count(pod, node, 1)

    def _take(self, pod: PodInfo) -> None:
        del self._pods[pod.uid]
        of_namespace = self._by_namespace[pod.namespace]
        del of_namespace[pod.uid]
        if not of_namespace:
            del self._by_namespace[pod.namespace]
        node = self._by_name.get(pod.node_name)
        if node is None:
            strays = self._strays[pod.node_name]
            del strays[pod.uid]
            if not strays:
                del self._strays[pod.node_name]
        else:
            node.remove(pod)
            self._touch(node)
        self._count(pod, node, -1)

    def _count(self, pod: PodInfo, node: NodeInfo | None, by: int) -> None:
        labels = node.facts.labels if node is not None else None
        self._tallies.change(pod, pod.node_name, labels, by)
        if pod.template.has_pod_affinity:
            for book in self._books:
                book.change(pod, pod.node_name, labels, by)

    # Namespaces

    def set_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        if self._namespaces.get(name, _NO_LABELS) != labels:
            self._tallies.forget_across_namespaces()
        self._namespaces[name] = labels

    def remove_namespace(self, name: str) -> None:
        if self._namespaces.pop(name, None):
            self._tallies.forget_across_namespaces()


def _counts_alike(before: PodInfo, after: PodInfo) -> bool:
    """Whether two states of a pod are the same to all that counts pods."""
    return (
        before.node_name == after.node_name
        and before.template.key == after.template.key
        and before.requests == after.requests
        and before.labels == after.labels
        and before.terminating == after.terminating
    )
