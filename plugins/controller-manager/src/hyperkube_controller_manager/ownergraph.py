"""Who belongs to whom: the owner references of all objects as one graph, kept from what informers tell.

Nodes are found by UID. An owner that no informer has told of yet has a *virtual* node, whose place (kind, namespace,
name) is only what a dependent says of it, so dependents may disagree on it. Nothing here talks to the API server:
each change returns what has to be looked at because of it.

Source: k8s.io/kubernetes/pkg/controller/garbagecollector (graph.go, graph_builder.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hyperkube_machinery import meta

__all__ = ["FOREGROUND", "ORPHAN", "Findings", "Identity", "Node", "OwnerGraph", "Reference", "Stranger", "references"]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
"""Finalizers of objects that are deleted after their dependents, or leave these behind."""

_MOST_ABSENT = 500


@dataclass(frozen=True, slots=True)
class Identity:
    """Where an object is, and which one it is."""

    api_version: str
    kind: str
    namespace: str  # "" for objects of the cluster
    name: str
    uid: str

    def __str__(self) -> str:
        """As it stands in events."""
        place = f"{self.api_version}/{self.kind}, namespace: {self.namespace}"
        return f"[{place}, name: {self.name}, uid: {self.uid}]"

    @property
    def order(self) -> tuple[str, ...]:
        """The order in which the places are tried that dependents disagree on."""
        return self.kind, self.api_version, self.namespace, self.name, self.uid


@dataclass(frozen=True, slots=True)
class Reference:
    """An owner reference."""

    api_version: str
    kind: str
    name: str
    uid: str
    blocks: bool = False  # whether the owner, deleted in the foreground, waits for this dependent

    def fits(self, owner: Identity) -> bool:
        """Whether it names `owner`, wherever that is."""
        return (self.uid, self.name, self.kind, self.api_version) == (
            owner.uid,
            owner.name,
            owner.kind,
            owner.api_version,
        )

    def at(self, namespace: str) -> Identity:
        return Identity(self.api_version, self.kind, namespace, self.name, self.uid)


@dataclass(slots=True, eq=False)
class Node:
    """An object, and what depends on it."""

    identity: Identity
    owners: tuple[Reference, ...] = ()
    dependents: dict[Node, None] = field(default_factory=dict)  # in the order in which they were seen
    virtual: bool = False
    being_deleted: bool = False
    orphaning: bool = False  # being deleted, once its dependents are rid of it
    deleting_dependents: bool = False  # being deleted, once its dependents that block are gone

    def blocking_dependents(self) -> list[Node]:
        uid = self.identity.uid
        return [node for node in self.dependents if any(ref.uid == uid and ref.blocks for ref in node.owners)]


@dataclass(frozen=True, slots=True)
class Stranger:
    """A dependent that names an owner in a namespace that it is not in."""

    dependent: Identity
    owner: Identity  # as the dependent has it: in its own namespace


@dataclass(slots=True)
class Findings:
    """What a change calls for; UIDs, in order, each once."""

    examine: dict[str, None] = field(default_factory=dict)  # may have to be deleted
    later: dict[str, None] = field(default_factory=dict)  # the same, but with patience
    orphan: dict[str, None] = field(default_factory=dict)  # wait for their dependents to be rid of them
    strangers: list[Stranger] = field(default_factory=list)

    def look_at(self, nodes: Iterable[Node]) -> None:
        self.examine.update((node.identity.uid, None) for node in nodes)


def references(obj: Mapping[str, Any]) -> tuple[Reference, ...]:
    """The owner references of an object."""
    return tuple(
        Reference(
            ref.get("apiVersion") or "",
            ref.get("kind") or "",
            ref.get("name") or "",
            ref.get("uid") or "",
            ref.get("blockOwnerDeletion") is True,
        )
        for ref in meta.owner_references(obj)
    )


class OwnerGraph:
    """The graph; each change to it returns its findings."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._absent: dict[Identity, None] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def node(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def is_known_absent(self, owner: Identity) -> bool:
        """Whether `owner` was lately found not to be there; UIDs do not come back."""
        return owner in self._absent

    def mark_absent(self, owner: Identity) -> None:
        self._absent.pop(owner, None)
        self._absent[owner] = None
        if len(self._absent) > _MOST_ABSENT:
            del self._absent[next(iter(self._absent))]

    def observe(self, identity: Identity, obj: Mapping[str, Any]) -> Findings:
        """An informer tells of an object, be it new, changed or as before."""
        found = Findings()
        owners = references(obj)
        node = self._nodes.get(identity.uid)
        if node is None:
            node = self._nodes[identity.uid] = Node(identity, owners)
            self._add_to_owners(node, owners, found)
        else:
            if node.virtual:
                self._realize(node, identity, found)
            self._change_owners(node, owners, found)
        _follow_deletion(node, obj, found)
        return found

    def gone(self, uid: str) -> Findings:
        """An informer tells that an object is no more."""
        found = Findings()
        node = self._nodes.get(uid)
        if node is not None:
            self._remove(node, node.identity, found)
        return found

    def absent(self, identity: Identity) -> Findings:
        """The API server says that there is no such object; it need not be the one that the node is for."""
        found = Findings()
        node = self._nodes.get(identity.uid)
        if node is None:
            return found
        agreeing, differing = _partition(node.dependents, identity)
        if node.virtual and differing:
            self._disbelieve(agreeing, identity, found)
            if node.identity == identity and (other := _alternative(differing, identity)) is not None:
                node.identity = other
                found.later[other.uid] = None
        elif not node.virtual and node.identity != identity:
            self._disbelieve(agreeing, identity, found)
        else:
            self._remove(node, identity, found)
        return found

    def _realize(self, node: Node, identity: Identity, found: Findings) -> None:
        """A virtual node turns out to be for a real object, which dependents may have misplaced."""
        if node.identity != identity:
            for dependent in _partition(node.dependents, identity)[1]:
                if identity.namespace and dependent.identity.namespace != identity.namespace:
                    _report_stranger(dependent, identity.uid, found)
                found.look_at([dependent])
            node.identity = identity
        node.virtual = False

    def _change_owners(self, node: Node, owners: tuple[Reference, ...], found: Findings) -> None:
        if node.owners == owners:
            return
        before, after = {ref.uid: ref for ref in node.owners}, {ref.uid: ref for ref in owners}
        for uid, ref in before.items():
            if ref.blocks and not (uid in after and after[uid].blocks) and uid in self._nodes:
                found.look_at([self._nodes[uid]])  # it may have waited for this dependent alone
        node.owners = owners
        self._add_to_owners(node, [ref for ref in owners if ref.uid not in before], found)
        self._remove_from_owners(node, [uid for uid in before if uid not in after])

    def _add_to_owners(self, node: Node, owners: Sequence[Reference], found: Findings) -> None:
        doubtful = False
        for ref in owners:
            owner = self._nodes.get(ref.uid)
            if owner is None:
                owner = self._nodes[ref.uid] = Node(ref.at(node.identity.namespace), virtual=True)
                found.look_at([owner])
            elif not doubtful:
                doubtful = _is_doubtful(node, ref, owner, found)
            owner.dependents[node] = None
        if doubtful:
            found.look_at([node])

    def _remove_from_owners(self, node: Node, uids: Iterable[str]) -> None:
        for uid in uids:
            if (owner := self._nodes.get(uid)) is not None:
                owner.dependents.pop(node, None)

    def _remove(self, node: Node, identity: Identity, found: Findings) -> None:
        del self._nodes[node.identity.uid]
        self._remove_from_owners(node, [ref.uid for ref in node.owners])
        if node.dependents:
            self.mark_absent(identity)
            found.look_at(node.dependents)
        owners = (self._nodes.get(ref.uid) for ref in node.owners)
        found.look_at(owner for owner in owners if owner is not None and owner.deleting_dependents)

    def _disbelieve(self, dependents: Sequence[Node], identity: Identity, found: Findings) -> None:
        """`dependents` name an owner where there is none."""
        if dependents:
            self.mark_absent(identity)
            found.look_at(dependents)


def _follow_deletion(node: Node, obj: Mapping[str, Any], found: Findings) -> None:
    deleted, finalizers = meta.deletion_timestamp(obj) is not None, meta.finalizers(obj)
    orphaning = deleted and ORPHAN in finalizers
    deleting = deleted and FOREGROUND in finalizers and not orphaning
    if orphaning and not node.orphaning:
        found.orphan[node.identity.uid] = None
    if deleting and not node.deleting_dependents:
        found.look_at(node.dependents)
        found.look_at([node])
    node.being_deleted, node.orphaning, node.deleting_dependents = deleted, orphaning, deleting


def _is_doubtful(node: Node, ref: Reference, owner: Node, found: Findings) -> bool:
    """Whether `ref` may not mean the object of its UID, so that the dependent must be verified."""
    namespace = owner.identity.namespace
    if namespace and namespace != node.identity.namespace:
        if not owner.virtual:
            _report_stranger(node, ref.uid, found)
        return True
    if not ref.fits(owner.identity):
        return True
    # A cluster's object may have said of an owner that lives in a namespace that it doesn't.
    return not namespace and owner.virtual and bool(node.identity.namespace)


def _report_stranger(dependent: Node, uid: str, found: Findings) -> None:
    ref = next((ref for ref in dependent.owners if ref.uid == uid), None)
    if ref is not None:
        found.strangers.append(Stranger(dependent.identity, ref.at(dependent.identity.namespace)))


def _partition(dependents: Iterable[Node], owner: Identity) -> tuple[list[Node], list[Node]]:
    """Those that name `owner` as it is, and those that name its UID elsewhere; who does both is in both."""
    agreeing, differing = [], []
    for node in dependents:
        if owner.namespace and node.identity.namespace != owner.namespace:
            differing.append(node)
            continue
        fits = {ref.fits(owner) for ref in node.owners if ref.uid == owner.uid}
        if True in fits:
            agreeing.append(node)
        if False in fits:
            differing.append(node)
    return agreeing, differing


def _alternative(dependents: Iterable[Node], absent: Identity) -> Identity | None:
    """The next place after `absent`, in order and round again, where dependents say that owner is."""
    places = sorted({*_places(dependents, absent)} - {absent}, key=lambda place: place.order)
    return next((place for place in places if place.order > absent.order), places[0] if places else None)


def _places(dependents: Iterable[Node], absent: Identity) -> Iterator[Identity]:
    for node in dependents:
        for ref in node.owners:
            if ref.uid != absent.uid:
                continue
            place = ref.at(node.identity.namespace)
            if not absent.namespace:
                if ref.fits(absent):
                    continue
                if (ref.api_version, ref.kind) == (absent.api_version, absent.kind):
                    place = replace(place, namespace="")  # a kind of the cluster, as is known from `absent`
            yield place
