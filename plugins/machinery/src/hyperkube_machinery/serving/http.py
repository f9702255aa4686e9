"""The HTTP/1.1 server.

start ─→ serving ─→ drain(seconds) ─→ closed
             └────────── close() ───────↗
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from hyperkube_machinery.clock import Clock, SystemClock
from hyperkube_machinery.serving.connection import HTTPConnection
from hyperkube_machinery.serving.heads import Heads
from hyperkube_machinery.serving.limits import Limits
from hyperkube_machinery.serving.listener import Listener, bind
from hyperkube_machinery.serving.messages import Handler

__all__ = ["HTTPServer"]

log = logging.getLogger(__name__)

_READ_BYTES = 64 * 1024

_SWEPT_AT_ONCE = 500
"""Connections looked at before others have their turn."""


class HTTPServer:
    """Serves `handler` on some listening sockets, once.

    A handler that answers at once is called straight from the socket; one that returns an awaitable gets a task, which
    is cancelled when its client goes. An APIError it raises is answered as it says, any other exception with 500.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self._clock = clock or SystemClock()
        self._ssl_context = ssl_context
        self._listener: Listener | None = None
        self._addresses: list[tuple[str, int]] = []
        self._connections: set[HTTPConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._empty = asyncio.Event()
        self._empty.set()
        # For connections.
        self.now = self._clock.monotonic()
        self.heads = Heads(self._clock.now())
        self.draining = False
        self.read_buffer = memoryview(bytearray(_READ_BYTES))

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, *, sockets: Sequence[socket.socket] | None = None
    ) -> None:
        """Listen on every address of `host`, or on `sockets`, which listen already and are the server's from here on.

        Raises OSError, naming the address, when that can't be had.
        """
        if self._listener is not None:
            raise RuntimeError("the server was started before")
        limits = self.limits
        listening = sockets if sockets is not None else await bind(host, port, backlog=limits.backlog)
        self._listener = Listener(
            listening,
            self._connect,
            limits=limits,
            ssl_context=self._ssl_context,
            now=self._clock.monotonic,
            connections=self._connections.__len__,
        )
        self._addresses = self._listener.addresses
        self._tick()
        self._listener.start()
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    @asynccontextmanager
    async def listening(
        self, host: str = "127.0.0.1", port: int = 0, *, sockets: Sequence[socket.socket] | None = None
    ) -> AsyncIterator[HTTPServer]:
        """Serve for the length of the block; connections that are left at its end are dropped."""
        await self.start(host, port, sockets=sockets)
        try:
            yield self
        finally:
            await self.close()

    def adopt(self, transport: asyncio.Transport, data: bytes) -> None:
        """Serve a connection that another protocol has accepted, and that began with `data`."""
        name = transport.get_extra_info("peername")
        connection = self._connect(str(name[0]) if name else "")
        transport.set_protocol(connection)
        connection.connection_made(transport)
        connection.data_received(data)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each listening socket."""
        return self._addresses

    @property
    def port(self) -> int:
        return self._addresses[0][1]

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    @property
    def handshakes(self) -> int:
        """How many are about to be."""
        return 0 if self._listener is None else self._listener.handshakes

    @property
    def failed_handshakes(self) -> int:
        """How many connections came to nothing since the start."""
        return 0 if self._listener is None else self._listener.failed_handshakes

    async def drain(self, seconds: float) -> None:
        """Accept nothing more, let what runs finish, then close; what takes longer than `seconds` is dropped."""
        self.draining = True
        if self._listener is not None:
            await self._listener.close()
        for connection in list(self._connections):
            connection.begin_drain()
        emptied = asyncio.ensure_future(self._empty.wait())
        deadline = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((emptied, deadline), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(emptied, deadline)
            await self.close()

    async def close(self) -> None:
        """Drop every connection; a no-op the second time."""
        self.draining = True
        if self._listener is not None:
            await self._listener.close()
        if self._sweeper is not None:
            await _cancel(self._sweeper)
        for connection in list(self._connections):
            connection.abort()
        # A handler may take its time to clean up.
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._empty.wait()

    # What connections call.

    def opened(self, connection: HTTPConnection) -> None:
        self._connections.add(connection)
        self._empty.clear()

    def lost(self, connection: HTTPConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()
        if self._listener is not None and not self.draining:
            self._listener.adjust()

    def own(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("a connection's task failed", exc_info=exc)

    def _connect(self, address: str) -> HTTPConnection:
        return HTTPConnection(self, address)

    # The sweep, which sees every timeout: a timer for each connection would cost each request two calls.

    def _tick(self) -> None:
        self.now = self._clock.monotonic()
        self.heads.refresh(self._clock.now())

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(self.limits.sweep_seconds)
            self._tick()
            if self._listener is not None:
                self._listener.check(self.now)
            connections = list(self._connections)
            for start in range(0, len(connections), _SWEPT_AT_ONCE):
                for connection in connections[start : start + _SWEPT_AT_ONCE]:
                    self._check(connection)
                await asyncio.sleep(0)

    def _check(self, connection: HTTPConnection) -> None:
        try:
            if not connection.gone:
                connection.check(self.now)
        except Exception:
            log.exception("cannot check the connection of %s; dropping it", connection.peer_address)
            connection.abort()


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
