"""Ends flows of UDP whose endpoint is gone, where rules in the kernel led them there; relays see to their own.

The kernel remembers where a flow was translated to, and a client that keeps sending from one port would be led to an
endpoint that is no more for as long as it does.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.podnetwork import PodNetwork
from hyperkube_proxy.flows import Flow, ended, listed, read_flow
from hyperkube_proxy.instruments import Instruments
from hyperkube_proxy.model import Endpoint, Family, PortName, Protocol
from hyperkube_proxy.netlink import NETFILTER, Conversation
from hyperkube_proxy.parts import Routes
from hyperkube_proxy.rules import Route

__all__ = ["StaleFlows", "Wanted", "wanted_flows"]

log = logging.getLogger(__name__)

_FAMILIES: dict[Family, int] = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The endpoints that flows of UDP may lead to, by where they are sent."""

    services: dict[tuple[str, int], set[tuple[str, int]]] = field(default_factory=dict)
    node_ports: dict[int, set[tuple[str, int]]] = field(default_factory=dict)

    def is_stale(self, flow: Flow) -> bool:
        """Whether the flow is to a service, and none of its endpoints answers."""
        at = self.services.get(flow.destination)
        port = self.node_ports.get(flow.destination[1])
        return any(endpoints is not None and flow.endpoint not in endpoints for endpoints in (at, port))


def wanted_flows(routes: Iterable[Route], inside: Callable[[Endpoint, Protocol], Endpoint]) -> Wanted:
    """What flows may lead to that go to the services of `routes`.

    An endpoint that serves keeps its flows, even if new ones go elsewhere. Flows of a service that has none are left:
    there is nothing better for them. Source: k8s.io/kubernetes/pkg/proxy/conntrack (CleanStaleEntries).
    """
    wanted = Wanted()
    for route in routes:
        port, endpoints = route.port, {inside(endpoint, "UDP")[:2] for endpoint in route.serving}
        if port.protocol != "UDP" or not endpoints:
            continue
        for address in (port.cluster_ip, *port.external_ips, *port.load_balancer_ips):
            wanted.services[address, port.port] = endpoints
        if port.node_port:
            wanted.node_ports[port.node_port] = endpoints
    return wanted


class StaleFlows:
    """The part that comes after the rules of one family."""

    def __init__(
        self,
        network: PodNetwork,
        family: Family,
        clock: Clock,
        instruments: Instruments,
        inside: Callable[[Endpoint, Protocol], Endpoint],
    ) -> None:
        self._network = network
        self._family = family
        self._clock = clock
        self._instruments = instruments
        self._inside = inside
        self._told = False

    async def sync(self, routes: Routes, changed: Collection[PortName] | None) -> None:
        """End the flows of what changed; that it can't be done is told once."""
        wanted = wanted_flows(self._udp(routes, routes if changed is None else changed), self._inside)
        if not wanted.services:
            return
        began = self._clock.monotonic()
        try:
            with Conversation(await self._network.netlink(NETFILTER)) as conversation:
                count = await asyncio.to_thread(self._end, conversation, wanted)
        except OSError as exc:
            if not self._told:
                self._told = True
                log.warning("flows of UDP to endpoints that are gone cannot be ended: %s", exc.strerror or exc)
            return
        log.debug("ended %d flows of UDP", count)
        self._instruments.flows_ended(self._family, count, self._clock.monotonic() - began)

    def _end(self, conversation: Conversation, wanted: Wanted) -> int:
        flows = map(read_flow, conversation.dump(listed(_FAMILIES[self._family])))
        stale = [flow for flow in flows if flow is not None and wanted.is_stale(flow)]
        for flow in stale:
            with suppress(FileNotFoundError):  # it ended by itself
                conversation.ask(ended(flow))
        return len(stale)

    def _udp(self, routes: Routes, names: Collection[PortName]) -> Iterator[Route]:
        for name in names:
            if name.protocol == "UDP" and name.family == self._family and name in routes:
                yield routes[name]
