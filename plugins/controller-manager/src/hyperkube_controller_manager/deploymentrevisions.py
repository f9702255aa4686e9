"""The revisions of a deployment, as annotations on its replica sets tell of them.

`kubectl rollout history` and `undo` read them. Source: k8s.io/kubernetes/pkg/controller/deployment/util.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.podstates import creation_time
from hyperkube_controller_manager.rollout import DESIRED, MAXIMUM, Wanted
from hyperkube_machinery.meta import annotations_of, deletion_timestamp, generation, name

__all__ = [
    "REVISION",
    "ROLLBACK_TO",
    "annotations_for_new",
    "annotations_of_rollback",
    "highest_revision",
    "last_revision",
    "outdated",
    "revision_of",
    "sizing_annotations",
]

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
ROLLBACK_TO = "deprecated.deployment.rollback.to"
_LONGEST_HISTORY = 2000  # characters

_NOT_COPIED = frozenset(
    {"kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MAXIMUM, ROLLBACK_TO}
)

ReplicaSet = Mapping[str, Any]


def revision_of(obj: ReplicaSet) -> int | None:
    """0 where it has none, None where it can't be read."""
    return _number(annotations_of(obj).get(REVISION, "0"))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.removeprefix("-").isdigit() else None


def highest_revision(sets: Iterable[ReplicaSet]) -> int:
    return max((revision_of(one) or 0 for one in sets), default=0)


def last_revision(sets: Iterable[ReplicaSet]) -> int:
    """The revision before the current one; 0 if there is none."""
    revisions = sorted((revision for one in sets if (revision := revision_of(one)) is not None), reverse=True)
    return max(0, revisions[1]) if len(revisions) > 1 else 0


def sizing_annotations(wanted: Wanted) -> dict[str, str]:
    """What a replica set is told of the deployment when it is sized, so that a later scaling is noticed."""
    return {DESIRED: str(wanted.replicas), MAXIMUM: str(wanted.most)}


def annotations_for_new(deployment: Mapping[str, Any], current: Mapping[str, str], revision: int) -> dict[str, str]:
    """The annotations of the new replica set, which has `current`, once it is the deployment's `revision`.

    A replica set that is rolled back to remembers the revisions that it was before.
    """
    annotations = dict(current)
    annotations.update({key: value for key, value in annotations_of(deployment).items() if key not in _NOT_COPIED})
    before = _number(current.get(REVISION, "0") or "0")
    if before is None or before >= revision:
        return annotations
    annotations[REVISION] = str(revision)
    if REVISION in current:
        annotations[HISTORY] = _lengthened(current.get(HISTORY, ""), current[REVISION])
    return annotations


def _lengthened(history: str, revision: str) -> str:
    revisions = [*filter(None, history.split(",")), revision]
    while len(",".join(revisions)) > _LONGEST_HISTORY and len(revisions) > 1:
        revisions.pop(0)
    return ",".join(revisions)


def annotations_of_rollback(deployment: Mapping[str, Any], target: ReplicaSet) -> dict[str, str]:
    """The deployment's annotations once it is rolled back to `target`: those that it had then."""
    kept = {key: value for key, value in annotations_of(deployment).items() if key in _NOT_COPIED}
    return {**kept, **{key: value for key, value in annotations_of(target).items() if key not in _NOT_COPIED}}


def outdated(old: Sequence[ReplicaSet], limit: int | None) -> list[ReplicaSet]:
    """The old replica sets beyond the `limit` of history that may be deleted: they have no pods and want none."""
    if limit is None or limit == (1 << 31) - 1:
        return []
    alive = [one for one in old if deletion_timestamp(one) is None]
    beyond = max(0, len(alive) - limit)
    return [one for one in sorted(alive, key=_by_revision)[:beyond] if _is_empty(one)]


def _by_revision(one: ReplicaSet) -> tuple[int, float, str]:
    return (revision_of(one) or 0, creation_time(one) or 0.0, name(one))


def _is_empty(one: ReplicaSet) -> bool:
    status = one.get("status") or {}
    observed = status.get("observedGeneration") or 0
    return not status.get("replicas") and not one["spec"].get("replicas", 1) and generation(one) <= observed
