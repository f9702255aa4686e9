"""The revisions of a stateful set's template: the one that its pods come from, and the one that they go to.

Source: k8s.io/kubernetes/pkg/controller/statefulset/stateful_set_control.go, pkg/controller/history.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_controller_manager.controllerrevisions import HELD_HASH, holds, new_revision
from hyperkube_controller_manager.podstates import creation_time
from hyperkube_controller_manager.templates import template_hash
from hyperkube_machinery.builtin import CONTROLLER_REVISIONS, STATEFUL_SETS
from hyperkube_machinery.client import Client
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.meta import name, namespace

__all__ = ["Revisions", "outdated", "revisions_of"]

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Revisions:
    """`current` and `update` are the same but during an update. `collisions` is how many hashes were taken."""

    current: Tree
    update: Tree
    collisions: int


async def revisions_of(client: Client, stateful_set: Tree, found: Iterable[Tree]) -> Revisions:
    """The revisions, of which that of the present template is made if there is none, and numbered last.

    Raises APIError and ClientError.
    """
    ordered = sorted(found, key=_by_number)
    status = stateful_set.get("status") or {}
    collisions: int = status.get("collisionCount") or 0
    number = (ordered[-1].get("revision") or 0) + 1 if ordered else 1
    same = [revision for revision in ordered if holds(revision, stateful_set)]
    update: Tree
    if same and same[-1] is ordered[-1]:
        update = same[-1]
    elif same:
        update = await client.replace(CONTROLLER_REVISIONS, {**same[-1], "revision": number})
    else:
        update, collisions = await _made(client, stateful_set, number, collisions)
    current = next((one for one in ordered if name(one) == status.get("currentRevision")), update)
    return Revisions(current, update, collisions)


def _by_number(revision: Tree) -> tuple[int, float, str]:
    return revision.get("revision") or 0, creation_time(revision) or 0.0, name(revision)


async def _made(client: Client, stateful_set: Tree, number: int, collisions: int) -> tuple[Tree, int]:
    """Another template that has the same hash makes the next count the one that names it."""
    while True:
        code = template_hash(stateful_set["spec"]["template"], collisions)
        revision = new_revision(stateful_set, STATEFUL_SETS, code, number, label=HELD_HASH)
        try:
            return await client.create(CONTROLLER_REVISIONS, revision, namespace(stateful_set)), collisions
        except APIError as exc:
            if exc.reason != "AlreadyExists":
                raise
        there = await client.get(CONTROLLER_REVISIONS, name(revision), namespace(stateful_set))
        if holds(there, stateful_set):
            return there, collisions
        collisions += 1


def outdated(found: Iterable[Tree], live: Collection[str], limit: int) -> Sequence[Tree]:
    """The revisions beyond the `limit` that are none of the `live` ones (by name), oldest first."""
    history = [revision for revision in sorted(found, key=_by_number) if name(revision) not in live]
    return history[: max(0, len(history) - limit)]
