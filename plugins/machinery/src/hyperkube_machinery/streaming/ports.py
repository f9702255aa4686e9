"""A connection to a port of a pod, wherever its other end is.

Source: k8s.io/client-go/tools/portforward.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from hyperkube_machinery.exchange import Peer
from hyperkube_machinery.serving.spdy.connection import SPDY
from hyperkube_machinery.serving.spdy.session import Arrived, Broken, Ended
from hyperkube_machinery.streaming.errors import RemoteFailure
from hyperkube_machinery.streaming.upgrades import speaking_spdy_with

__all__ = ["PROTOCOL", "PortConnection", "connected", "remote_port"]

PROTOCOL = "portforward.k8s.io"
_PIECE_BYTES = 64 << 10
_MOST_SAID = 64 << 10


class PortConnection(Protocol):
    """A connection to a port."""

    async def read(self) -> bytes:
        """What the port sends, at least a byte; empty at its end. May raise OSError, StreamingError."""

    async def write(self, data: bytes) -> None:
        """Send; returns when there is room for more. May raise OSError."""

    async def finish(self) -> None:
        """Say that nothing more will be sent. May raise OSError."""


class _SocketConnection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        return await self._reader.read(_PIECE_BYTES)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def finish(self) -> None:
        self._writer.write_eof()


@asynccontextmanager
async def connected(sock: socket.socket) -> AsyncIterator[PortConnection]:
    """A connection that is there, as one; closed at the end of the block, without regard to what was not taken."""
    reader, writer = await asyncio.open_connection(sock=sock, limit=_PIECE_BYTES)
    try:
        yield _SocketConnection(reader, writer)
    finally:
        if writer.transport.get_write_buffer_size():
            writer.transport.abort()
        else:
            writer.close()


class _RemoteConnection:
    def __init__(self, spdy: SPDY, error: int, data: int) -> None:
        self._spdy, self._error, self._data = spdy, error, data
        self._events = spdy.events()
        self._unfinished = {error, data}
        self._said = b""

    async def read(self) -> bytes:
        while self._unfinished:
            event = await anext(self._events, None)
            match event:
                case None:
                    self._unfinished.clear()
                case Arrived(stream_id, data):
                    if stream_id == self._data:
                        return data
                    self._said += data[: _MOST_SAID - len(self._said)]
                case Ended(stream_id) | Broken(stream_id):
                    self._unfinished.discard(stream_id)
        if self._said:
            said, self._said = self._said, b""
            raise RemoteFailure(said.decode("utf-8", "replace"))
        return b""

    async def write(self, data: bytes) -> None:
        await self._spdy.send(self._data, data)

    async def finish(self) -> None:
        await self._spdy.finish(self._data)


@asynccontextmanager
async def remote_port(peer: Peer, target: str, port: int) -> AsyncIterator[PortConnection]:
    """A port that another server forwards, for the length of the block; what `read` raises says what is wrong with it.

    Raises UpgradeRefused, ExchangeError.
    """
    async with speaking_spdy_with(peer, target, (PROTOCOL,)) as (spdy, _):
        about = {"port": str(port), "requestid": "0"}
        error = await spdy.open({"streamtype": "error", **about})
        with suppress(OSError):
            await spdy.finish(error)
        yield _RemoteConnection(spdy, error, await spdy.open({"streamtype": "data", **about}))
