"""One connection to an API server: one request at a time, and its answer as it comes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import cast

import httptools

from hyperkube_machinery.client.transport import Outgoing, Unreachable
from hyperkube_machinery.exchange import Peer

__all__ = ["Exchange", "HTTPConnection"]

_HIGH_WATER = 256 * 1024
"""Bytes of a body that wait for their reader before the connection isn't read any more."""

_READ_BYTES = 64 * 1024


class _ReadBuffers(threading.local):
    """One for all connections of a thread, for it is read into and out of within one call of its loop.

    Without it uvloop would read TLS into 256 KiB of its own, which glibc maps and unmaps each time. While the system
    reads into it other threads run, and may have a loop and connections of their own.
    """

    def __init__(self) -> None:
        self.own = memoryview(bytearray(_READ_BYTES))


_read_buffers = _ReadBuffers()


class HTTPConnection(asyncio.BufferedProtocol):
    """The protocol of one connection; `exchange` is what it is busy with."""

    _transport: asyncio.Transport

    def __init__(self, peer: Peer) -> None:
        self.peer = peer  # whom it was made to, and as whom
        self._parser = httptools.HttpResponseParser(self)
        self._buffer = _read_buffers.own
        self.exchange: Exchange | None = None
        self.used = False  # it has answered a request before
        self.idle_since = 0.0
        self.lost = False
        self._upgraded = False

    def send(self, request: Outgoing, head: bytes, over: Callable[[Exchange], None]) -> Exchange:
        """Send `request`, whose head is encoded already, on a connection that does nothing else.

        `over` is called once its answer has come whole, or broken off.
        """
        exchange = self.exchange = Exchange(self, over, silent=request.method == "HEAD")
        self._transport.write(head + request.body)
        return exchange

    def pause_reading(self) -> None:
        if not self.lost:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.lost:
            self._transport.resume_reading()

    def abort(self, why: str = "the connection was closed") -> None:
        """Hang up at once, which breaks off what is on its way."""
        if not self.lost:
            self._transport.abort()
            self._lose(why)

    def close(self) -> None:
        """Hang up in order."""
        if not self.lost:
            self._transport.close()
            self._lose("the connection was closed")

    def _lose(self, why: str) -> None:
        self.lost = True
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.break_off(why)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self.exchange is None:  # nobody asked
            self.abort()
            return
        try:
            self._parser.feed_data(bytes(self._buffer[:nbytes]))
        except httptools.HttpParserUpgrade:
            self._upgraded = True
        except httptools.HttpParserError as exc:
            self.abort(f"malformed HTTP response ({exc})")
        if self._upgraded:
            self.abort("the server changed the protocol, which nobody asked for")

    def eof_received(self) -> bool:
        if self.exchange is not None and self.exchange.ends_with_connection:
            self._complete()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost:
            self._lose("EOF" if exc is None else str(exc) or type(exc).__name__)

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.exchange is not None:
            self.exchange.add_header(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        exchange = self.exchange
        if exchange is None or status < 200:
            return
        exchange.begin(status)
        if exchange.silent:  # the parser doesn't know that no body follows
            exchange.persistent = False
            self._complete()

    def on_body(self, body: bytes) -> None:
        if self.exchange is not None:
            self.exchange.feed(body)

    def on_message_complete(self) -> None:
        if self.exchange is None:
            return
        if self._parser.get_status_code() < 200:
            self.exchange.headers.clear()  # the answer is still to come
            return
        self.exchange.persistent = bool(self._parser.should_keep_alive())
        self._complete()

    def _complete(self) -> None:
        exchange, self.exchange = self.exchange, None
        self.used = True
        if exchange is not None:
            exchange.end()


class Exchange:
    """The answer to one request; fits `Incoming`."""

    def __init__(self, connection: HTTPConnection, over: Callable[[Exchange], None], *, silent: bool) -> None:
        self.connection = connection
        self._over = over
        self.status = 0  # while the head isn't there
        self.headers: dict[str, str] = {}
        self.silent = silent  # it has no body whatever its head says
        self.persistent = False  # the connection can be used again once this has ended
        self.ended = False  # the body is complete
        self._why = ""  # it broke off
        self._pieces: list[bytes] = []
        self._size = 0
        self._bounded = True
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def ends_with_connection(self) -> bool:
        """Whether the body has no end but the connection's."""
        return self.status != 0 and not ("content-length" in self.headers or "transfer-encoding" in self.headers)

    async def wait_begun(self) -> None:
        """Wait for the head. Raises Unreachable."""
        while not self.status:
            self._check()
            await self._wait()

    async def wait_ended(self) -> bytes:
        """Wait for all of the body, which is small enough to be held. Raises Unreachable."""
        self._bounded = False
        while not self.ended:
            self._check()
            await self._wait()
        return b"".join(self._pieces)

    async def read(self) -> bytes:
        while not self._pieces:
            if self.ended:
                return b""
            self._check()
            await self._wait()
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self.connection.resume_reading()
        return data

    def close(self) -> None:
        if not self.ended and not self._why:
            self.connection.abort()
        self._pieces.clear()

    def _check(self) -> None:
        if self._why:
            raise Unreachable(self._why, broke_off=True)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    # What the connection calls.

    def add_header(self, name: str, value: str) -> None:
        known = self.headers.get(name)
        self.headers[name] = value if known is None else f"{known}, {value}"

    def begin(self, status: int) -> None:
        self.status = status
        if self._bounded:
            self._wake()

    def feed(self, data: bytes) -> None:
        self._pieces.append(data)
        if self._bounded:
            self._size += len(data)
            if self._size > _HIGH_WATER and not self._paused:
                self._paused = True
                self.connection.pause_reading()
            self._wake()

    def end(self) -> None:
        self.ended = True
        if self._paused:
            self._paused = False
            self.connection.resume_reading()
        self._over(self)
        self._wake()

    def break_off(self, why: str) -> None:
        self._why = why
        self._over(self)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
