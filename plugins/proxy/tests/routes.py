"""Routes for tests, written briefly."""

from __future__ import annotations

from typing import Any

from hyperkube_proxy.model import Endpoint, PortName, Protocol, ServicePort
from hyperkube_proxy.rules import Place, Route, route

CLUSTER_IP = "10.96.0.10"
NODE = "n1"


def service(name: str = "web", *, protocol: Protocol = "TCP", port_name: str = "", **fields: Any) -> ServicePort:
    """A service's port; 10.96.0.10:80 unless told otherwise."""
    given = {"cluster_ip": CLUSTER_IP, "port": 80, **fields}
    return ServicePort(name=PortName("default", name, port_name, protocol), **given)


def endpoint(ip: str, port: int = 8080, *, local: bool = True, **fields: Any) -> Endpoint:
    return Endpoint(ip, port, local=local, **fields)


def routed(port: ServicePort, *endpoints: Endpoint) -> dict[PortName, Route]:
    """The route of one port, by its name."""
    return {port.name: route(port, endpoints, Place(NODE))}
