"""The revisions of a daemon set's template, kept as ControllerRevisions for `kubectl rollout history` and `undo`.

Source: k8s.io/kubernetes/pkg/controller/daemon/update.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.controllerrevisions import REVISION_HASH, holds, new_revision
from hyperkube_controller_manager.templates import template_hash
from hyperkube_machinery.builtin import CONTROLLER_REVISIONS, DAEMON_SETS, PODS
from hyperkube_machinery.client import Client
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.meta import labels_of, name, namespace

__all__ = ["clean_up_history", "current_and_old", "outdated_revisions"]

Tree = Mapping[str, Any]


async def current_and_old(
    client: Client, daemon_set: Tree, revisions: Iterable[Tree], pods: Sequence[Tree]
) -> tuple[Tree, list[Tree]]:
    """The revision of the present template, made if there is none and numbered after all others; and the others.

    Raises APIError and ClientError.
    """
    labelled = [await _labelled(client, revision) for revision in revisions]
    current = [revision for revision in labelled if holds(revision, daemon_set)]
    old = [revision for revision in labelled if not holds(revision, daemon_set)]
    number = max((revision.get("revision") or 0 for revision in old), default=0) + 1
    if not current:
        return await _snapshot(client, daemon_set, number), old
    kept = await _only_one(client, current, pods)
    if (kept.get("revision") or 0) < number:
        kept = await client.replace(CONTROLLER_REVISIONS, {**kept, "revision": number})
    return kept, old


async def _labelled(client: Client, revision: Tree) -> Tree:
    """Revisions of long ago lack the label by which pods are told to be theirs; their names serve as well."""
    if REVISION_HASH in labels_of(revision):
        return revision
    labels = {**labels_of(revision), REVISION_HASH: name(revision)}
    return await client.replace(
        CONTROLLER_REVISIONS, {**revision, "metadata": {**revision["metadata"], "labels": labels}}
    )


async def _only_one(client: Client, current: Sequence[Tree], pods: Sequence[Tree]) -> Tree:
    """Of several revisions of one template the latest stays, and takes the pods of the others."""
    kept = max(current, key=lambda revision: revision.get("revision") or 0)
    if len(current) == 1:
        return kept
    wanted = labels_of(kept)[REVISION_HASH]
    for pod in pods:
        if labels_of(pod).get(REVISION_HASH) != wanted:
            await client.patch(PODS, name(pod), {"metadata": {"labels": {REVISION_HASH: wanted}}}, namespace(pod))
    for revision in current:
        if name(revision) != name(kept):
            await client.delete(CONTROLLER_REVISIONS, name(revision), namespace(revision))
    return kept


async def _snapshot(client: Client, daemon_set: Tree, number: int) -> Tree:
    code = template_hash(daemon_set["spec"]["template"], (daemon_set.get("status") or {}).get("collisionCount"))
    revision = new_revision(daemon_set, DAEMON_SETS, code, number, label=REVISION_HASH)
    try:
        return await client.create(CONTROLLER_REVISIONS, revision, namespace(daemon_set))
    except APIError as exc:
        if exc.reason != "AlreadyExists":
            raise
        found = await client.get(CONTROLLER_REVISIONS, name(revision), namespace(daemon_set))
        if holds(found, daemon_set):
            return found
        await _count_collision(client, daemon_set)
        raise


async def _count_collision(client: Client, daemon_set: Tree) -> None:
    """Another template has the same hash: the count picks another name next time, unless it has grown already."""
    fresh = await client.get(DAEMON_SETS, name(daemon_set), namespace(daemon_set))
    status = fresh.get("status") or {}
    known = (daemon_set.get("status") or {}).get("collisionCount")
    if status.get("collisionCount") == known:
        grown = {**status, "collisionCount": (known or 0) + 1}
        await client.replace(DAEMON_SETS, {**fresh, "status": grown}, subresource="status")


def outdated_revisions(old: Sequence[Tree], pods: Iterable[Tree], limit: int) -> list[Tree]:
    """The revisions beyond the `limit` that no pod is of, oldest first."""
    used = {labels_of(pod).get(REVISION_HASH) for pod in pods}
    by_number = sorted(old, key=lambda revision: revision.get("revision") or 0)
    unused = [revision for revision in by_number if labels_of(revision).get(REVISION_HASH) not in used]
    return unused[: max(0, len(old) - limit)]


async def clean_up_history(client: Client, daemon_set: Tree, old: Sequence[Tree], pods: Iterable[Tree]) -> None:
    """Delete the history beyond its limit. Raises APIError and ClientError."""
    limit = daemon_set["spec"].get("revisionHistoryLimit", 10)
    for revision in outdated_revisions(old, pods, limit):
        try:
            await client.delete(CONTROLLER_REVISIONS, name(revision), namespace(revision))
        except APIError as exc:
            if exc.code != 404:
                raise
