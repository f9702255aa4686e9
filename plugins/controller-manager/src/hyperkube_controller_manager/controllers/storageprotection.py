"""Claims, volumes and classes of volumes' attributes stay while they are in use: each has a finalizer until then.

Source: k8s.io/kubernetes/pkg/controller/volume/{pvcprotection,pvprotection,vacprotection}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.storageuse import by_claim, classes_of_claim, classes_of_volume, is_bound, uses_claim
from hyperkube_machinery import meta
from hyperkube_machinery.builtin import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.informers import Informer, key_of
from hyperkube_machinery.resources import Resource

__all__ = ["run_claims", "run_classes", "run_volumes"]

Tree = Mapping[str, Any]

_CLASSES = Resource(
    group="storage.k8s.io",
    version="v1",
    resource="volumeattributesclasses",
    kind="VolumeAttributesClass",
    singular="volumeattributesclass",
    namespaced=False,
    verbs=("get", "list", "update", "watch"),
)
_BY_CLAIM, _BY_CLASS = "claim", "volumeattributesclass"


async def run_claims(context: ControllerContext) -> None:
    """Protect claims that pods use. Serves until cancelled."""
    pods = context.informers.of(PODS, indexes={_BY_CLAIM: by_claim})

    async def is_used(claim: Tree) -> bool:
        if any(uses_claim(pod, claim) for pod in pods.by(_BY_CLAIM, key_of(claim))):
            return True
        live = await context.client.list(PODS, meta.namespace(claim))  # the cache may not show one that just came
        return any(uses_claim(pod, claim) for pod in live.items)

    protection = _Protection(context, PERSISTENT_VOLUME_CLAIMS, "kubernetes.io/pvc-protection", is_used)

    def on_pod(old: Tree | None, new: Tree | None) -> None:
        for pod in (old, new):
            if pod is not None:
                protection.look_at(by_claim(pod))

    pods.on_change(on_pod)
    await protection.run()


async def run_volumes(context: ControllerContext) -> None:
    """Protect volumes that claims have. Serves until cancelled."""

    async def is_used(volume: Tree) -> bool:
        return is_bound(volume)

    await _Protection(context, PERSISTENT_VOLUMES, "kubernetes.io/pv-protection", is_used).run()


async def run_classes(context: ControllerContext) -> None:
    """Protect classes that claims or volumes have. Serves until cancelled."""
    users: list[tuple[Resource, Informer, Callable[[Tree], set[str]]]] = [
        (resource, context.informers.of(resource, indexes={_BY_CLASS: classes_of}), classes_of)
        for resource, classes_of in (
            (PERSISTENT_VOLUME_CLAIMS, classes_of_claim),
            (PERSISTENT_VOLUMES, classes_of_volume),
        )
    ]

    async def is_used(one: Tree) -> bool:
        name = meta.name(one)
        if any(informer.by(_BY_CLASS, name) for _, informer, _ in users):
            return True
        for resource, _, classes_of in users:
            if any(name in classes_of(obj) for obj in (await context.client.list(resource)).items):
                return True
        return False

    protection = _Protection(context, _CLASSES, "kubernetes.io/vac-protection", is_used)

    def follow(classes_of: Callable[[Tree], set[str]]) -> Callable[[Tree | None, Tree | None], None]:
        def on_user(old: Tree | None, _: Tree | None) -> None:
            if old is not None:
                protection.look_at(classes_of(old))

        return on_user

    for _, informer, classes_of in users:
        informer.on_change(follow(classes_of))
    await protection.run()


class _Protection:
    """Objects of one resource have a finalizer, until they are deleted and nobody uses them."""

    def __init__(
        self,
        context: ControllerContext,
        resource: Resource,
        finalizer: str,
        is_used: Callable[[Tree], Awaitable[bool]],
    ) -> None:
        self._context = context
        self._resource = resource
        self._finalizer = finalizer
        self._is_used = is_used
        self._objects = context.informers.of(resource)
        self._controller = Controller(
            f"{resource.resource}-protection", self._reconcile, clock=context.clock, metrics=context.metrics
        )
        self._objects.on_change(self._on_change)

    def look_at(self, keys: set[str]) -> None:
        """Whoever used these may do so no more."""
        for key in keys:
            obj = self._objects.get(key)
            if obj is not None and meta.deletion_timestamp(obj) is not None:
                self._controller.queue.add(key)

    async def run(self) -> None:
        await self._context.synced()
        await self._controller.run()

    def _on_change(self, _: Tree | None, new: Tree | None) -> None:
        if new is not None and self._may_change(new):
            self._controller.queue.add(key_of(new))

    def _may_change(self, obj: Tree) -> bool:
        return (self._finalizer in meta.finalizers(obj)) == (meta.deletion_timestamp(obj) is not None)

    async def _reconcile(self, key: str) -> None:
        obj = self._objects.get(key)
        if obj is None or not self._may_change(obj):
            return
        finalizers = [one for one in meta.finalizers(obj) if one != self._finalizer]
        if meta.deletion_timestamp(obj) is None:
            finalizers.append(self._finalizer)
        elif await self._is_used(obj):
            return
        try:
            changed = {**obj, "metadata": {**meta.metadata(obj), "finalizers": finalizers}}
            await self._context.client.replace(self._resource, changed)
        except APIError as exc:
            if exc.code != 404:
                raise
