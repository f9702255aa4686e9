"""The end of a definition: its objects go first, then it may.

Source: k8s.io/apiextensions-apiserver/pkg/controller/finalizer (crd_finalizer.go).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from hyperkube_apiserver.call import Served
from hyperkube_apiserver.customresources.offered import CustomResources
from hyperkube_apiserver.customresources.resource import CustomResource
from hyperkube_apiserver.parameters import DeleteOptions
from hyperkube_apiserver.registry.apiextensions import states
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.item import Event, Item
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.errors import APIError

__all__ = ["Removal"]

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""How long objects may take to go before it is told that they don't, and tried again."""
AT_A_TIME = 64

Tree = dict[str, Any]
Change = Callable[[str, Tree, Callable[[Tree], Tree], WriteContext], Awaitable[Tree | None]]
"""Writes a definition, as it is by then, changed; None if it is gone."""


class Removal:
    """One attempt at removing a definition."""

    def __init__(self, custom: CustomResources, served: Served, name: str, context: WriteContext, clock: Clock) -> None:
        self._custom = custom
        self._served = served  # the definitions
        self._name = name
        self._context = context
        self._clock = clock

    async def attempt(self, change: Change) -> bool:
        """Delete the objects, wait until they are gone, and let go of the definition. Whether that is done."""
        item = self._served.cache.get(self._served.kind.key("", self._name))
        tree: Tree | None = decode_body(item.body) if item is not None else None
        if tree is None or not states.ends(tree):
            return True
        now = self._context.now
        tree = await change(self._name, tree, lambda one: states.ending(one, now), self._context)
        if tree is None:
            return True
        reason, why = await self._emptied()
        if reason:
            await change(self._name, tree, lambda one: states.failing(one, reason, why, now), self._context)
            return False
        await change(self._name, tree, lambda one: states.without_instances(one, now), self._context)
        return True

    async def _emptied(self) -> tuple[str, str]:
        """Nothing once no object is left; else why some are, as a reason and a text."""
        while (resource := self._custom.get(self._name)) is not None:
            await resource.opened()
            failed = await self._delete_all(resource)
            if failed:
                return "InstanceDeletionFailed", f"could not issue all deletes: {failed}"
            try:
                await within(self._clock, PATIENCE_SECONDS, _until_empty(resource))
            except TimeoutError:
                why = "could not confirm zero CustomResources remaining: context deadline exceeded"
                return "InstanceDeletionCheck", why
            if not resource.withdrawn:  # else the definition was changed meanwhile, and what was seen tells nothing
                break
        return "", ""

    async def _delete_all(self, resource: CustomResource) -> str:
        items = list(resource.cache.items())
        registry = resource.stored.registry
        failed: list[str] = []
        for start in range(0, len(items), AT_A_TIME):

            async def delete(item: Item) -> None:
                context = replace(
                    self._context, namespace=item.namespace, subresource="", in_collection=True, admitted=True
                )
                try:
                    await registry.delete(item.name, DeleteOptions(), context, log.warning)
                except APIError as exc:
                    if exc.code != 404:
                        failed.append(str(exc))

            await asyncio.gather(*map(delete, items[start : start + AT_A_TIME]))
        return failed[0] if failed else ""


async def _until_empty(resource: CustomResource) -> None:
    changed = asyncio.Event()

    def observe(event: Event) -> None:
        changed.set()

    resource.cache.observe(observe)
    resource.parting = changed.set
    try:
        while len(resource.cache) and not resource.withdrawn:
            changed.clear()
            await changed.wait()
    finally:
        resource.parting = None
        resource.cache.ignore(observe)
