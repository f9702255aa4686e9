"""Listens on services' addresses in the pods' network, and relays what comes."""

from __future__ import annotations

import errno
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.podnetwork import PodNetwork
from hyperkube_proxy.backends.userspace.addresses import LocalAddresses
from hyperkube_proxy.backends.userspace.frontends import Frontend, admission, frontends
from hyperkube_proxy.model import PortName
from hyperkube_proxy.parts import Routes
from hyperkube_proxy.reach import Reach
from hyperkube_proxy.relaying.balancer import Balancer
from hyperkube_proxy.relaying.openings import Relay, Relays, targets
from hyperkube_proxy.rules import Route
from hyperkube_proxy.slices import sliced

__all__ = ["UserspaceBackend"]

log = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0
_HOPELESS = frozenset({errno.EADDRNOTAVAIL, errno.EACCES})
"""What doesn't pass: the address is not one of this machine's, or the port is not for this user."""


@dataclass(slots=True)
class _Served:
    """One service's port: who is chosen for it, and where it is listened for."""

    internal: Balancer
    external: Balancer
    relays: dict[Frontend, Relay] = field(default_factory=dict)


class UserspaceBackend:
    """A relay at each address of each service's port."""

    def __init__(
        self, network: PodNetwork, reach: Reach, relays: Relays, clock: Clock, *, node_addresses: Sequence[str]
    ) -> None:
        self._network = network
        self._reach = reach
        self._relays = relays
        self._clock = clock
        self._node_addresses = tuple(node_addresses)
        self._served: dict[PortName, _Served] = {}
        self._addresses = LocalAddresses(network)
        self._missing: set[PortName] = set()  # that are not listened for everywhere yet
        self._told_of: set[Frontend] = set()

    async def sync(self, routes: Routes, changed: Collection[PortName] | None) -> float | None:
        """Follow `routes`; an address that can't be listened on is told of once, and tried again later."""
        if changed is None:
            self._addresses.forget()
            changed = {*routes, *self._served}
        else:
            changed = {*changed, *self._missing}
        wanted: dict[PortName, tuple[Frontend, ...]] = {}
        async for name in sliced(changed):  # first of all what connections depend on
            self._balance(name, routes.get(name))
            wanted[name] = self._frontends(routes.get(name))
            self._close_others(name, wanted[name])
        await self._addresses.add({place.host for places in wanted.values() for place in places if not place.of_node})
        self._missing = {name for name, places in wanted.items() if not await self._open(name, places)}
        await self._addresses.keep_only({address for route in routes.values() for address in _addresses(route)})
        return _RETRY_SECONDS if self._missing else None

    async def close(self) -> None:
        """Let go of addresses that lead nowhere without this process."""
        await self._addresses.keep_only(())

    def _frontends(self, route: Route | None) -> tuple[Frontend, ...]:
        return () if route is None else tuple(frontends(route, self._node_addresses))

    def _balance(self, name: PortName, route: Route | None) -> None:
        if route is None:
            return
        served = self._served.get(name)
        if served is None:
            now = self._clock.monotonic
            served = self._served[name] = _Served(Balancer(now), Balancer(now))
        seconds = route.port.affinity_seconds
        served.internal.update(targets(route.internal), affinity_seconds=seconds)
        served.external.update(targets(route.external), affinity_seconds=seconds)
        for relay in served.relays.values():
            relay.drop_strays()

    def _close_others(self, name: PortName, places: Collection[Frontend]) -> None:
        served = self._served.get(name)
        if served is None:
            return
        for place in [place for place in served.relays if place not in places]:
            served.relays.pop(place).close()
        if not places:
            del self._served[name]

    async def _open(self, name: PortName, places: Collection[Frontend]) -> bool:
        """Open what isn't open yet; False where it is worth trying again."""
        served = self._served.get(name)
        if served is None:
            return True
        good = True
        for place in places:
            if place in served.relays:
                continue
            balancer = served.external if place.external else served.internal
            admits = admission(place.source_ranges)
            try:
                served.relays[place] = await self._relays.open(
                    self._network, place.protocol, (place.host, place.port), balancer, self._reach, admits=admits
                )
            except OSError as exc:
                self._tell(name, place, exc)
                good = good and exc.errno in _HOPELESS
            else:
                self._told_of.discard(place)
        return good

    def _tell(self, name: PortName, place: Frontend, exc: OSError) -> None:
        if place not in self._told_of:
            self._told_of.add(place)
            text = "cannot listen on %s:%d/%s for %s: %s"
            log.warning(text, place.host, place.port, place.protocol, name, exc.strerror or exc)


def _addresses(route: Route) -> Iterator[str]:
    yield route.port.cluster_ip
    yield from route.port.external_ips
    yield from route.port.load_balancer_ips
