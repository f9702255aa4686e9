"""Ends flows of UDP whose endpoint is gone, where rules in the kernel led them there; relays see to their own."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Collection, Iterator

from hyperkube_machinery.podnetwork import PodNetwork
from hyperkube_proxy import flows
from hyperkube_proxy.model import Endpoint, PortName, Protocol
from hyperkube_proxy.parts import Routes
from hyperkube_proxy.rules import Route

__all__ = ["StaleFlows", "wanted_flows"]

log = logging.getLogger(__name__)


def wanted_flows(routes: Collection[Route], inside: Callable[[Endpoint, Protocol], Endpoint]) -> dict[str, object]:
    """What flows of UDP may lead to, by where they are sent; see `flows`.

    An endpoint that serves keeps its flows, even if new ones go elsewhere. Flows of a service that has none are left:
    there is nothing better for them. Source: k8s.io/kubernetes/pkg/proxy/conntrack.
    """
    services: dict[str, list[str]] = {}
    node_ports: dict[str, list[str]] = {}
    for route in routes:
        port, serving = route.port, [inside(endpoint, "UDP") for endpoint in route.serving]
        if port.protocol != "UDP" or not serving:
            continue
        endpoints = [f"{endpoint.ip} {endpoint.port}" for endpoint in serving]
        for address in (port.cluster_ip, *port.external_ips, *port.load_balancer_ips):
            services[f"{address} {port.port}"] = endpoints
        if port.node_port:
            node_ports[str(port.node_port)] = endpoints
    return {"services": services, "node_ports": node_ports}


class StaleFlows:
    """The part that comes after the rules."""

    def __init__(self, network: PodNetwork, inside: Callable[[Endpoint, Protocol], Endpoint]) -> None:
        self._network = network
        self._inside = inside
        self._told = False

    async def sync(self, routes: Routes, changed: Collection[PortName] | None) -> None:
        """End the flows of what changed; that it can't be done is told once."""
        names = routes if changed is None else changed
        wanted = wanted_flows(list(self._udp(routes, names)), self._inside)
        if not wanted["services"]:
            return
        argv = [sys.executable, "-I", "-S", flows.__file__]
        done = await self._network.run(argv, json.dumps(wanted).encode())
        if done.exit_code == 0:
            log.debug("ended %s flows of UDP", done.stdout.decode().strip())
        elif not self._told:
            self._told = True
            complaint = done.stderr.decode(errors="replace").strip()
            log.warning("flows of UDP to endpoints that are gone cannot be ended: %s", complaint)

    def _udp(self, routes: Routes, names: Collection[PortName]) -> Iterator[Route]:
        for name in names:
            if name.protocol == "UDP" and name in routes:
                yield routes[name]
