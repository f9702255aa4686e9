"""Stateful sets: pods that have numbers, and keep them and what they have stored.

Source: k8s.io/kubernetes/pkg/controller/statefulset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.claims import claim, claims_of
from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.controllerrevisions import REVISION_HASH, held_template
from hyperkube_controller_manager.dependents import BY_CONTROLLER, Owners, by_controller, follow
from hyperkube_controller_manager.podcontrol import FAILURES, in_slow_start, is_ending_namespace
from hyperkube_controller_manager.podstates import first_available, phase
from hyperkube_controller_manager.statefulhistory import Revisions, outdated, revisions_of
from hyperkube_controller_manager.statefulpods import (
    claims_for,
    has_identity,
    has_storage,
    has_stranger,
    is_of,
    kept_owners,
    ordinal_of,
    pod_of,
    with_identity,
)
from hyperkube_controller_manager.statefulrollout import StatefulView, Steps, next_steps, stateful_status
from hyperkube_controller_manager.statuswrites import write_status
from hyperkube_machinery.builtin import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from hyperkube_machinery.client import ClientError
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.events import EventType
from hyperkube_machinery.informers import key_of
from hyperkube_machinery.meta import deletion_timestamp, labels_of, name, namespace, uid
from hyperkube_machinery.selectors import label_selector

__all__ = ["run"]

Tree = Mapping[str, Any]


class ClaimGoes(ClientError):
    """A claim that a pod needs is being deleted; it is waited for."""


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    controller = _StatefulSets(context)
    await context.synced()
    await controller.run()


class _StatefulSets:
    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._clock = context.clock
        self._recorder = context.recorder
        self._sets = context.informers.of(STATEFUL_SETS)
        self._claims = context.informers.of(PERSISTENT_VOLUME_CLAIMS)
        self._revisions = context.informers.of(CONTROLLER_REVISIONS, indexes={BY_CONTROLLER: by_controller})
        self._pods = context.informers.of(PODS, indexes={BY_CONTROLLER: by_controller})
        self._owners = Owners(self._sets, STATEFUL_SETS.kind)
        self._controller = Controller(
            context.name,
            self._reconcile,
            workers=context.options.concurrent_statefulset_syncs,
            clock=context.clock,
            metrics=context.metrics,
        )
        self._sets.on_change(self._on_change)
        follow(self._pods, self._owners, self._enqueue)

    async def run(self) -> None:
        await self._controller.run()

    def _enqueue(self, stateful_set: Tree) -> None:
        self._controller.queue.add(key_of(stateful_set))

    def _on_change(self, old: Tree | None, new: Tree | None) -> None:
        if (known := new or old) is not None:
            self._enqueue(known)

    async def _reconcile(self, key: str) -> float | None:
        stateful_set = self._sets.get(key)
        if stateful_set is None:
            return None
        found = await self._claimed_revisions(stateful_set)
        pods = await self._claimed_pods(stateful_set)
        try:
            revisions = await revisions_of(self._client, stateful_set, found)
            now = self._clock.now()
            view = StatefulView(stateful_set, pods, name(revisions.current), name(revisions.update), now)
            await self._bring_on(view, revisions)
        except APIError as exc:
            if not is_ending_namespace(exc):
                raise
            return None
        live = {view.current, view.update, *(labels_of(pod).get(REVISION_HASH, "") for pod in pods)}
        for revision in outdated(found, live, stateful_set["spec"].get("revisionHistoryLimit", 10)):
            await self._client.delete(CONTROLLER_REVISIONS, name(revision), namespace(revision))
        min_ready = stateful_set["spec"].get("minReadySeconds") or 0
        return first_available(pods, min_ready, now) if min_ready else None

    async def _claimed_revisions(self, stateful_set: Tree) -> list[Tree]:
        selector = label_selector(stateful_set["spec"].get("selector"))
        found = self._owners.dependents_of(stateful_set, self._revisions, orphans=True)
        claims = claims_of(stateful_set, selector.matches, found)
        claims.release.clear()  # revisions stay with who made them
        return await claim(self._client, STATEFUL_SETS, stateful_set, claims, CONTROLLER_REVISIONS)

    async def _claimed_pods(self, stateful_set: Tree) -> list[Tree]:
        selector = label_selector(stateful_set["spec"].get("selector"))
        found = self._owners.dependents_of(stateful_set, self._pods, orphans=True)
        named = [pod for pod in found if is_of(pod, stateful_set)]
        return await claim(
            self._client, STATEFUL_SETS, stateful_set, claims_of(stateful_set, selector.matches, named), PODS
        )

    async def _bring_on(self, view: StatefulView, revisions: Revisions) -> None:
        steps, deleted = next_steps(view), list[Tree]()
        try:
            await self._take(view, revisions, steps, deleted)
        finally:
            status = stateful_status(view, deleted, revisions.collisions)
            if status != (view.stateful_set.get("status") or {}):
                await write_status(self._client, STATEFUL_SETS, view.stateful_set, status)

    async def _take(self, view: StatefulView, revisions: Revisions, steps: Steps, deleted: list[Tree]) -> None:
        stateful_set = view.stateful_set

        async def create(index: int) -> None:
            ordinal, is_updated = steps.create[index]
            revision = revisions.update if is_updated else revisions.current
            await self._create(stateful_set, pod_of(stateful_set, held_template(revision), name(revision), ordinal))

        async def delete(index: int) -> None:
            await self._delete(stateful_set, steps.delete[index])
            deleted.append(steps.delete[index])

        for pod in steps.look_at:
            await self._put_right(stateful_set, pod, is_condemned=ordinal_of(name(pod))[1] not in view.ordinals)
        (await in_slow_start(len(steps.create), create)).check()
        (await in_slow_start(len(steps.delete), delete)).check()

    async def _create(self, stateful_set: Tree, pod: dict[str, Any]) -> None:
        if self._goes_with_another(stateful_set, pod):
            return
        try:
            await self._ensure_claims(stateful_set, pod)
            made = await self._client.create(PODS, pod, namespace(stateful_set))
        except FAILURES as exc:
            if not (isinstance(exc, APIError) and exc.reason == "AlreadyExists"):  # it was made and is not seen yet
                self._tell(stateful_set, "create", pod, exc)
            raise
        await self._settle_owners(stateful_set, made, is_condemned=False)
        self._tell(stateful_set, "create", pod)

    async def _delete(self, stateful_set: Tree, pod: Tree) -> None:
        try:
            # The UID is the guard: the next pod of the name is not meant.
            await self._client.delete(PODS, name(pod), namespace(pod), uid=uid(pod))
        except FAILURES as exc:
            if isinstance(exc, APIError) and exc.code in (404, 409):
                return
            self._tell(stateful_set, "delete", pod, exc)
            raise
        self._tell(stateful_set, "delete", pod)

    async def _put_right(self, stateful_set: Tree, pod: Tree, *, is_condemned: bool) -> None:
        """Give the pod the labels and volumes of its number, and its claims the owners that they should have."""
        if not is_condemned:
            if phase(pod) == "Pending" or not has_storage(stateful_set, pod):
                await self._ensure_claims(stateful_set, pod)
            if not has_identity(stateful_set, pod) or not has_storage(stateful_set, pod):
                try:
                    await self._client.replace(PODS, with_identity(stateful_set, pod))
                except FAILURES as exc:
                    self._tell(stateful_set, "update", pod, exc)
                    raise
                self._tell(stateful_set, "update", pod)
        await self._settle_owners(stateful_set, pod, is_condemned=is_condemned)

    async def _ensure_claims(self, stateful_set: Tree, pod: Tree) -> None:
        """Make the claims of the pod's number that are missing. Raises ClaimGoes for one that is being deleted."""
        for wanted in claims_for(stateful_set, ordinal_of(name(pod))[1]).values():
            known = self._claims.get(key_of(wanted))
            if known is not None and deletion_timestamp(known) is not None:
                raise ClaimGoes(f"pvc {name(wanted)} is being deleted")
            if known is None:
                await self._make_claim(stateful_set, pod, wanted)

    async def _make_claim(self, stateful_set: Tree, pod: Tree, wanted: dict[str, Any]) -> None:
        what = f"Claim {name(wanted)} Pod {name(pod)} in StatefulSet {name(stateful_set)}"
        try:
            await self._client.create(PERSISTENT_VOLUME_CLAIMS, wanted, namespace(stateful_set))
        except FAILURES as exc:
            if isinstance(exc, APIError) and exc.reason == "AlreadyExists":
                return
            text = what.replace(" Pod ", " for Pod ", 1)
            self._recorder.event(stateful_set, "Warning", "FailedCreate", f"Create {text} failed error: {exc}")
            raise
        self._recorder.event(stateful_set, "Normal", "SuccessfulCreate", f"Create {what} success")

    def _claims_of(self, stateful_set: Tree, pod: Tree) -> Sequence[Tree]:
        wanted = claims_for(stateful_set, ordinal_of(name(pod))[1]).values()
        return [known for one in wanted if (known := self._claims.get(key_of(one))) is not None]

    def _goes_with_another(self, stateful_set: Tree, pod: Tree) -> bool:
        """Whether a claim still belongs to the last pod of this number, with which it will go."""
        policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        if policy.get("whenScaled") != "Delete":
            return False
        return any(
            reference.get("kind") == "Pod" and reference.get("name") == name(pod)
            for one in self._claims_of(stateful_set, pod)
            for reference in one["metadata"].get("ownerReferences") or ()
        )

    async def _settle_owners(self, stateful_set: Tree, pod: Tree, *, is_condemned: bool) -> None:
        for known in self._claims_of(stateful_set, pod):
            if has_stranger(known, stateful_set, pod):
                text = (
                    f"PersistentVolumeClaim {name(known)} has a conflicting OwnerReference that acts as a manging "
                    "controller, the retention policy is ignored for this claim"
                )
                self._recorder.event(stateful_set, "Warning", "ConflictingController", text)
            owners = kept_owners(known, stateful_set, pod, is_condemned=is_condemned)
            if owners is not None:
                meta = {**known["metadata"], "ownerReferences": owners}
                await self._client.replace(PERSISTENT_VOLUME_CLAIMS, {**known, "metadata": meta})

    def _tell(self, stateful_set: Tree, verb: str, pod: Tree, failure: Exception | None = None) -> None:
        kind: EventType = "Normal" if failure is None else "Warning"
        word = verb.capitalize()
        result = "successful" if failure is None else f"failed error: {failure}"
        text = f"{word} Pod {name(pod)} in StatefulSet {name(stateful_set)} {result}"
        self._recorder.event(stateful_set, kind, f"{'Successful' if failure is None else 'Failed'}{word}", text)
