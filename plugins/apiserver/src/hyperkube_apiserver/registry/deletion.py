"""What a DELETE does to an object: decided here, carried out by the registry.

    remove      it goes at once
    mark        it is written with a deletionTimestamp, and stays for its finalizers or its grace period
    mark, then remove    both, for a graceful deletion with no time left
    mark, as the kind does    the first of two phases
    nothing     it is being deleted already, and nothing asked for shortens that

Source: k8s.io/apiserver/pkg/registry/rest (BeforeDelete), generic/registry/store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.parameters import DeleteOptions
from hyperkube_apiserver.registry.strategy import Strategy
from hyperkube_machinery.errors import APIError, failure

__all__ = ["DeletionPlan", "check_preconditions", "ends_with_update", "plan_deletion", "with_policy"]

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_RFC3339 = "%Y-%m-%dT%H:%M:%SZ"
_LAST = datetime.max.replace(microsecond=0, tzinfo=UTC)

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeletionPlan:
    """Whether the tree, changed in place, is to be written, and whether the object is to go."""

    write: bool
    remove: bool


def check_preconditions(strategy: Strategy, tree: Tree, options: DeleteOptions) -> None:
    """Raise 409 unless the object is the one that the caller means."""
    kind, metadata = strategy.kind, tree["metadata"]
    for word, wanted, found, why in (
        ("UID", options.uid, metadata["uid"], "deleted and then recreated"),
        ("ResourceVersion", options.resource_version, metadata["resourceVersion"], "modified"),
    ):
        if wanted is not None and wanted != found:
            if strategy.deletes_in_two_phases:
                told = f"Precondition failed: {word} in precondition: {wanted}, {word} in object meta: {found}"
                raise APIError.conflict(kind.resource, metadata["name"], told)
            raise _precondition_failed(
                kind,
                metadata["name"],
                f"the {word} in the precondition ({wanted}) does not match the {word} in record ({found}). "
                f"The object might have been {why}",
            )


def _precondition_failed(kind: Kind, name: str, why: str) -> APIError:
    # Upstream puts the kind where other conflicts have the resource.
    resource = kind.resource
    qualified = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = {"name": name, "group": resource.group, "kind": resource.kind}
    return APIError(
        failure(
            409,
            "Conflict",
            f'Operation cannot be fulfilled on {qualified} "{name}": {why}',
            {key: value for key, value in details.items() if value},
        )
    )


def plan_deletion(strategy: Strategy, tree: Tree, options: DeleteOptions, now: datetime) -> DeletionPlan:
    """Decide what becomes of `tree`, which is changed to what is to be written."""
    metadata = tree["metadata"]
    graceful = False
    if strategy.deletes_in_two_phases:
        if metadata.get("deletionTimestamp") is None:
            metadata["deletionTimestamp"] = now.strftime(_RFC3339)
            strategy.mark_deleted(tree, options)
            return DeletionPlan(write=True, remove=False)
        if strategy.blocks_removal(tree):
            return DeletionPlan(write=False, remove=False)
    if strategy.deletes_gracefully:
        state = _begin_grace(strategy, tree, options, now)
        if state is None:
            return DeletionPlan(write=False, remove=False)
        graceful = state
    before = list(metadata.get("finalizers") or ())
    wanted = _finalizers(strategy, before, options)
    if set(wanted) != set(before):
        metadata["finalizers"] = wanted
    stays = bool(wanted) or strategy.blocks_removal(tree)
    if not wanted:
        metadata.pop("finalizers", None)
    if graceful:
        return DeletionPlan(write=True, remove=not stays and not metadata.get("deletionGracePeriodSeconds"))
    if not stays:
        return DeletionPlan(write=False, remove=True)
    if metadata.get("deletionTimestamp") is None:
        metadata["deletionTimestamp"] = now.strftime(_RFC3339)
        if metadata.get("generation"):
            metadata["generation"] += 1
    metadata["deletionGracePeriodSeconds"] = 0
    return DeletionPlan(write=True, remove=False)


def _begin_grace(strategy: Strategy, tree: Tree, options: DeleteOptions, now: datetime) -> bool | None:
    """Give the object its time; False if there is none to give, None if it has been given already."""
    metadata = tree["metadata"]
    requested = options.grace_period_seconds
    deleted_at = metadata.get("deletionTimestamp")
    if deleted_at is None:
        grace = strategy.grace_seconds(tree, requested)
        metadata["deletionTimestamp"] = _later(now, grace).strftime(_RFC3339)
        metadata["deletionGracePeriodSeconds"] = grace
        if metadata.get("generation"):
            metadata["generation"] += 1
        return True
    running = metadata.get("deletionGracePeriodSeconds")
    if not running:
        return False
    if requested is None or requested >= running:  # a grace period is never extended
        return None
    ended = datetime.strptime(deleted_at, _RFC3339).replace(tzinfo=UTC)
    ends = _later(now if ended == _LAST else ended - timedelta(seconds=running), requested)
    if ends < now:
        ends = now
        requested = min(requested, 1)
    metadata["deletionTimestamp"] = ends.strftime(_RFC3339)
    metadata["deletionGracePeriodSeconds"] = requested
    return True


def _later(moment: datetime, seconds: int) -> datetime:
    """`seconds` after `moment`, or the last moment that can be written down."""
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return _LAST


def _finalizers(strategy: Strategy, before: list[str], options: DeleteOptions) -> list[str]:
    """The finalizers with those of the garbage collector as the caller, or the kind, wants them."""
    if strategy.default_propagation == "Unsupported":
        return [name for name in before if name not in (ORPHAN, FOREGROUND)]
    policy = options.propagation_policy
    if options.orphan_dependents is not None:
        policy = "Orphan" if options.orphan_dependents else "Background"
    if policy is None:
        asked = next((name for name in before if name in (ORPHAN, FOREGROUND)), None)
        policy = {ORPHAN: "Orphan", FOREGROUND: "Foreground", None: strategy.default_propagation}[asked]
    return with_policy(before, policy)


def with_policy(finalizers: Sequence[str], policy: str) -> list[str]:
    """The finalizers, with the one of the garbage collector that stands for `policy`."""
    kept = [name for name in finalizers if name not in (ORPHAN, FOREGROUND)]
    if policy == "Orphan":
        kept.append(ORPHAN)
    elif policy == "Foreground":
        kept.append(FOREGROUND)
    return kept


def ends_with_update(strategy: Strategy, new: Tree, old: Tree) -> bool:
    """Whether an update takes away the last thing that kept an object which is being deleted."""
    metadata = old["metadata"]
    if new["metadata"].get("finalizers") or metadata.get("deletionTimestamp") is None:
        return False
    return not metadata.get("deletionGracePeriodSeconds") and not strategy.blocks_removal(new)
