"""Ports of pods over SPDY, also where that is spoken inside a WebSocket.

A connection is two streams, begun by the client: both have the port and the number of the request in their headers.

Source: k8s.io/cri-streaming/pkg/streaming/portforward (httpstream.go), k8s.io/client-go/tools/portforward.
"""

from __future__ import annotations

import asyncio

from hyperkube_kubelet.api.portforward import Leg, Target, forward, within
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.serving.spdy.connection import SPDY, Channel, speaking
from hyperkube_machinery.serving.spdy.frames import HeaderMap
from hyperkube_machinery.serving.spdy.session import Arrived, Broken, Ended, Opened
from hyperkube_machinery.streaming.idleness import unless_idle

__all__ = ["PROTOCOL", "TUNNEL_PROTOCOL", "forward_streams"]

PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = f"SPDY/3.1+{PROTOCOL}"
_PAIRING_SECONDS = 30.0


class _StreamLeg(Leg):
    """Two streams that belong to one request; -1 is one that isn't there yet."""

    def __init__(self, port: int, request: str, spdy: SPDY) -> None:
        super().__init__(port)
        self.request = request
        self.streams = {"data": -1, "error": -1}
        self.complete = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._spdy = spdy

    def add(self, kind: str, stream_id: int) -> bool:
        """False where it has one of that kind."""
        if self.streams[kind] != -1:
            return False
        self.streams[kind] = stream_id
        if -1 not in self.streams.values():
            self.complete.set()
        return True

    async def send(self, data: bytes) -> None:
        await self._spdy.send(self.streams["data"], data)

    async def fail(self, text: str) -> None:
        await self._spdy.send(self.streams["error"], text.encode())

    async def finish(self) -> None:
        await self._spdy.finish(self.streams["data"])

    async def close(self) -> None:
        """Nothing more comes on either of the streams, and nothing is taken from them."""
        self.end()
        await self.finish()
        await self._spdy.finish(self.streams["error"])
        for stream_id in self.streams.values():
            await self._spdy.reset(stream_id)


class _Forwarding:
    """The requests of one client."""

    def __init__(self, spdy: SPDY, target: Target, clock: Clock, tasks: asyncio.TaskGroup) -> None:
        self._spdy = spdy
        self._target = target
        self._clock = clock
        self._tasks = tasks
        self._requests: dict[str, _StreamLeg] = {}
        self._legs: dict[int, _StreamLeg] = {}  # by the streams' ids

    async def run(self) -> None:
        async for event in self._spdy.events():
            match event:
                case Opened(stream_id, headers):
                    await self._open(stream_id, headers)
                case Arrived(stream_id, data):
                    if self._carries(stream_id):
                        await self._legs[stream_id].put(data)
                case Ended(stream_id):
                    if self._carries(stream_id):
                        self._legs[stream_id].end()
                case Broken(stream_id):
                    leg = self._legs.get(stream_id)
                    if leg is not None and leg.task is not None:
                        leg.task.cancel()
        for leg in self._requests.values():
            if leg.task is not None:
                leg.task.cancel()

    def _carries(self, stream_id: int) -> bool:
        leg = self._legs.get(stream_id)
        return leg is not None and leg.streams["data"] == stream_id

    async def _open(self, stream_id: int, headers: HeaderMap) -> None:
        kind, text = headers.get("streamtype", ""), headers.get("port", "")
        port = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
        # Clients that number no requests begin the stream for errors first.
        request = headers.get("requestid") or str(stream_id - 2 if kind == "data" else stream_id)
        if kind in ("data", "error") and 0 < port < 1 << 16:
            leg = self._requests.get(request)
            if leg is None:
                leg = self._requests[request] = _StreamLeg(port, request, self._spdy)
                leg.task = self._tasks.create_task(self._serve(leg))
            if leg.add(kind, stream_id):
                self._legs[stream_id] = leg
                await self._spdy.reply(stream_id)
                return
        await self._spdy.reset(stream_id)

    async def _serve(self, leg: _StreamLeg) -> None:
        """Forward once both streams are there."""
        pairing = asyncio.ensure_future(leg.complete.wait())
        try:
            if await within(pairing, _PAIRING_SECONDS, self._clock):
                await forward(leg, self._target, self._clock)
            elif leg.streams["error"] != -1:
                await leg.fail(f"(request={leg.request}) timed out waiting for streams")
        finally:
            pairing.cancel()
            for stream_id in leg.streams.values():
                self._legs.pop(stream_id, None)
            del self._requests[leg.request]
            await leg.close()


async def forward_streams(channel: Channel, target: Target, clock: Clock, *, idle_seconds: float = 0.0) -> None:
    """Forward what a client of SPDY asks for, until it is gone, or nothing has moved for `idle_seconds` (0: ever)."""
    async with speaking(channel) as connection:

        async def work() -> None:
            async with asyncio.TaskGroup() as tasks:
                await _Forwarding(connection, target, clock, tasks).run()

        await unless_idle(work(), lambda: connection.moved, idle_seconds, clock)
