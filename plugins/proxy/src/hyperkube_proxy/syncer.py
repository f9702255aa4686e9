"""Brings what is there in step with the model, whenever that changes and not more often than allowed.

Source of the pace: k8s.io/kubernetes/pkg/proxy/runner: at once when the last time is long enough ago, else as soon as
it is; after a failure again after a pause that doubles.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from math import inf
from typing import NoReturn

from hyperkube_machinery.clock import Clock
from hyperkube_proxy.changes import Changed, Model
from hyperkube_proxy.healthcheck import Health
from hyperkube_proxy.instruments import Instruments
from hyperkube_proxy.model import Family, PortName, ServiceName
from hyperkube_proxy.parts import Part, SyncError
from hyperkube_proxy.rules import Place, Route, route
from hyperkube_proxy.slices import sliced

__all__ = ["FULL_SYNC_SECONDS", "Syncer"]

log = logging.getLogger(__name__)

FULL_SYNC_SECONDS = 3600.0
"""How often everything is looked at, although nothing failed. Source: k8s.io/kubernetes/pkg/proxy/util."""

_FIRST_RETRY_SECONDS = 0.5


class Syncer:
    """Keeps `parts`, in their order, in step with `model`."""

    def __init__(
        self,
        model: Model,
        clock: Clock,
        instruments: Instruments,
        health: Health,
        *,
        min_seconds: float,
        longest_retry_seconds: float,
    ) -> None:
        self._model = model
        self._clock = clock
        self._instruments = instruments
        self._health = health
        self._min_seconds = min_seconds
        self._longest_retry_seconds = longest_retry_seconds
        self._wanted = asyncio.Event()
        self._place = Place()
        self._parts: Sequence[Part] = ()
        self._failed: set[Part] = set()  # their next turn looks at everything
        self._anew = False  # every route is to be found again
        self._again_seconds = inf  # when a part wants another turn
        self.routes: dict[PortName, Route] = {}
        self._names: dict[ServiceName, frozenset[PortName]] = {}
        self.synced = asyncio.Event()  # set once everything was in step for the first time

    def use(self, parts: Sequence[Part]) -> None:
        """Keep these in step from now on; the next sync looks at everything."""
        self._parts = parts
        self._failed = set(parts)
        self._anew = True  # whoever ran before may have been cancelled between taking changes and following them
        self.queue()

    def move(self, place: Place) -> None:
        """This node is called otherwise, or is in another zone."""
        if place != self._place:
            self._place = place
            self._anew = True
            self.queue()

    def queue(self) -> None:
        """Have a sync soon."""
        if not self._wanted.is_set():
            self._instruments.queued(self._clock.now())
            self._health.queued()
        self._wanted.set()

    async def run(self) -> NoReturn:
        """Sync whenever it is wanted, until cancelled."""
        retry_seconds = 0.0
        full_at = self._clock.monotonic() + FULL_SYNC_SECONDS
        while True:
            await self._until_wanted(min(retry_seconds or self._again_seconds, full_at - self._clock.monotonic()))
            began = self._clock.monotonic()
            if began >= full_at:
                self._failed = set(self._parts)
            if self._failed:
                full_at = began + FULL_SYNC_SECONDS
            if await self.sync():
                retry_seconds = 0.0
            else:
                retry_seconds = min(max(2 * retry_seconds, _FIRST_RETRY_SECONDS), self._longest_retry_seconds)
            await self._clock.sleep(began + self._min_seconds - self._clock.monotonic())

    async def _until_wanted(self, seconds: float) -> None:
        """Return when a sync is wanted, `seconds` later at the latest."""
        waiting = asyncio.ensure_future(self._wanted.wait())
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((waiting, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            sleeping.cancel()

    async def sync(self) -> bool:
        """Bring everything in step once; whether that went well."""
        self._wanted.clear()
        began, full = self._clock.monotonic(), bool(self._failed)
        taken = self._model.take()
        changed = await self._follow(taken)
        good, again = True, inf
        for part in self._parts:
            try:
                again = min(again, await part.sync(self.routes, None if part in self._failed else changed) or inf)
            except (SyncError, OSError) as exc:
                log.error("cannot bring everything in step: %s", exc)
                self._failed.add(part)
                good = False
            else:
                self._failed.discard(part)
        self._again_seconds = again
        self._instruments.synced(self._clock.monotonic() - began, full=full)
        if good:
            self._note_success(taken)
        return good

    async def _follow(self, taken: Changed) -> Collection[PortName]:
        """Bring the routes up to date; the names of those that are new, different or gone."""
        services = taken.services
        if self._anew:
            self._anew = False
            services = services | self._model.services() | self._names.keys()
        changed = set()
        async for service in sliced(services):
            ports = self._model.ports(service)
            for name in self._names.pop(service, frozenset()).difference(ports):
                del self.routes[name]
                changed.add(name)
            if ports:
                self._names[service] = frozenset(ports)
            for name, port in ports.items():
                found = route(port, self._model.endpoints(name), self._place)
                if self.routes.get(name) != found:
                    self.routes[name] = found
                    changed.add(name)
        return changed

    def _note_success(self, taken: Changed) -> None:
        now = self._clock.now()
        self._instruments.succeeded(now, [now - trigger for trigger in taken.triggers])
        self._count_without_local()
        self._health.updated()
        self.synced.set()

    def _count_without_local(self) -> None:
        families: tuple[Family, ...] = ("IPv4", "IPv6")
        distant = [
            (name.family, found.port) for name, found in self.routes.items() if found.anywhere and not found.local
        ]
        for family in families:
            ports = [port for of, port in distant if of == family]
            self._instruments.without_local(
                family,
                internal=sum(port.internal_local for port in ports),
                external=sum(port.external_local for port in ports),
            )
