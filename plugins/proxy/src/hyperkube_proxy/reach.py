"""How this process reaches endpoints: those in the pods' network through it, all others from the host."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from hyperkube_machinery.podnetwork import Description, HostNetwork, PodNetwork

__all__ = ["Reach"]


class Reach:
    """Connects to endpoints, wherever they are."""

    def __init__(self, network: PodNetwork, description: Description, cluster_cidrs: Iterable[str] = ()) -> None:
        """`cluster_cidrs` are the addresses of all nodes' pods: those of others are not on this machine either."""
        self._network = network
        self._host = HostNetwork()
        self._apart = description.mode == "namespace"
        self._pods = [
            ipaddress.ip_network(cidr, strict=False) for cidr in (description.pod_cidr, *cluster_cidrs) if cidr
        ]

    def is_outside(self, ip: str) -> bool:
        """Whether the pods' network is one of its own and `ip` is no pod's."""
        address = ipaddress.ip_address(ip)
        return self._apart and not any(address in pods for pods in self._pods)

    async def dial(self, host: str, port: int) -> socket.socket:
        """A TCP connection. Raises OSError."""
        return await self._towards(host).dial(host, port)

    async def datagram(self, host: str, port: int) -> socket.socket:
        """A UDP socket connected to the endpoint. Raises OSError."""
        return await self._towards(host).datagram(remote=(host, port))

    def _towards(self, ip: str) -> PodNetwork:
        return self._host if self.is_outside(ip) else self._network
