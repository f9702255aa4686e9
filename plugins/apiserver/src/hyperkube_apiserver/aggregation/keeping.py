"""Looks out for APIServices that name a service, and has them followed from the first one on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from hyperkube_apiserver.aggregation.gauges import register_availability
from hyperkube_apiserver.assembly import API
from hyperkube_machinery.clock import Clock

if TYPE_CHECKING:
    from hyperkube_apiserver.aggregation.backend import ProxyCertificate

__all__ = ["API_SERVICES", "keep_aggregated"]

API_SERVICES = ("apiregistration.k8s.io", "apiservices")


async def keep_aggregated(
    api: API, clock: Clock, certificate: Callable[[], ProxyCertificate], *, follows_redirects: bool = False
) -> NoReturn:
    """Pass on to other servers what APIServices say that they answer for, until cancelled.

    `certificate` is what this server shows them.
    """
    changed = asyncio.Event()
    cache = api.resource(*API_SERVICES).cache
    cache.observe(lambda event: changed.set())
    register_availability(api.instruments.registry, cache)
    while not any(b'"service":{' in item.body for item in cache.items()):
        await changed.wait()
        changed.clear()
    from hyperkube_apiserver.aggregation.aggregator import Aggregator  # most servers have none

    await Aggregator(api, clock, certificate, follows_redirects=follows_redirects).run(changed)
