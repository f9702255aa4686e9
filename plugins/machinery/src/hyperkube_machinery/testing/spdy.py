"""A client of SPDY, for tests of what speaks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from hyperkube_machinery.serving.spdy.connection import SPDY, speaking
from hyperkube_machinery.serving.spdy.session import Accepted, Arrived, Broken, Ended, Event, Gone

__all__ = ["SPDYClient", "TunnelChannel", "WireChannel", "spdy_client", "tunnelled_spdy_client"]


class WireChannel:
    """SPDY's bytes on a connection of asyncio's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self._reader.read(64 << 10):
            yield data

    async def send(self, data: bytes) -> None:
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()


class TunnelChannel:
    """The same as messages of a WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._frames = Protocol(Side.CLIENT, state=State.OPEN)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self._reader.read(64 << 10):
            self._frames.receive_data(data)
            for frame in self._frames.events_received():
                assert isinstance(frame, Frame)
                if frame.opcode is Opcode.CLOSE:
                    return
                assert frame.opcode is Opcode.BINARY
                yield bytes(frame.data)

    async def send(self, data: bytes) -> None:
        self._frames.send_binary(data)
        with suppress(ConnectionError):
            self._writer.writelines(self._frames.data_to_send())
            await self._writer.drain()


class SPDYClient:
    """Begins streams and keeps what comes on each."""

    def __init__(self, spdy: SPDY, head: str = "") -> None:
        self.spdy = spdy
        self.head = head  # of the answer that granted the upgrade
        self.seen: list[Event] = []
        self._events = spdy.events()

    async def open(self, **headers: str) -> int:
        """Begin a stream, and return once it is accepted or broken off."""
        stream_id = await self.spdy.open(headers)
        await self.until(lambda event: isinstance(event, Accepted | Broken) and event.stream_id == stream_id)
        return stream_id

    async def until(self, holds: Callable[[Event], bool]) -> Event | None:
        """The first event from now on that `holds` is true of; None once the server is gone."""
        async with asyncio.timeout(30):
            async for event in self._events:
                self.seen.append(event)
                if holds(event):
                    return event
        return None

    async def text(self, stream_id: int) -> bytes:
        """What came on a stream, once it has ended or is broken off."""
        if not self._over(stream_id):
            await self.until(lambda event: self._over(stream_id))
        return self.so_far(stream_id)

    def so_far(self, stream_id: int) -> bytes:
        found = (event for event in self.seen if isinstance(event, Arrived) and event.stream_id == stream_id)
        return b"".join(event.data for event in found)

    async def goodbye(self) -> bool:
        """Whether the server says that it takes no more streams."""
        if not any(isinstance(event, Gone) for event in self.seen):
            await self.until(lambda event: isinstance(event, Gone))
        return any(isinstance(event, Gone) for event in self.seen)

    def _over(self, stream_id: int) -> bool:
        return any(isinstance(event, Ended | Broken) and event.stream_id == stream_id for event in self.seen)


@asynccontextmanager
async def spdy_client(port: int, path: str, protocols: Sequence[str]) -> AsyncIterator[SPDYClient]:
    """A client of the server at a port of loopback, which must grant the upgrade."""
    versions = (f"X-Stream-Protocol-Version: {name}" for name in protocols)
    async with (
        _upgraded(port, f"POST {path}", "Upgrade: SPDY/3.1", *versions) as (reader, writer, head),
        speaking(WireChannel(reader, writer), client=True) as spdy,
    ):
        yield SPDYClient(spdy, head)
        writer.close()  # as Go's clients do, and no server has to wait


@asynccontextmanager
async def tunnelled_spdy_client(port: int, path: str, protocol: str) -> AsyncIterator[SPDYClient]:
    """The same in a WebSocket."""
    headers = (
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Sec-WebSocket-Protocol: {protocol}",
    )
    async with (
        _upgraded(port, f"GET {path}", *headers) as (reader, writer, head),
        speaking(TunnelChannel(reader, writer), client=True) as spdy,
    ):
        yield SPDYClient(spdy, head)
        writer.close()


@asynccontextmanager
async def _upgraded(
    port: int, request: str, *headers: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, str]]:
    """A connection behind its 101, and the head of that."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        lines = (f"{request} HTTP/1.1", "Host: test", "Connection: Upgrade", *headers, "", "")
        writer.write("\r\n".join(lines).encode())
        async with asyncio.timeout(30):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 101 "), head
        yield reader, writer, head
    finally:
        writer.close()
