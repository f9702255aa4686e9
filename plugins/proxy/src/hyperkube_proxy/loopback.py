"""Each service's port on this machine's loopback, and the file that says where.

A port with a node port is at that number where it is free; any other has a number that the system chose, and keeps it
when the proxy starts again.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.files import write_durably
from hyperkube_machinery.podnetwork import HostNetwork
from hyperkube_proxy.model import PortName, ServicePort
from hyperkube_proxy.parts import Routes
from hyperkube_proxy.reach import Reach
from hyperkube_proxy.relaying.balancer import Balancer
from hyperkube_proxy.relaying.openings import Relay, Relays, targets
from hyperkube_proxy.rules import Route
from hyperkube_proxy.slices import sliced

__all__ = ["LoopbackRelays", "StatusFile", "status_key"]

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
_RETRY_SECONDS = 30.0

Status: TypeAlias = Mapping[str, str]


def status_key(port: ServicePort) -> str:
    """`namespace/name/port`, with the protocol behind it where that isn't TCP."""
    protocol = "" if port.protocol == "TCP" else f":{port.protocol}"
    return f"{port.name.namespace}/{port.name.service}/{port.port}{protocol}"


class StatusFile:
    """Says where services are reached: a JSON object, `{"default/web/80": "127.0.0.1:40123"}`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: Status | None = None

    def read(self) -> Status:
        """What a proxy wrote before; nothing where there is no such file."""
        with suppress(OSError, ValueError):
            found = json.loads(self._path.read_bytes())
            if isinstance(found, dict):
                return {key: value for key, value in found.items() if isinstance(value, str)}
        return {}

    def write(self, status: Status) -> None:
        """Raises OSError."""
        if status != self._written:
            write_durably(self._path, json.dumps(status, indent=1, sort_keys=True).encode() + b"\n")
            self._written = dict(status)


@dataclass(slots=True)
class _Open:
    key: str
    wanted: int  # the node port, or 0
    balancer: Balancer
    relay: Relay


class LoopbackRelays:
    """A relay for each service's port of IPv4, on loopback of the host."""

    def __init__(self, reach: Reach, relays: Relays, clock: Clock, file: StatusFile) -> None:
        self._reach = reach
        self._relays = relays
        self._clock = clock
        self._file = file
        self._host = HostNetwork()
        self._open: dict[PortName, _Open] = {}
        self._missing: set[PortName] = set()
        self._before = file.read()

    async def sync(self, routes: Routes, changed: Collection[PortName] | None) -> float | None:
        """Follow `routes`. Raises OSError where the file can't be written."""
        names = {*routes, *self._open} if changed is None else {*changed, *self._missing}
        async for name in sliced(names):
            self._adjust(name, routes.get(name))
        self._missing.clear()
        for name in sorted(names):
            route = routes.get(name)
            if route is not None and name not in self._open and name.family == "IPv4" and name.protocol != "SCTP":
                try:
                    self._open[name] = await self._opened(route)
                except OSError as exc:
                    log.warning("cannot listen on loopback for %s: %s", name, exc.strerror or exc)
                    self._missing.add(name)
        status = {opened.key: f"{HOST}:{opened.relay.address[1]}" for opened in self._open.values()}
        await asyncio.to_thread(self._file.write, status)
        return _RETRY_SECONDS if self._missing else None

    def _adjust(self, name: PortName, route: Route | None) -> None:
        """Close what is at another place than it should be now, and let the rest go on to where the route leads."""
        opened = self._open.get(name)
        if opened is None:
            return
        if route is None or (opened.key, opened.wanted) != (status_key(route.port), route.port.node_port):
            del self._open[name]
            opened.relay.close()
            return
        self._update(opened.balancer, route)
        opened.relay.drop_strays()

    async def _opened(self, route: Route) -> _Open:
        key, balancer = status_key(route.port), Balancer(self._clock.monotonic)
        self._update(balancer, route)
        wanted = route.port.node_port
        for number in dict.fromkeys((wanted or self._number_before(key), 0)):
            try:
                address = (HOST, number)
                relay = await self._relays.open(self._host, route.port.protocol, address, balancer, self._reach)
            except OSError as exc:
                if number == 0:
                    raise
                if number == wanted:
                    log.warning("the node port %d of %s is taken on loopback: %s", number, key, exc.strerror or exc)
                continue
            return _Open(key, wanted, balancer, relay)
        raise AssertionError("0 is always tried")

    def _number_before(self, key: str) -> int:
        _, _, number = self._before.get(key, "").rpartition(":")
        return int(number) if number.isdecimal() else 0

    def _update(self, balancer: Balancer, route: Route) -> None:
        # Clients on the node count as being inside, whatever the policy for those outside is.
        found = route.cluster or route.local
        balancer.update(targets(found), affinity_seconds=route.port.affinity_seconds)
