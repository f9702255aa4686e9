"""How this process reaches endpoints: those in the pods' network through it, all others from the host."""

from __future__ import annotations

import ipaddress
import socket

from hyperkube_machinery.podnetwork import Description, HostNetwork, PodNetwork

__all__ = ["Reach"]


class Reach:
    """Connects to endpoints, wherever they are."""

    def __init__(self, network: PodNetwork, description: Description) -> None:
        self._network = network
        self._host = HostNetwork()
        self._apart = description.mode == "namespace"
        self._pods = ipaddress.ip_network(description.pod_cidr) if description.pod_cidr else None

    def is_outside(self, ip: str) -> bool:
        """Whether the pods' network is one of its own and `ip` is not in it."""
        return self._apart and (self._pods is None or ipaddress.ip_address(ip) not in self._pods)

    async def dial(self, host: str, port: int) -> socket.socket:
        """A TCP connection. Raises OSError."""
        return await self._towards(host).dial(host, port)

    async def datagram(self, host: str, port: int) -> socket.socket:
        """A UDP socket connected to the endpoint. Raises OSError."""
        return await self._towards(host).datagram(remote=(host, port))

    def _towards(self, ip: str) -> PodNetwork:
        return self._host if self.is_outside(ip) else self._network
