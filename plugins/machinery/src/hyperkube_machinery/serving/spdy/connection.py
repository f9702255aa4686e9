"""SPDY on a connection that left HTTP, or inside a WebSocket on it.

    accept(request, protocols, talk) ─→ Upgrade ─→ talk(bytes, protocol) ─→ async with speaking(bytes) as spdy: …

Source: k8s.io/apimachinery/pkg/util/httpstream (Handshake, ResponseUpgrader).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.bell import Bell
from hyperkube_machinery.serving.messages import Request, Upgrade
from hyperkube_machinery.serving.spdy.frames import FrameError, HeaderMap, ResetStatus
from hyperkube_machinery.serving.spdy.session import Arrived, Event, Session
from hyperkube_machinery.serving.upgraded import ByteStream, Start

__all__ = ["SPDY", "Channel", "accept", "asks_for_spdy", "speaking"]

_NAME = "SPDY/3.1"
_AHEAD_BYTES = 1 << 20
_AHEAD_EVENTS = 4096
"""What is kept of what nobody has taken; then nothing more is read."""
_WHOLE_BYTES = 64 << 10
"""Pieces that make as much together are taken as one."""


class Channel(Protocol):
    """What SPDY is spoken on, as `upgraded` has it."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def send(self, data: bytes) -> None: ...


def asks_for_spdy(request: Request) -> bool:
    headers = request.headers
    return "upgrade" in headers.get("connection", "").lower() and headers.get("upgrade", "").lower() == _NAME.lower()


def accept(
    request: Request,
    protocols: Sequence[str],
    talk: Callable[[ByteStream, str], Awaitable[None]],
    *,
    start: Start,
    clock: Clock,
) -> Upgrade:
    """The answer to a client that asks for SPDY, and for the first of its protocols on it that is in `protocols`.

    `start` makes the task in which `talk` runs, and owns it; the connection is closed when that ends. Raises APIError:
    400 for a request that names no protocol, 403 where there is none in common.
    """
    names = request.headers.get("x-stream-protocol-version")
    if names is None:
        count = len(request.headers)
        raise APIError.bad_request(
            f"unable to upgrade: header X-Stream-Protocol-Version does not exist in request with {count} headers"
        )
    offered = [name.strip() for name in names.split(",") if name.strip()]
    chosen = next((name for name in offered if name in protocols), "")
    if not chosen:
        error = APIError.of(
            403,
            "Forbidden",
            "unable to upgrade: unable to negotiate protocol: "
            f"client supports [{' '.join(offered)}], server accepts [{' '.join(protocols)}]",
        )
        error.headers = tuple(("X-Accepted-Stream-Protocol-Versions", name) for name in protocols)
        raise error
    if not asks_for_spdy(request):
        raise APIError.bad_request(f"unable to upgrade: missing upgrade headers in request, which ask for {_NAME}")
    headers = [("Upgrade", _NAME), ("X-Stream-Protocol-Version", chosen)]
    return Upgrade(lambda: ByteStream(lambda stream: talk(stream, chosen), start, clock), headers)


class SPDY:
    """The streams of a connection. `events` tells of them in the order in which things came."""

    def __init__(self, channel: Channel, session: Session) -> None:
        self._channel = channel
        self._session = session
        self._events: deque[Event] = deque()
        self._ahead = 0
        self.moved = 0  # bytes of data that were received and sent
        self._ended = False
        self._changed = Bell()

    async def events(self) -> AsyncIterator[Event]:
        """What the peer does, until it is gone."""
        while True:
            while self._events:
                event = self._next()
                if isinstance(event, Arrived):
                    self._ahead -= len(event.data)
                    self._session.consumed(event.stream_id, len(event.data))
                    await self._flush()
                self._changed.ring()
                yield event
            if self._ended:
                return
            await self._changed.wait()

    def _next(self) -> Event:
        """The next event; data that came in small pieces is one."""
        events = self._events
        event = events.popleft()
        if not isinstance(event, Arrived):
            return event
        pieces, size = [event.data], len(event.data)
        while events and size < _WHOLE_BYTES:
            other = events[0]
            if not isinstance(other, Arrived) or other.stream_id != event.stream_id:
                break
            pieces.append(other.data)
            size += len(other.data)
            events.popleft()
        return event if len(pieces) == 1 else Arrived(event.stream_id, b"".join(pieces))

    async def open(self, headers: HeaderMap) -> int:
        """Begin a stream."""
        stream_id = self._session.open(headers)
        await self._flush()
        return stream_id

    async def reply(self, stream_id: int) -> None:
        """Accept a stream of the peer's."""
        self._session.reply(stream_id)
        await self._flush()

    async def send(self, stream_id: int, data: bytes) -> None:
        """Send on a stream, as fast as the peer lets; dropped where the stream is gone."""
        left = memoryview(data)
        while left and not self._ended:
            room = self._session.room(stream_id)
            if room:
                piece = left[:room]
                self.moved += len(piece)
                self._session.send(stream_id, bytes(piece))
                left = left[room:]
                await self._flush()
            else:
                await self._changed.wait()

    async def finish(self, stream_id: int) -> None:
        """Send no more on a stream."""
        self._session.finish(stream_id)
        await self._flush()

    async def reset(self, stream_id: int, status: ResetStatus = ResetStatus.CANCEL) -> None:
        """Break a stream off."""
        self._session.reset(stream_id, status)
        await self._flush()

    async def leave(self) -> None:
        """Break all streams off, and say that no more are taken; nobody waits until the peer hears it."""
        self._session.leave()
        saying = asyncio.ensure_future(self._flush())
        await asyncio.sleep(0)
        saying.cancel()
        await asyncio.gather(saying, return_exceptions=True)

    async def read(self) -> None:
        """Take what comes, until the peer is gone. What it says of windows is heard before data is taken."""
        try:
            with suppress(FrameError):
                async for data in self._channel:
                    for event in self._session.receive(data):
                        self._put(event)
                    self._changed.ring()
                    await self._flush()
                    while self._ahead > _AHEAD_BYTES or len(self._events) > _AHEAD_EVENTS:
                        await self._changed.wait()
            await self._flush()
        finally:
            self._ended = True
            self._changed.ring()

    def _put(self, event: Event) -> None:
        self._events.append(event)
        if isinstance(event, Arrived):
            self._ahead += len(event.data)
            self.moved += len(event.data)

    async def _flush(self) -> None:
        if data := self._session.data_to_send():
            await self._channel.send(data)


@asynccontextmanager
async def speaking(channel: Channel, *, client: bool = False) -> AsyncIterator[SPDY]:
    """Speak SPDY for the length of the block; then streams are broken off and the peer is told goodbye."""
    spdy = SPDY(channel, Session(client=client))
    reading = asyncio.ensure_future(spdy.read())
    try:
        yield spdy
        await spdy.leave()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
