"""Namespaces: one that is deleted is emptied, then let go.

Source: k8s.io/kubernetes/pkg/controller/namespace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.namespacestatus import Leftovers, conditions_after, grace_estimate
from hyperkube_controller_manager.podcontrol import FAILURES
from hyperkube_machinery import meta, timestamps
from hyperkube_machinery.builtin import NAMESPACES, PODS
from hyperkube_machinery.client import ClientError, Listing
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.resources import Resource
from hyperkube_machinery.workqueue import WorkQueue

__all__ = ["run"]

Tree = Mapping[str, Any]

_FINALIZER = "kubernetes"
_REST_SECONDS = 5.0
"""How long a deleted namespace is left as it is: others may not know yet, and still make things in it."""
_LONGEST_BACK_OFF_SECONDS = 60.0


class NotEmptied(ClientError):
    """Some content of a namespace could not be deleted; it is tried again."""


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    controller = _Namespaces(context)
    await context.synced()
    await controller.run()


class _Namespaces:
    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._clock = context.clock
        self._namespaces = context.informers.of(NAMESPACES)
        self._queue: WorkQueue[str] = WorkQueue(
            context.clock, name="namespace", metrics=context.metrics, longest_retry_seconds=_LONGEST_BACK_OFF_SECONDS
        )
        workers = context.options.concurrent_namespace_syncs
        self._controller = Controller(
            context.name, self._reconcile, queue=self._queue, workers=workers, clock=context.clock
        )
        self._namespaces.on_change(self._on_change)

    async def run(self) -> None:
        await self._controller.run()

    def _on_change(self, _: Tree | None, new: Tree | None) -> None:
        if new is not None and meta.deletion_timestamp(new) is not None:
            self._queue.add_after(meta.name(new), _REST_SECONDS)

    async def _reconcile(self, name: str) -> float | None:
        if self._namespaces.get(name) is None:
            return None
        try:
            namespace = await self._client.get(NAMESPACES, name)
            if meta.deletion_timestamp(namespace) is None or not _finalizers(namespace):
                return None
            left = await self._empty(namespace)
            await self._tell(namespace, left)
            if left.failures:
                raise NotEmptied("; ".join(left.failures))
            if left.estimate_seconds:
                return left.estimate_seconds // 2 + 1
            await self._let_go(namespace)
        except APIError as exc:
            if exc.code != 404:
                raise
        return None

    async def _empty(self, namespace: Tree) -> Leftovers:
        """Delete all that is in it; pods first and, while there are some, alone, for they may need the rest."""
        left = Leftovers()
        resources: Sequence[Resource] = ()
        try:
            resources = await self._client.discover()
        except FAILURES as exc:
            left.undiscovered = str(exc)
        deletable = [one for one in resources if one.namespaced and "delete" in one.verbs]
        first = [one for one in deletable if _is_pods(one)]
        for resource in first or [PODS]:
            await self._delete_all(namespace, resource, left)
        if not left.remaining:
            for resource in deletable:
                if not _is_pods(resource):
                    await self._delete_all(namespace, resource, left)
        return left

    async def _delete_all(self, namespace: Tree, resource: Resource, left: Leftovers) -> None:
        name = meta.name(namespace)
        try:
            grace = await self._grace(namespace) if _is_pods(resource) else 0.0
            if "deletecollection" in resource.verbs:
                await self._client.delete_collection(resource, name, propagation="Background")
            else:
                for obj in (await self._list(resource, name)).items:
                    await self._delete(resource, obj)
            left.found(name, resource, (await self._list(resource, name)).items, grace)
        except APIError as exc:
            if exc.code not in (404, 405):  # it may have left the API since
                left.failed(str(exc))
        except FAILURES as exc:
            left.failed(str(exc))

    async def _list(self, resource: Resource, namespace: str) -> Listing:
        if "list" not in resource.verbs:
            return Listing([], "")
        return await self._client.list(resource, namespace, metadata_only=True)

    async def _delete(self, resource: Resource, obj: Tree) -> None:
        try:
            await self._client.delete(resource, meta.name(obj), meta.namespace(obj), propagation="Background")
        except APIError as exc:
            if exc.code not in (404, 405):
                raise

    async def _grace(self, namespace: Tree) -> float:
        pods = await self._client.list(PODS, meta.name(namespace))
        since = self._clock.now() - timestamps.parse(meta.deletion_timestamp(namespace) or "")
        return grace_estimate(pods.items, since)

    async def _tell(self, namespace: Tree, left: Leftovers) -> None:
        status = namespace.get("status") or {}
        now = timestamps.format_seconds(self._clock.now())
        conditions = conditions_after(status.get("conditions") or (), left, now)
        if conditions is None:
            return
        try:
            changed = {**namespace, "status": {**status, "conditions": conditions}}
            await self._client.replace(NAMESPACES, changed, subresource="status")
        except APIError as exc:
            if exc.code != 409:  # whoever changed it meanwhile has it looked at again
                raise

    async def _let_go(self, namespace: Tree) -> None:
        while True:
            finalizers = [one for one in _finalizers(namespace) if one != _FINALIZER]
            changed = {**namespace, "spec": {**(namespace.get("spec") or {}), "finalizers": finalizers}}
            try:
                await self._client.replace(NAMESPACES, changed, subresource="finalize")
            except APIError as exc:
                if exc.code != 409:
                    raise
            else:
                return
            fresh = await self._client.get(NAMESPACES, meta.name(namespace))
            if meta.uid(fresh) != meta.uid(namespace):
                return
            namespace = fresh


def _finalizers(namespace: Tree) -> Sequence[str]:
    return (namespace.get("spec") or {}).get("finalizers") or ()


def _is_pods(resource: Resource) -> bool:
    return (resource.group, resource.resource) == ("", "pods")
