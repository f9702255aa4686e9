"""Connections to ports of pods, passed on to clients over whatever they speak.

Each is two streams, one for the data and one for what went wrong:

    SPDY, also in a WebSocket    both begun by the client, with the port and the number of the request in their headers
    WebSocket                    channels 2n and 2n + 1 for port n of the query, one connection each; the first message
                                 on each is the port, two bytes, the lower one first

Source: k8s.io/cri-streaming/pkg/streaming/portforward, k8s.io/client-go/tools/portforward.
"""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.exchange import Peer, failure_text
from hyperkube_machinery.serving.spdy.connection import SPDY, Channel, speaking
from hyperkube_machinery.serving.spdy.frames import HeaderMap
from hyperkube_machinery.serving.spdy.session import Arrived, Broken, Ended, Opened
from hyperkube_machinery.serving.websocket import WebSocket

__all__ = [
    "SPDY_PROTOCOL",
    "TUNNEL_PROTOCOL",
    "WEBSOCKET_PROTOCOL",
    "PortsError",
    "Target",
    "channels",
    "ports",
    "spdy",
]

SPDY_PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = f"SPDY/3.1+{SPDY_PROTOCOL}"
WEBSOCKET_PROTOCOL = "v4.channel.k8s.io"

_AHEAD_BYTES = 256 << 10
"""What is kept for a connection that takes it more slowly; then the client waits with all of them."""
_PIECE_BYTES = 32 << 10
_PAIRING_SECONDS = 30.0
_LAST_WORDS_SECONDS = 1.0
"""How long a port that sends no more is still given what came for it before."""
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
            number = int(part) if part.isascii() and part.isdigit() else -1
            if not 0 <= number < 1 << 16:
                raise PortsError(f'unable to parse "{text}" as a port')
            if number < 1:
                raise PortsError(f'port "{text}" must be > 0')
            found.append(number)
    if len(found) > _MOST_PORTS:
        raise PortsError(f"{len(found)} ports are asked for, of which a WebSocket can carry {_MOST_PORTS}")
    return found


@dataclass(frozen=True, slots=True)
class Target:
    """The pod whose ports they are."""

    name: str
    uid: str
    dial: Callable[[int], Awaitable[socket.socket]]  # raises OSError, RuntimeFailure


class _Leg(ABC):
    """The client's end of one connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._pieces: deque[bytes] = deque()
        self._ahead = 0
        self._ended = False
        self._changed = asyncio.Event()

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Pass on what the port sends."""

    @abstractmethod
    async def fail(self, text: str) -> None:
        """Say what went wrong."""

    @abstractmethod
    async def finish(self) -> None:
        """Say that the port sends no more."""

    @property
    def has_more(self) -> bool:
        return bool(self._pieces)

    async def put(self, data: bytes) -> None:
        """Take what the client sends, and return when there is room for more. Dropped where nobody takes it."""
        if self._ended:
            return
        self._pieces.append(data)
        self._ahead += len(data)
        self._tell()
        while self._ahead > _AHEAD_BYTES and not self._ended:
            await self._changed.wait()

    async def take(self) -> bytes:
        """The next piece that the client sent, empty when there will be none."""
        while not self._pieces:
            if self._ended:
                return b""
            await self._changed.wait()
        piece = self._pieces.popleft()
        self._ahead -= len(piece)
        self._tell()
        return piece

    def end(self) -> None:
        """The client sends no more, or nobody will take it."""
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _forward(leg: _Leg, target: Target, clock: Clock) -> None:
    """Pass on between the client and the port until both or the port have nothing more to say."""
    try:
        connection = await target.dial(leg.port)
    except (OSError, RuntimeFailure) as exc:
        why = failure_text(Peer("127.0.0.1", leg.port), exc) if isinstance(exc, OSError) else str(exc)
        await leg.fail(f"error forwarding port {leg.port} to pod {target.name}, uid {target.uid}: {why}")
        return
    reader, writer = await asyncio.open_connection(sock=connection)
    inward = asyncio.ensure_future(_copy_in(leg, writer))
    try:
        with suppress(OSError):  # an end as any other
            while data := await reader.read(_PIECE_BYTES):
                await leg.send(data)
        await leg.finish()
        if leg.has_more:
            leg.end()
            await _within(inward, _LAST_WORDS_SECONDS, clock)
    finally:
        inward.cancel()
        await asyncio.gather(inward, return_exceptions=True)
        writer.close()


async def _copy_in(leg: _Leg, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # told by what it reads
        while data := await leg.take():
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def _within(task: asyncio.Future[Any], seconds: float, clock: Clock) -> bool:
    """Whether `task` ends in time."""
    waiting = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        return task.done()
    finally:
        waiting.cancel()


# Channels of a WebSocket.


class _ChannelLeg(_Leg):
    def __init__(self, port: int, client: WebSocket, channel: int) -> None:
        super().__init__(port)
        self._client = client
        self._data, self._error = bytes((channel,)), bytes((channel + 1,))

    async def begin(self) -> None:
        for channel in (self._data, self._error):
            await self._client.send(channel + self.port.to_bytes(2, "little"))

    async def send(self, data: bytes) -> None:
        await self._client.send(self._data + data)

    async def fail(self, text: str) -> None:
        await self._client.send(self._error + text.encode())

    async def finish(self) -> None:
        """Channels don't end; the connection does once all ports have."""


async def channels(client: WebSocket, wanted: Sequence[int], target: Target, clock: Clock) -> None:
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
        await _forward(leg, target, clock)
        leg.end()

    listening = asyncio.ensure_future(listen())
    try:
        async with asyncio.TaskGroup() as tasks:
            for leg in legs:
                tasks.create_task(run(leg))
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


# SPDY.


class _StreamLeg(_Leg):
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
            if await _within(pairing, _PAIRING_SECONDS, self._clock):
                await _forward(leg, self._target, self._clock)
            elif leg.streams["error"] != -1:
                await leg.fail(f"(request={leg.request}) timed out waiting for streams")
        finally:
            pairing.cancel()
            for stream_id in leg.streams.values():
                self._legs.pop(stream_id, None)
            del self._requests[leg.request]
            await leg.close()


async def spdy(channel: Channel, target: Target, clock: Clock) -> None:
    """Forward what a client of SPDY asks for, until it is gone."""
    async with speaking(channel, clock) as connection, asyncio.TaskGroup() as tasks:
        await _Forwarding(connection, target, clock, tasks).run()
