"""Sockets opened for services, of either protocol, each with its relay."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeAlias

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.podnetwork import PodNetwork
from hyperkube_proxy.model import Endpoint, Protocol
from hyperkube_proxy.reach import Reach
from hyperkube_proxy.relaying.balancer import Balancer, Target
from hyperkube_proxy.relaying.datagrams import DatagramRelay, DatagramRelays
from hyperkube_proxy.relaying.streams import StreamRelay, StreamRelays

__all__ = ["Relay", "Relays", "targets"]

Relay: TypeAlias = "StreamRelay | DatagramRelay"


class Relays:
    """All relays of a proxy, TCP and UDP."""

    def __init__(self, clock: Clock) -> None:
        self.streams = StreamRelays(clock)
        self.datagrams = DatagramRelays(clock)

    @classmethod
    @asynccontextmanager
    async def running(cls, clock: Clock) -> AsyncIterator[Relays]:
        """Relays for the length of the block; what is open at its end is dropped."""
        relays = cls(clock)
        sweeping = asyncio.create_task(relays.datagrams.sweep())
        try:
            yield relays
        finally:
            sweeping.cancel()
            await asyncio.wait((sweeping,))
            await relays.close()

    async def close(self) -> None:
        """Close all that is open, and drop what is relayed; others may be opened after."""
        await self.datagrams.close()
        await self.streams.close()

    async def open(
        self,
        network: PodNetwork,
        protocol: Protocol,
        address: tuple[str, int],
        balancer: Balancer,
        reach: Reach,
        *,
        admits: Callable[[str], bool] | None = None,
    ) -> Relay:
        """Relay from `address` in `network`. Raises OSError."""
        if protocol == "TCP":
            listening = await network.listen(*address)
            return self.streams.open(listening, balancer, reach.dial, admits=admits)
        sock: socket.socket = await network.datagram(local=address)
        return await self.datagrams.open(sock, balancer, reach.datagram, admits=admits)


def targets(endpoints: Iterable[Endpoint]) -> Iterable[Target]:
    return [(endpoint.ip, endpoint.port) for endpoint in endpoints]
