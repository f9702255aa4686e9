"""From changes of dependents (pods, replica sets …) to the keys of the owners that have to look at them.

Source: the event handlers of k8s.io/kubernetes/pkg/controller/{replicaset,deployment,daemon,job}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hyperkube_controller_manager.expectations import Expectations
from hyperkube_machinery.informers import Informer, key_of
from hyperkube_machinery.meta import controller_of, deletion_timestamp, labels_of, namespace, uid
from hyperkube_machinery.selectors import LabelSelector, label_selector

__all__ = ["BY_CONTROLLER", "Owners", "by_controller", "controller_key", "follow", "own_selector"]

Tree = Mapping[str, Any]

BY_CONTROLLER = "controller"
"""The index of dependents by who manages them; see `controller_key`."""


def by_controller(obj: Tree) -> list[str]:
    """Index values: whose it is, or in which namespace it is nobody's."""
    reference = controller_of(obj)
    if reference is None:
        return [namespace(obj)]
    return [controller_key(namespace(obj), reference.get("kind", ""), reference.get("uid", ""))]


def controller_key(in_namespace: str, kind: str, owner_uid: str) -> str:
    return f"{in_namespace}/{kind}/{owner_uid}"


class Owners:
    """The owners of one kind, and what is theirs."""

    def __init__(self, owners: Informer, kind: str, selector_of: Callable[[Tree], LabelSelector] | None = None) -> None:
        """`selector_of` is for kinds whose selector is not in their spec as others have it; it may raise ValueError."""
        self._owners = owners
        self._kind = kind
        self._selector_of = selector_of or own_selector

    def owner_of(self, obj: Tree) -> Tree | None:
        """The owner that manages the object, if it is of this kind and still the same."""
        reference = controller_of(obj)
        if reference is None or reference.get("kind") != self._kind:
            return None
        owner = self._owners.get(f"{namespace(obj)}/{reference.get('name')}")
        return owner if owner is not None and uid(owner) == reference.get("uid") else None

    def that_would_adopt(self, orphan: Tree) -> list[Tree]:
        """The owners whose selector fits the orphan."""
        labels = labels_of(orphan)
        if not labels:
            return []
        return [*filter(lambda owner: self._selects(owner, labels), self._owners.list(namespace(orphan)))]

    def _selects(self, owner: Tree, labels: Mapping[str, str]) -> bool:
        try:
            selector = self._selector_of(owner)
        except ValueError:
            return False
        return not selector.empty and selector.matches(labels)

    def dependents_of(self, owner: Tree, dependents: Informer, *, orphans: bool = False) -> list[Tree]:
        """What the owner manages, and the orphans of its namespace; `dependents` is indexed BY_CONTROLLER."""
        owned = dependents.by(BY_CONTROLLER, controller_key(namespace(owner), self._kind, uid(owner)))
        return [*owned, *dependents.by(BY_CONTROLLER, namespace(owner))] if orphans else [*owned]


def own_selector(owner: Tree) -> LabelSelector:
    """The selector in the owner's spec. Raises ValueError for what no validation should have let through."""
    return label_selector(owner["spec"].get("selector"))


def follow(
    dependents: Informer,
    owners: Owners,
    enqueue: Callable[[Tree], None],
    expectations: Expectations | None = None,
) -> None:
    """Call `enqueue` with each owner that a change concerns, after noting in `expectations` what was awaited.

    The first sight of a deletion counts, that is its timestamp: an owner replaces a pod as soon as it is on its way
    out, not when it is gone.
    """

    def gone(obj: Tree) -> None:
        owner = owners.owner_of(obj)
        if owner is not None:
            if expectations is not None:
                expectations.deleted(key_of(owner), key_of(obj))
            enqueue(owner)

    def added(obj: Tree) -> None:
        owner = owners.owner_of(obj)
        if owner is not None:
            if expectations is not None:
                expectations.created(key_of(owner))
            enqueue(owner)
        elif controller_of(obj) is None:
            for would in owners.that_would_adopt(obj):
                enqueue(would)

    def changed(old: Tree, new: Tree) -> None:
        before, after = controller_of(old), controller_of(new)
        if before != after and (owner := owners.owner_of(old)) is not None:
            enqueue(owner)
        if after is not None:
            if (owner := owners.owner_of(new)) is not None:
                enqueue(owner)
        elif before is not None or labels_of(old) != labels_of(new):
            for would in owners.that_would_adopt(new):
                enqueue(would)

    def on_change(old: Tree | None, new: Tree | None) -> None:
        if new is None:
            if old is not None:
                gone(old)
        elif deletion_timestamp(new) is not None:
            gone(new)
            if old is not None and controller_of(old) != controller_of(new):
                gone(old)
        elif old is None:
            added(new)
        elif uid(old) != uid(new):
            gone(old)
            added(new)
        else:
            changed(old, new)

    dependents.on_change(on_change)
