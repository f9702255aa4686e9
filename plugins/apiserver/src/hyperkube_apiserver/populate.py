"""Write what a server must hold before anybody asks, at every start. What that is says `bootstrap`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, NoReturn

from hyperkube_apiserver.assembly import API, Settings
from hyperkube_apiserver.bootstrap import (
    AUTHENTICATION,
    SERVICE_RANGE,
    Action,
    Key,
    TrustedProxies,
    Write,
    objects,
    ready,
    reconcile,
    with_authorities,
)
from hyperkube_apiserver.clusterdefaults import cluster_objects, flow_control_objects, revisions
from hyperkube_apiserver.parameters import DeleteOptions
from hyperkube_apiserver.registry.ownership import copied
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.storage.interface import Unavailable
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["keep_flow_control", "populate", "publish_authorities"]

log = logging.getLogger(__name__)

KEEP_SECONDS = 60.0
_ENDPOINTS = ("endpoints", "endpointslices")


async def populate(api: API, clock: Clock, settings: Settings, *, secure_port: int, address: str | None = None) -> None:
    """Make the bootstrap objects that are missing, and give those that lost something that back.

    `address` is where others reach this server, None where nobody knows that.
    """
    await api.addresses.settle()  # else an earlier server that crashed might hold the address of the service
    service_range, service_ip = ",".join(map(str, settings.service_networks)), settings.service_address
    wanted = [
        *objects(service_range=service_range, service_ip=service_ip, secure_port=secure_port, address=address),
        *cluster_objects(api.kinds.values()),
    ]
    existing = _existing(api, (key for key, _ in wanted))
    writes = [*reconcile(existing, wanted), *revisions(existing, wanted)]
    now = format_seconds(clock.now())
    # Namespaces first, for the others live in them; all the rest at once, which makes it one commit.
    for first in (True, False):
        await asyncio.gather(
            *(_settle(api, write, now) for write in writes if (write.key.resource == "namespaces") is first)
        )
        await api.hub.fresh()
    await _declare_ready(api, service_range, now)
    log.debug("wrote %d bootstrap objects", len(writes))


async def publish_authorities(api: API, clock: Clock, pem: str, proxies: TrustedProxies | None = None) -> None:
    """Tell servers beside this one whose certificates name users, where upstream tells it.

    `pem` are the authorities of this server's clients; those that another server has published stay.
    Source: k8s.io/kubernetes/pkg/controlplane/controller/clusterauthenticationtrust.
    """
    existing = _existing(api, (AUTHENTICATION,)).get(AUTHENTICATION)
    obj = with_authorities(existing, pem, proxies)
    if obj is not None:
        action = Action.CREATE if existing is None else Action.UPDATE
        await _carry_out(api, Write(action, AUTHENTICATION, obj), format_seconds(clock.now()))


def _existing(api: API, keys: Iterable[Key]) -> dict[Key, dict[str, Any]]:
    """Those of the objects called `keys` that there are."""
    found = {}
    for key in keys:
        served = api.resource(key.group, key.resource)
        item = served.cache.get(served.kind.key(key.namespace, key.name))
        if item is not None:
            found[key] = decode_body(item.body)
    return found


async def keep_flow_control(api: API, clock: Clock) -> NoReturn:
    """Give flow control what it must have, and what is suggested, now and then until cancelled."""
    wanted = list(flow_control_objects())
    while True:
        await clock.sleep(KEEP_SECONDS)
        existing = _existing(api, (key for key, _ in wanted))
        now = format_seconds(clock.now())
        for write in (*reconcile(existing, wanted), *revisions(existing, wanted)):
            try:
                await _carry_out(api, write, now)
            except (APIError, Unavailable) as exc:  # another will have been faster; there is a next time
                log.warning("flow control could not be kept as it should be: %s", exc)


async def _declare_ready(api: API, service_range: str, now: str) -> None:
    """Say of the range of cluster IPs that it is ready, unless somebody has said something."""
    served = api.resource(SERVICE_RANGE.group, SERVICE_RANGE.resource)
    item = served.cache.get(served.kind.key("", SERVICE_RANGE.name))
    if item is None or ready(decode_body(item.body), service_range, now=now) is None:
        return
    context = WriteContext(now=now, subresource="status")
    await served.registry.update(
        SERVICE_RANGE.name, lambda old: ready(old, service_range, now=now) or old, context, log.warning
    )
    await api.hub.fresh()


async def _settle(api: API, write: Write, now: str) -> None:
    """Carry a write out, unless another server on the same store was faster."""
    try:
        await _carry_out(api, write, now)
    except APIError as exc:
        if exc.reason in ("AlreadyExists", "Conflict", "NotFound"):
            log.debug("another server has written %s: %s", write.key.name, exc)
        elif write.key.resource in _ENDPOINTS and exc.reason == "Invalid":
            # As upstream where it is told to advertise a loopback address: clients on this machine need no endpoints.
            log.error("unable to perform initial Kubernetes service initialization: %s", exc)
        else:
            raise


async def _carry_out(api: API, write: Write, now: str) -> None:
    key = write.key
    registry = api.resource(key.group, key.resource).registry
    context = WriteContext(now=now, namespace=key.namespace)
    if write.action is Action.UPDATE:
        await registry.update(key.name, lambda old: copied(write.obj), context, log.warning)
        return
    if write.action is Action.REPLACE:
        await registry.delete(key.name, DeleteOptions(), context, log.warning)
    await registry.create(write.obj, context, log.warning)
