"""Ports of pods over the channels of a WebSocket.

Port n of the query has channel 2n for data and 2n + 1 for what went wrong, and one connection, which begins at once.
The first message on each channel is the port, two bytes, the lower one first.

Source: k8s.io/cri-streaming/pkg/streaming/portforward (websocket.go).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from hyperkube_kubelet.api.portforward import Leg, Target, forward
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.serving.websocket import WebSocket

__all__ = ["PROTOCOL", "PortsError", "forward_channels", "ports"]

PROTOCOL = "v4.channel.k8s.io"
_MOST_PORTS = 127
"""Channels are numbered by a byte."""


class PortsError(ValueError):
    """The ports of a query can't be read; the text is upstream's."""


def ports(query: Mapping[str, Sequence[str]]) -> list[int]:
    """Those that a client of WebSockets names. Raises PortsError. Source: NewV4Options."""
    texts = query.get("port", ())
    if not texts:
        raise PortsError('query parameter "port" is required')
    found = []
    for text in texts:
        if not text:
            raise PortsError('query parameter "port" cannot be empty')
        for part in text.split(","):
            number = int(part) if part.isascii() and part.isdigit() and len(part) < 6 else -1
            if not 0 <= number < 1 << 16:
                raise PortsError(f'unable to parse "{text}" as a port')
            if number < 1:
                raise PortsError(f'port "{text}" must be > 0')
            found.append(number)
    if len(found) > _MOST_PORTS:
        raise PortsError(f"{len(found)} ports are asked for, of which a WebSocket can carry {_MOST_PORTS}")
    return found


class _ChannelLeg(Leg):
    def __init__(self, port: int, client: WebSocket, channel: int) -> None:
        super().__init__(port)
        self._client = client
        self._data, self._error = bytes((channel,)), bytes((channel + 1,))

    async def begin(self) -> None:
        for channel in (self._data, self._error):
            await self._client.send(channel + self.port.to_bytes(2, "little"))

    async def send(self, data: bytes) -> None:
        await self._client.send(data, channel=self._data)

    async def fail(self, text: str) -> None:
        await self._client.send(self._error + text.encode())

    async def finish(self) -> None:
        """Channels don't end; the connection does once all ports have."""


async def forward_channels(client: WebSocket, wanted: Sequence[int], target: Target, clock: Clock) -> None:
    """Forward one connection to each of the ports, until all have ended or the client is gone."""
    legs = [_ChannelLeg(port, client, 2 * index) for index, port in enumerate(wanted)]
    for leg in legs:
        await leg.begin()

    async def listen() -> None:
        async for message in client:
            number = message[0] if message else 1
            if number % 2 == 0 and number < 2 * len(legs):
                await legs[number // 2].put(message[1:])
        for leg in legs:
            leg.end()

    async def run(leg: _ChannelLeg) -> None:
        await forward(leg, target, clock)
        leg.end()

    listening = asyncio.ensure_future(listen())
    try:
        async with asyncio.TaskGroup() as tasks:
            for leg in legs:
                tasks.create_task(run(leg))
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
