"""Where a service is served, and connections to pods that are in a network of their own."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from socket import socket

from hyperkube_apiserver.webhooks.connections import Place
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_apiserver.webhooks.routing import Routing
from hyperkube_apiserver.webhooks.services import Services, Unresolved
from hyperkube_machinery.exchange import Peer, failure_text
from hyperkube_machinery.podnetwork import NetworkUnavailable

__all__ = ["Places"]


class Places:
    """Finds what to connect to for a service: asked anew for each connection."""

    def __init__(self, services: Services, routing: Callable[[], Routing]) -> None:
        self._services = services
        self._routing = routing

    async def behind(self, namespace: str, name: str, port: int) -> Place:
        """Where a port of a service is served. Raises CallFailed."""
        host, number = self.address(namespace, name, port)
        return Place(host, number, await self._connected(host, number))

    def address(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """One host and port that a service's port leads to. Raises CallFailed."""
        try:
            return self._services.locate(namespace, name, port)
        except Unresolved as exc:
            raise CallFailed(str(exc)) from exc

    async def _connected(self, host: str, port: int) -> socket | None:
        """A connection to a pod that is in a network of its own; None for others, which anybody can connect to."""
        network = self._routing().pod_network
        if network is None:
            return None
        try:
            pods = (await network.describe()).pod_cidr
            if not pods or ip_address(host) not in ip_network(pods):
                return None
            return await network.dial(host, port)
        except (NetworkUnavailable, ValueError):
            return None
        except OSError as exc:
            raise CallFailed(failure_text(Peer(host, port), exc)) from exc
