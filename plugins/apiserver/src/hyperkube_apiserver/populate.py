"""Write what a server must hold before anybody asks, at every start. What that is says `bootstrap`."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from hyperkube_apiserver.assembly import API
from hyperkube_apiserver.bootstrap import Action, Key, Write, objects, reconcile
from hyperkube_apiserver.parameters import DeleteOptions
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["populate"]

log = logging.getLogger(__name__)


async def populate(api: API, clock: Clock, *, service_address: str, secure_port: int) -> None:
    """Make the bootstrap objects that are missing, and give those that lost something that back."""
    wanted = list(objects(service_ip=service_address, secure_port=secure_port))
    existing: dict[Key, dict[str, Any]] = {}
    for key, _ in wanted:
        served = api.resource(key.group, key.resource)
        item = served.cache.get(served.kind.key(key.namespace, key.name))
        if item is not None:
            existing[key] = decode_body(item.body)
    writes = reconcile(existing, wanted)
    if not writes:
        return
    now = format_seconds(clock.now())
    # Namespaces first, for the others live in them; all the rest at once, which makes it one commit.
    for first in (True, False):
        await asyncio.gather(
            *(_carry_out(api, write, now) for write in writes if (write.key.resource == "namespaces") is first)
        )
        await api.hub.fresh()
    log.debug("wrote %d bootstrap objects", len(writes))


async def _carry_out(api: API, write: Write, now: str) -> None:
    key = write.key
    registry = api.resource(key.group, key.resource).registry
    context = WriteContext(now=now, namespace=key.namespace)
    if write.action is Action.UPDATE:
        await registry.update(key.name, lambda old: write.obj, context, log.warning)
        return
    if write.action is Action.REPLACE:
        await registry.delete(key.name, DeleteOptions(), context, log.warning)
    await registry.create(write.obj, context, log.warning)
