"""Replica sets, and replication controllers: as many pods as are asked for, made from one template.

Source: k8s.io/kubernetes/pkg/controller/replicaset/replica_set.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.claims import Claims, claim, claims_of, is_controlled_by
from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.deletionorder import first_to_delete
from hyperkube_controller_manager.dependents import (
    BY_CONTROLLER,
    Owners,
    by_controller,
    controller_key,
    follow,
    own_selector,
)
from hyperkube_controller_manager.expectations import Expectations
from hyperkube_controller_manager.pacing import Pacing, aside
from hyperkube_controller_manager.podcontrol import (
    FAILURES,
    PodControl,
    in_slow_start,
    is_ending_namespace,
    together,
)
from hyperkube_controller_manager.podstates import first_available, is_active, is_terminating
from hyperkube_controller_manager.replicasetstatus import PodCounts, replica_set_status
from hyperkube_controller_manager.statuswrites import write_status
from hyperkube_controller_manager.templates import controller_reference
from hyperkube_machinery.builtin import PODS, REPLICA_SETS
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.informers import key_of
from hyperkube_machinery.meta import controller_of, deletion_timestamp, labels_of, namespace
from hyperkube_machinery.resources import Resource
from hyperkube_machinery.selectors import LabelSelector
from hyperkube_machinery.serving.turns import slices

__all__ = ["Replicas", "run"]

Tree = Mapping[str, Any]

_BURST = 500  # pods that one look makes or deletes
_PODS_AT_ONCE = 100  # looked at before others have their turn


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    controller = Replicas(context, REPLICA_SETS, context.options.concurrent_replicaset_syncs)
    await context.synced()
    await controller.run()


class Replicas:
    """Of one kind of owner, whose selector `selector_of` finds; not all kinds tell of pods on their way out."""

    def __init__(
        self,
        context: ControllerContext,
        kind: Resource,
        workers: int,
        *,
        selector_of: Callable[[Tree], LabelSelector] = own_selector,
        tells_terminating: bool = True,
    ) -> None:
        self._kind = kind
        self._selector_of = selector_of
        self._tells_terminating = tells_terminating
        self._client = context.client
        self._clock = context.clock
        self._pod_control = PodControl(context.client, context.recorder)
        self._expectations = Expectations(context.clock)
        self._pacing = Pacing(context.clock)
        self._sets = context.informers.of(kind, indexes={BY_CONTROLLER: by_controller})
        self._pods = context.informers.of(PODS, indexes={BY_CONTROLLER: by_controller})
        self._owners = Owners(self._sets, kind.kind, selector_of)
        self._controller = Controller(
            context.name,
            self._reconcile,
            workers=workers,
            clock=context.clock,
            metrics=context.metrics,
        )
        self._sets.on_change(self._on_change)
        follow(self._pods, self._owners, self._enqueue, self._expectations)

    async def run(self) -> None:
        await self._controller.run()

    def _enqueue(self, replica_set: Tree) -> None:
        key = key_of(replica_set)
        self._controller.queue.add_after(key, self._pacing.wait(key))

    def _on_change(self, old: Tree | None, new: Tree | None) -> None:
        gone = old if new is None or (old is not None and not _is_same(old, new)) else None
        if gone is not None:
            self._forget(key_of(gone))
        if (known := new or old) is not None:
            self._controller.queue.add(key_of(known))

    def _forget(self, key: str) -> None:
        self._expectations.forget(key)
        self._pacing.forget(key)

    async def _reconcile(self, key: str) -> float | None:
        replica_set = self._sets.get(key)
        if replica_set is None:
            self._forget(key)
            return None
        may_act = self._expectations.satisfied(key) and deletion_timestamp(replica_set) is None
        now = self._clock.now()
        with self._pacing.look(key):
            active, counts = await self._look(replica_set, now)
        failure: Exception | None = None
        if may_act:
            try:
                await self._manage(replica_set, key, active)
            except FAILURES as exc:
                failure = exc
        status = replica_set_status(replica_set, counts, failure, now)
        if not self._tells_terminating:
            del status["terminatingReplicas"]
        if status != (replica_set.get("status") or {}):
            await write_status(self._client, self._kind, replica_set, status)
        if failure is not None:
            raise failure
        return self._next_look(replica_set, status, active, now)

    async def _look(self, replica_set: Tree, now: float) -> tuple[list[Tree], PodCounts]:
        """The active pods that the replica set has, after adoption and release, and what is counted of all its pods."""
        selector = self._selector_of(replica_set)
        counts, claims = PodCounts(replica_set, now), Claims()
        pods = self._owners.dependents_of(replica_set, self._pods, orphans=True)
        async for some in slices(pods, _PODS_AT_ONCE):
            found = claims_of(replica_set, selector.matches, filter(is_active, some))
            claims.add(found)
            going = sum(is_terminating(pod) and _is_claimed(pod, replica_set, selector) for pod in some)
            counts.add(found.owned, going)
        active = await claim(self._client, self._kind, replica_set, claims, PODS)
        counts.add(active[len(claims.owned) :], 0)
        return active, counts

    async def _manage(self, replica_set: Tree, key: str, active: Sequence[Tree]) -> None:
        """Make what is missing, or delete what is too much."""
        missing = replica_set["spec"].get("replicas", 1) - len(active)
        if missing > 0:
            await self._create(replica_set, key, min(missing, _BURST))
        elif missing < 0:
            related, count = self._related(replica_set), min(-missing, _BURST)
            now = self._clock.now()
            pods = await aside(len(active), first_to_delete, active, related, count, now=now)
            await self._delete(replica_set, key, pods)

    async def _create(self, replica_set: Tree, key: str, count: int) -> None:
        reference = controller_reference(replica_set, self._kind.api_version, self._kind.kind)

        async def create(_: int) -> None:
            try:
                await self._pod_control.create(replica_set["spec"]["template"], replica_set, reference)
            except APIError as exc:
                if not is_ending_namespace(exc):
                    raise

        self._expectations.expect(key, creations=count)
        outcome = await in_slow_start(count, create)
        self._expectations.created(key, count - outcome.successes)
        outcome.check()

    async def _delete(self, replica_set: Tree, key: str, pods: Sequence[Tree]) -> None:
        async def delete(pod: Tree) -> None:
            try:
                await self._pod_control.delete(pod, replica_set)
            except FAILURES as exc:
                self._expectations.deleted(key, key_of(pod))
                if not (isinstance(exc, APIError) and exc.code == 404):
                    raise

        self._expectations.expect(key, deletions=[key_of(pod) for pod in pods])
        (await together(delete, pods)).check()

    def _related(self, replica_set: Tree) -> list[Tree]:
        """The pods of all replica sets of the same deployment."""
        owner = controller_of(replica_set)
        if owner is None:
            return []
        owner_key = controller_key(namespace(replica_set), owner.get("kind", ""), owner.get("uid", ""))
        siblings = self._sets.by(BY_CONTROLLER, owner_key)
        return [pod for sibling in siblings for pod in self._owners.dependents_of(sibling, self._pods)]

    def _next_look(self, replica_set: Tree, status: Tree, active: Sequence[Tree], now: float) -> float | None:
        """When the next pod has been ready for long enough; no change of an object will tell."""
        min_ready = replica_set["spec"].get("minReadySeconds") or 0
        if not min_ready or status.get("readyReplicas") == status.get("availableReplicas"):
            return None
        wait = first_available(active, min_ready, now)
        return float(min_ready) if wait is None else wait


def _is_same(old: Tree, new: Tree) -> bool:
    return (old.get("metadata") or {}).get("uid") == (new.get("metadata") or {}).get("uid")


def _is_claimed(pod: Tree, replica_set: Tree, selector: LabelSelector) -> bool:
    return is_controlled_by(pod, replica_set) and selector.matches(labels_of(pod))
