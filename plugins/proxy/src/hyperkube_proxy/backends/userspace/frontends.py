"""Where a service's port is listened on, decided from its route. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from hyperkube_proxy.model import Protocol
from hyperkube_proxy.rules import Route

__all__ = ["Frontend", "admission", "frontends"]


class Frontend(NamedTuple):
    """One address of a service's port."""

    host: str
    port: int
    protocol: Protocol
    external: bool  # whether the policy for traffic from outside the cluster holds
    source_ranges: tuple[str, ...] = ()  # who may connect; none: everybody
    of_node: bool = False  # the address is the node's, not the service's


def frontends(route: Route, node_addresses: Sequence[str]) -> Iterator[Frontend]:
    """Those of `route` behind which there is an endpoint: where nobody listens connections are refused."""
    port, protocol = route.port, route.port.protocol
    if protocol == "SCTP":
        return  # there is no relay for it
    if route.internal:
        yield Frontend(port.cluster_ip, port.port, protocol, external=False)
    if route.external:
        for ip in port.external_ips:
            yield Frontend(ip, port.port, protocol, external=True)
        for ip in port.load_balancer_ips:
            yield Frontend(ip, port.port, protocol, external=True, source_ranges=port.source_ranges)
        for ip in node_addresses if port.node_port else ():
            yield Frontend(ip, port.node_port, protocol, external=True, of_node=True)


def admission(source_ranges: Iterable[str]) -> Callable[[str], bool] | None:
    """Says of a client's address whether it may connect; None where all may."""
    networks = [ipaddress.ip_network(text) for text in source_ranges]
    if not networks:
        return None
    return lambda client: any(ipaddress.ip_address(client) in network for network in networks)
