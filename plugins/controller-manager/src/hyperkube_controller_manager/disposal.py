"""What becomes of an object when its owners are looked at.

Source: k8s.io/kubernetes/pkg/controller/garbagecollector/garbagecollector.go, attemptToDeleteItem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from hyperkube_controller_manager.ownergraph import FOREGROUND, ORPHAN
from hyperkube_machinery import meta

__all__ = ["Delete", "Detach", "Keep", "Standing", "Verdict", "verdict", "without_owners"]

Tree = Mapping[str, Any]


class Standing(Enum):
    """What is true of an owner."""

    SOLID = "it is there"
    WAITING = "it is being deleted, once its dependents are gone"
    DANGLING = "there is none such"


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave the object as it is."""


@dataclass(frozen=True, slots=True)
class Detach:
    """Take the owners of these UIDs off the object, which has another one."""

    owners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    propagation: str
    unblocks: bool = False  # whether its owners must not wait for it, lest they wait for each other for ever


Verdict = Keep | Detach | Delete


def verdict(
    owners: Sequence[tuple[str, Standing]], finalizers: Sequence[str], *, dependents: int, cycle: bool
) -> Verdict:
    """What to do with an object of these owners (UID and standing) and finalizers.

    `cycle` says that one of its dependents is itself being deleted after its dependents.
    """
    lost = tuple(uid for uid, standing in owners if standing is not Standing.SOLID)
    if len(lost) < len(owners):
        return Detach(lost) if lost else Keep()
    if not owners:
        return Keep()
    if dependents and any(standing is Standing.WAITING for _, standing in owners):
        return Delete("Foreground", unblocks=cycle)
    if ORPHAN in finalizers:
        return Delete("Orphan")
    return Delete("Foreground" if FOREGROUND in finalizers else "Background")


def without_owners(obj: Tree, uids: Sequence[str]) -> dict[str, Any]:
    """A merge patch that takes these owners off `obj`, refused if it has changed by then."""
    left = [ref for ref in meta.owner_references(obj) if ref.get("uid") not in uids]
    return {"metadata": {"resourceVersion": meta.resource_version(obj), "ownerReferences": left}}
