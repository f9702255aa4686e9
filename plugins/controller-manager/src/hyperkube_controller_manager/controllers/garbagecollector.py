"""The garbage collector: objects go when their owners are gone, and owners after their dependents, or without them.

    informers of all that can be deleted ─→ graph ─→ findings ─┬─ examine ─→ are the owners there? keep, detach, delete
                                                               └─ orphan ─→ detach the dependents, then let go

The graph says what to look at; before anything is deleted the API server is asked whether it is so.
Source: k8s.io/kubernetes/pkg/controller/garbagecollector.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.disposal import Delete, Detach, Standing, verdict
from hyperkube_controller_manager.ownedobjects import ClusterScopedDependent, Kinds, ObjectGone, Objects, UnknownKind
from hyperkube_controller_manager.ownergraph import FOREGROUND, ORPHAN, Findings, Identity, Node, OwnerGraph, Reference
from hyperkube_controller_manager.podcontrol import FAILURES, together
from hyperkube_machinery import meta
from hyperkube_machinery.client import Client
from hyperkube_machinery.companions import Companions, companions
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.informers import Informer
from hyperkube_machinery.resources import Resource

__all__ = ["run"]

log = logging.getLogger(__name__)

Tree = Mapping[str, Any]
Place = tuple[str, str]  # group and resource

_DISCOVERY_SECONDS = 5.0
"""How often it is asked what is served: custom resources come and go, and nothing is sent where nothing changed."""
_SYNC_SECONDS = 30.0
"""After so long the work begins, though some resource could not be listed: the others are not to wait for it."""
_UNSEEN_SECONDS = 5.0
"""When to look again for an owner that is there, although no informer has told of it."""
_UNSYNCED_SECONDS = 1.0
_SETTLING_SECONDS = 0.2
"""Before dependents are orphaned: of one that was made just before, another informer may tell a little later."""
_ORPHANED_AT_ONCE = 20

_IGNORED = {("", "events"), ("events.k8s.io", "events")}
_KEPT = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    if not context.options.enable_garbage_collector:
        log.info("nothing is collected: --enable-garbage-collector is false")
        await context.synced()
        await asyncio.get_running_loop().create_future()
    async with companions() as beside:
        await _Collector(context, beside).run()


def slim(obj: dict[str, Any]) -> dict[str, Any]:
    """What the graph is made of, and no more: there is one for every object."""
    about = obj["metadata"]
    return {"metadata": {key: about[key] for key in _KEPT if key in about}}


class _Collector:
    def __init__(self, context: ControllerContext, beside: Companions) -> None:
        self._context = context
        self._client: Client = context.client
        self._recorder = context.recorder
        self._clock = context.clock
        self._beside = beside
        self._graph = OwnerGraph()
        self._kinds = Kinds()
        self._objects = Objects(context.client, self._kinds)
        self._monitors: dict[Place, tuple[Informer, asyncio.Task[Any]]] = {}
        workers, metrics = context.options.concurrent_gc_syncs, context.metrics
        self._examining = Controller(
            "garbage_collector_attempt_to_delete", self._examine, clock=context.clock, workers=workers, metrics=metrics
        )
        self._orphaning = Controller(
            "garbage_collector_attempt_to_orphan", self._orphan, clock=context.clock, workers=workers, metrics=metrics
        )
        self._to_examine, self._to_orphan = self._examining.queue, self._orphaning.queue

    async def run(self) -> NoReturn:
        await self._context.synced()  # the others first: their caches are fewer, and pods wait for them
        await self._begin()
        async with companions(self._examining.run(), self._orphaning.run()):
            await self._follow_discovery()

    # What there is.

    async def _begin(self) -> None:
        while not await self._discover():
            await self._clock.sleep(1.0)
        waiting = asyncio.ensure_future(self._synced())
        limit = asyncio.ensure_future(self._clock.sleep(_SYNC_SECONDS))
        try:
            await asyncio.wait((waiting, limit), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                unsynced = [one.resource.qualified for one, _ in self._monitors.values() if not one.synced]
                log.warning("beginning without having seen all of %s", ", ".join(unsynced))
        finally:
            waiting.cancel()
            limit.cancel()

    async def _synced(self) -> None:
        for informer, _ in [*self._monitors.values()]:
            await informer.wait_synced()

    async def _follow_discovery(self) -> NoReturn:
        while True:
            await self._clock.sleep(_DISCOVERY_SECONDS)
            await self._discover()

    async def _discover(self) -> bool:
        """Have an informer for every resource that can be collected; whether the API server said which these are."""
        try:
            resources = await self._client.discover()
        except FAILURES as exc:
            log.warning("cannot tell which resources there are: %s", exc)
            return False
        self._kinds.refresh(resources)
        wanted = {
            place: one
            for one in resources
            if {"delete", "list", "watch"} <= {*one.verbs} and (place := (one.group, one.resource)) not in _IGNORED
        }
        for place, (informer, task) in [*self._monitors.items()]:
            if wanted.get(place) != informer.resource:
                task.cancel()
                del self._monitors[place]
        for place, resource in wanted.items():
            if place not in self._monitors:
                self._monitors[place] = self._monitor(resource)
        return True

    def _monitor(self, resource: Resource) -> tuple[Informer, asyncio.Task[Any]]:
        informer = Informer(self._context.reader, self._clock, resource, metadata_only=True, keep=slim)
        informer.on_change(lambda old, new: self._on_change(resource, old, new))
        return informer, self._beside.start(informer.follow(), name=f"garbage collector's {resource.qualified}")

    def _on_change(self, resource: Resource, old: Tree | None, new: Tree | None) -> None:
        if old is not None and (new is None or meta.uid(new) != meta.uid(old)):
            self._act(self._graph.gone(meta.uid(old)))
        if new is not None:
            about = meta.namespace(new), meta.name(new), meta.uid(new)
            self._act(self._graph.observe(Identity(resource.api_version, resource.kind, *about), new))

    def _act(self, found: Findings) -> None:
        for uid in found.examine:
            self._to_examine.add(uid)
        for uid in found.later:
            self._to_examine.add_rate_limited(uid)
        for uid in found.orphan:
            self._to_orphan.add_after(uid, _SETTLING_SECONDS)
        for stranger in found.strangers:
            where = stranger.dependent
            about = {"namespace": where.namespace, "name": where.name, "uid": where.uid}
            dependent = {"apiVersion": where.api_version, "kind": where.kind, "metadata": about}
            message = f'ownerRef {stranger.owner} does not exist in namespace "{where.namespace}"'
            self._recorder.event(dependent, "Warning", "OwnerRefInvalidNamespace", message)

    # What is done about it.

    async def _examine(self, uid: str) -> float | None:
        node = self._graph.node(uid)
        if node is None or (node.being_deleted and not node.deleting_dependents):
            return None  # its end is on its way, and its dependents are looked at when it has come
        identity = node.identity
        try:
            latest = await self._objects.get(identity)
            if latest is None or meta.uid(latest) != uid:
                raise ObjectGone
            if node.deleting_dependents:
                await self._delete_dependents(node)
            else:
                await self._dispose(node, latest)
        except ObjectGone:
            self._act(self._graph.absent(identity))
            return None
        except ClusterScopedDependent as exc:
            log.info("%s", exc)
            return None
        except UnknownKind as exc:
            log.info("%s: %s", identity, exc)
            return _DISCOVERY_SECONDS
        return _UNSEEN_SECONDS if node.virtual and self._graph.node(uid) is node else None

    async def _delete_dependents(self, node: Node) -> None:
        blocking = node.blocking_dependents()
        if not blocking:
            await self._objects.remove_finalizer(node.identity, FOREGROUND)
        for dependent in blocking:
            if not dependent.deleting_dependents:
                self._to_examine.add(dependent.identity.uid)

    async def _dispose(self, node: Node, latest: Tree) -> None:
        """Do with the object what its owners call for. Raises ObjectGone."""
        owners = [(ref["uid"], await self._standing(node.identity, ref)) for ref in meta.owner_references(latest)]
        cycle = any(dependent.deleting_dependents for dependent in node.dependents)
        match verdict(owners, meta.finalizers(latest), dependents=len(node.dependents), cycle=cycle):
            case Detach(lost):
                await self._objects.detach(node.identity, lost)
            case Delete(propagation, unblocks):
                if unblocks:
                    await self._objects.unblock(node.identity)
                    latest = await self._objects.get(node.identity) or latest
                await self._objects.delete(node.identity, latest, propagation)

    async def _standing(self, dependent: Identity, ref: Tree) -> Standing:
        api_version, kind = ref.get("apiVersion") or "", ref.get("kind") or ""
        named = Reference(api_version, kind, ref.get("name") or "", ref.get("uid") or "")
        if self._graph.is_known_absent(named.at("")) or self._graph.is_known_absent(named.at(dependent.namespace)):
            return Standing.DANGLING
        resource = self._kinds.of(api_version, kind)
        if resource.namespaced and not dependent.namespace:
            raise ClusterScopedDependent(f"{dependent} is in no namespace, but its owner {named.name} of {kind} is")
        place = named.at(dependent.namespace if resource.namespaced else "")
        owner = await self._objects.get(place)
        if owner is None or meta.uid(owner) != named.uid:
            self._graph.mark_absent(place)
            return Standing.DANGLING
        leaving = meta.deletion_timestamp(owner) is not None and FOREGROUND in meta.finalizers(owner)
        return Standing.WAITING if leaving else Standing.SOLID

    async def _orphan(self, uid: str) -> float | None:
        node = self._graph.node(uid)
        if node is None or not node.orphaning:
            return None
        if not all(informer.synced for informer, _ in self._monitors.values()):
            return _UNSYNCED_SECONDS  # a dependent that nobody told of would be taken for lost afterwards
        at_once = asyncio.Semaphore(_ORPHANED_AT_ONCE)

        async def let_go(dependent: Identity) -> None:
            async with at_once:
                with suppress(ObjectGone):
                    await self._objects.detach(dependent, (uid,))

        (await together(let_go, [one.identity for one in node.dependents])).check()
        await self._objects.remove_finalizer(node.identity, ORPHAN)
        return None
