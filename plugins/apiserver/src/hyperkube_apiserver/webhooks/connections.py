"""Connections to one webhook, which are kept and used again."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from socket import socket

from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_apiserver.webhooks.trust import explain
from hyperkube_machinery.client.connection import Exchange, HTTPConnection
from hyperkube_machinery.client.transport import Outgoing, RawResponse, Unreachable
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.exchange import Peer, failure_text
from hyperkube_machinery.tls import client_context

__all__ = ["Connections", "Locate", "Place"]

_IDLE_SECONDS = 90.0
_MOST_IDLE = 25
# Source: net/http's DefaultTransport and k8s.io/client-go/transport/cache.go
_LARGEST_ANSWER = 32 << 20
"""Bytes. Upstream has no limit; an answer holds one object, or a list of those to convert, in its largest form."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to connect to, or a connection that was made elsewhere."""

    host: str
    port: int
    connected: socket | None = None


Locate = Callable[[], Awaitable[Place]]
"""Finds where a webhook is served now. Raises CallFailed."""


class Connections:
    """Asks one webhook, on a connection that is idle or on a new one."""

    def __init__(self, locate: Locate, tls: ssl.SSLContext | None, name: str, authority: str, clock: Clock) -> None:
        """`name` is whom the certificate must be for, `authority` what stands in the Host header.

        Without `tls` plain HTTP is spoken.
        """
        self._locate = locate
        self._tls = tls
        self._name = name
        self._host_line = f"host: {authority}"
        self._clock = clock
        self._idle: deque[HTTPConnection] = deque()  # the last used last

    async def ask(self, request: Outgoing) -> RawResponse:
        """Send a request, whose answer is read whole. Raises CallFailed."""
        return await _whole(await self.begin(request))

    async def begin(self, request: Outgoing, *, repeatable: bool = True) -> Exchange:
        """Send a request and return its answer once its head is there; whoever has it closes it. Raises CallFailed.

        A connection that was kept may have been closed by the other side in this moment: then there is another try, if
        the request is `repeatable`.
        """
        head = self._head(request)
        while True:
            idle = self._reusable()
            connection = idle or await self._dial()
            exchange = connection.send(request, head, self._over)
            try:
                await exchange.wait_begun()
            except Unreachable as exc:
                if idle is None or not repeatable:
                    raise CallFailed(str(exc)) from exc
                continue
            except asyncio.CancelledError:
                exchange.close()
                raise
            return exchange

    def close(self) -> None:
        """Hang up."""
        while self._idle:
            self._idle.pop().close()

    def _head(self, request: Outgoing) -> bytes:
        lines = [f"{request.method} {request.target} HTTP/1.1"]
        if not any(name.lower() == "host" for name, _ in request.headers):
            lines.append(self._host_line)
        lines += [f"{name}: {value}" for name, value in request.headers]
        lines.append(f"content-length: {len(request.body)}")
        return ("\r\n".join(line.replace("\r", " ").replace("\n", " ") for line in lines) + "\r\n\r\n").encode()

    def _reusable(self) -> HTTPConnection | None:
        least = self._clock.monotonic() - _IDLE_SECONDS
        while self._idle and (self._idle[0].lost or self._idle[0].idle_since < least):
            self._idle.popleft().close()
        while self._idle:
            connection = self._idle.pop()
            if not connection.lost:
                return connection
        return None

    def _over(self, exchange: Exchange) -> None:
        connection = exchange.connection
        if not (exchange.ended and exchange.persistent) or len(self._idle) >= _MOST_IDLE:
            connection.close()
            return
        connection.idle_since = self._clock.monotonic()
        self._idle.append(connection)

    async def _dial(self) -> HTTPConnection:
        place = await self._locate()
        peer = Peer(place.host, place.port, self._tls)
        try:
            return await _connect(peer, self._tls, self._name, place.connected)
        except ssl.SSLCertVerificationError as exc:
            shown = b"" if place.connected is not None else await _shown(peer, self._name)
            told = explain(exc, shown, self._name, self._clock.now())
            raise CallFailed(f"tls: failed to verify certificate: {told}") from exc
        except (OSError, UnicodeError) as exc:
            raise CallFailed(failure_text(peer, exc)) from exc


async def _connect(
    peer: Peer, tls: ssl.SSLContext | None, name: str, connected: socket | None = None
) -> HTTPConnection:
    loop = asyncio.get_running_loop()
    named = name if tls is not None else None
    if connected is not None:
        made = await loop.create_connection(
            lambda: HTTPConnection(peer), sock=connected, ssl=tls, server_hostname=named
        )
    else:
        made = await loop.create_connection(
            lambda: HTTPConnection(peer), peer.host, peer.port, ssl=tls, server_hostname=named
        )
    return made[1]


async def _shown(peer: Peer, name: str) -> bytes:
    """The certificate that a server shows, DER, of which more is to be told than that it won't do."""
    unchecked = client_context(trusts_anybody=True)
    with suppress(OSError):
        _, writer = await asyncio.open_connection(peer.host, peer.port, ssl=unchecked, server_hostname=name)
        try:
            return writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
        finally:
            writer.close()
    return b""


async def _whole(exchange: Exchange) -> RawResponse:
    parts, size = [], 0
    try:
        while piece := await exchange.read():
            size += len(piece)
            if size > _LARGEST_ANSWER:
                raise CallFailed(f"the answer is larger than {_LARGEST_ANSWER} bytes")
            parts.append(piece)
    except Unreachable as exc:
        raise CallFailed(f"unexpected error when reading response body. Please retry. Original error: {exc}") from exc
    finally:
        exchange.close()
    return RawResponse(exchange.status, exchange.headers, b"".join(parts))
