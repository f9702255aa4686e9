"""HTTPS to an API server: connections that are kept and used again.

ask, open ─→ a connection: idle, or a new one ─→ Exchange ─→ idle again, where its answer came whole
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from hyperkube_machinery.client.connection import Exchange, HTTPConnection
from hyperkube_machinery.client.transport import Outgoing, RawResponse, Unreachable
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.exchange import Peer, failure_text

__all__ = ["HTTPTransport"]

# Source: net/http's DefaultTransport and k8s.io/client-go/transport/cache.go
_DIAL_SECONDS = 30.0
_KEEP_ALIVE_SECONDS = 30
_KEEP_ALIVE_PROBES = 3

_IDLE_SECONDS = 60.0
"""Unused for longer, a connection isn't used again: the server may be about to close it, which hk's does after 90."""

_MOST_AT_ONCE = 32
"""Requests that run side by side, streams apart; more wait for their turn.

A server takes them one after the other anyway, and whoever asks it for but one thing waits behind all of them.
"""
_MOST_IDLE = _MOST_AT_ONCE
"""Handshakes cost both sides milliseconds: whoever asks for much at once must not make them for every request."""

_SWEEP_SECONDS = 1.0


class HTTPTransport:
    """Fits `Transport`, within `running`."""

    def __init__(
        self,
        host: str,
        port: int,
        context: Callable[[bytes, bytes], ssl.SSLContext | None],
        clock: Clock,
        *,
        server_name: str = "",
    ) -> None:
        """`context` makes of a certificate and its key (PEM, or both empty) what a connection is made with."""
        self._peer = Peer(host, port)
        self._context = context
        self._clock = clock
        self._server_name = server_name or host
        self._host_line = f"host: {self._peer.authority}"
        self._idle: deque[HTTPConnection] = deque()  # the last used last
        self._busy: dict[Exchange, float] = {}  # and until when each may take
        self._dialling: dict[asyncio.Task[HTTPConnection], float] = {}
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)
        self._closed = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HTTPTransport]:
        """Let requests pass, and see to their time limits, for the length of the block."""
        sweeper = asyncio.get_running_loop().create_task(self._sweep())
        try:
            yield self
        finally:
            sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await sweeper
            await self.close()

    def show(self, certificate_pem: bytes, key_pem: bytes) -> None:
        self._peer = replace(self._peer, tls=self._context(certificate_pem, key_pem))
        self._hang_up()  # what is under way goes on as who it was, and what comes after it does not

    async def ask(self, request: Outgoing) -> RawResponse:
        async with self._turns:
            exchange = await self._begin(request)
            try:
                body = await exchange.wait_ended()
            except Unreachable as exc:
                raise self._told(request, exc) from exc
            finally:
                exchange.close()
            return RawResponse(exchange.status, exchange.headers, body)

    async def open(self, request: Outgoing) -> Exchange:
        return await self._begin(request)

    async def close(self) -> None:
        self._closed = True
        for exchange in list(self._busy):
            exchange.close()
        self._hang_up()
        for task in self._dialling:
            task.cancel()
        if self._dialling:
            await asyncio.wait(list(self._dialling))

    def _hang_up(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _begin(self, request: Outgoing) -> Exchange:
        """Send a request and wait for the head of its answer.

        Sent on a connection that the server closed in this moment, it is sent once more where that can do no harm.
        """
        head = self._head(request)
        until = self._clock.monotonic() + request.seconds if request.seconds else float("inf")
        while True:
            idle = self._reusable()
            try:
                connection = idle or await self._dial()
                exchange = connection.send(request, head, self._over)
                self._busy[exchange] = until
                try:
                    await exchange.wait_begun()
                except asyncio.CancelledError:
                    exchange.close()
                    raise
            except Unreachable as exc:
                if idle is None or not request.replayable or self._closed or self._clock.monotonic() >= until:
                    raise self._told(request, exc) from exc
            else:
                return exchange

    def _head(self, request: Outgoing) -> bytes:
        lines = [f"{request.method} {request.target} HTTP/1.1", self._host_line]
        lines += [f"{name}: {value}" for name, value in request.headers]
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            lines.append(f"content-length: {len(request.body)}")
        text = "\r\n".join(lines)
        if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
            raise ValueError(f"a header or the target of {request.method} {request.target!r} holds a line break")
        return f"{text}\r\n\r\n".encode()

    def _reusable(self) -> HTTPConnection | None:
        least = self._clock.monotonic() - _IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if not connection.lost and connection.idle_since >= least:
                return connection
            connection.close()
        return None

    async def _dial(self) -> HTTPConnection:
        if self._closed:
            raise Unreachable("the client was closed")
        task = asyncio.get_running_loop().create_task(self._connect())
        self._dialling[task] = self._clock.monotonic() + _DIAL_SECONDS
        task.add_done_callback(self._dialling.pop)
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            if not task.cancel() and not task.cancelled() and task.exception() is None:
                self._keep(task.result())
            raise
        if task.cancelled():
            raise Unreachable(f"dial tcp {self._peer.authority}: i/o timeout")
        return task.result()

    async def _connect(self) -> HTTPConnection:
        peer = self._peer
        try:
            transport, connection = await asyncio.get_running_loop().create_connection(
                lambda: HTTPConnection(peer),
                peer.host,
                peer.port,
                ssl=peer.tls,
                server_hostname=self._server_name if peer.tls is not None else None,
                ssl_handshake_timeout=2 * _DIAL_SECONDS if peer.tls is not None else None,  # the sweep is first
            )
        except (OSError, UnicodeError) as exc:
            raise Unreachable(failure_text(peer, exc)) from exc
        _notice_silence(transport.get_extra_info("socket"))
        return connection

    def _over(self, exchange: Exchange) -> None:
        """An answer has come whole, or broken off."""
        self._busy.pop(exchange, None)
        if exchange.ended and exchange.persistent:
            self._keep(exchange.connection)
        else:
            exchange.connection.close()

    def _keep(self, connection: HTTPConnection) -> None:
        if self._closed or connection.peer is not self._peer or len(self._idle) >= _MOST_IDLE:
            connection.close()
            return
        connection.idle_since = self._clock.monotonic()
        self._idle.append(connection)

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(_SWEEP_SECONDS)
            now = self._clock.monotonic()
            for exchange, until in list(self._busy.items()):
                if now >= until:
                    exchange.connection.abort("the request took too long")
            for task, until in list(self._dialling.items()):
                if now >= until:
                    task.cancel()
            while self._idle and (self._idle[0].lost or self._idle[0].idle_since < now - _IDLE_SECONDS):
                self._idle.popleft().close()

    def _told(self, request: Outgoing, exc: Unreachable) -> Unreachable:
        url = f"{self._peer.scheme}://{self._peer.authority}{request.target}"
        return Unreachable(f'{request.method} "{url}": {exc}', broke_off=exc.broke_off)


def _notice_silence(sock: socket.socket | None) -> None:
    """Have the system find out that a server is gone without a word, also while a watch waits."""
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _KEEP_ALIVE_SECONDS),
        ("TCP_KEEPINTVL", _KEEP_ALIVE_SECONDS // _KEEP_ALIVE_PROBES),
        ("TCP_KEEPCNT", _KEEP_ALIVE_PROBES),
    ):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
