"""A way out of the pods' network: endpoints that are not in it, such as the API server, get an address that is.

A relay listens on the node's own address in the pods' network and connects on the host. Its port follows from where it
leads, so that a proxy that starts again finds rules that are right already.
"""

from __future__ import annotations

import errno
import hashlib
import logging
from collections.abc import Collection, Iterator

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.podnetwork import PodNetwork
from hyperkube_proxy.model import Endpoint, PortName, Protocol
from hyperkube_proxy.parts import Routes, SyncError
from hyperkube_proxy.reach import Reach
from hyperkube_proxy.relaying.balancer import Balancer, Target
from hyperkube_proxy.relaying.openings import Relay, Relays
from hyperkube_proxy.rules import Route
from hyperkube_proxy.slices import sliced

__all__ = ["InwardRelays", "preferred_ports"]

log = logging.getLogger(__name__)

_PORTS = range(20000, 30000)
"""Below the node ports, and below what the kernel gives to connections."""

_ATTEMPTS = 16

_Way = tuple[Protocol, Target]


def preferred_ports(protocol: Protocol, target: Target) -> Iterator[int]:
    """Ports to try for the way to `target`, the same ones every time."""
    seed = int.from_bytes(hashlib.sha256(f"{protocol} {target[0]} {target[1]}".encode()).digest()[:4], "big")
    for attempt in range(_ATTEMPTS):
        yield _PORTS[(seed + attempt) % len(_PORTS)]


class InwardRelays:
    """Relays for the endpoints outside, each there while a route has it."""

    def __init__(self, network: PodNetwork, gateway: str, reach: Reach, relays: Relays, clock: Clock) -> None:
        self._network = network
        self._gateway = gateway
        self._reach = reach
        self._relays = relays
        self._clock = clock
        self._wanted: dict[PortName, frozenset[_Way]] = {}  # of ports that have an endpoint outside
        self._open: dict[_Way, Relay] = {}

    async def sync(self, routes: Routes, changed: Collection[PortName] | None) -> None:
        """Follow `routes`. Raises SyncError where no port could be had."""
        if changed is None:
            changed = {*routes, *self._wanted}
        async for name in sliced(changed):
            ways = frozenset(self._ways(routes[name])) if name in routes else None
            if ways:
                self._wanted[name] = ways
            else:
                self._wanted.pop(name, None)
        wanted: set[_Way] = set().union(*self._wanted.values())
        for way in self._open.keys() - wanted:
            self._open.pop(way).close()
        for way in wanted - self._open.keys():
            self._open[way] = await self._opened(*way)

    def inside(self, endpoint: Endpoint, protocol: Protocol) -> Endpoint:
        """Where `endpoint` is reached from inside: itself, or the relay that leads to it."""
        relay = self._open.get((protocol, (endpoint.ip, endpoint.port)))
        if relay is None:
            return endpoint
        return endpoint._replace(ip=self._gateway, port=relay.address[1])

    def _ways(self, route: Route) -> Iterator[_Way]:
        protocol = route.port.protocol
        for endpoint in route.reachable if protocol != "SCTP" else ():
            if self._reach.is_outside(endpoint.ip):
                yield protocol, (endpoint.ip, endpoint.port)

    async def _opened(self, protocol: Protocol, target: Target) -> Relay:
        balancer = Balancer(self._clock.monotonic)
        balancer.update([target])
        for port in preferred_ports(protocol, target):
            try:
                address = (self._gateway, port)
                return await self._relays.open(self._network, protocol, address, balancer, self._reach)
            except OSError as exc:
                if exc.errno != errno.EADDRINUSE:
                    raise
        raise SyncError(f"no port is free at {self._gateway} in the pods' network for {target[0]}:{target[1]}")
