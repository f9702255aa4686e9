"""Connections that leave HTTP, passed on to another server byte by byte.

Source: k8s.io/apimachinery/pkg/util/proxy (UpgradeAwareHandler).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from typing import cast

from hyperkube_machinery.errors import APIError
from hyperkube_machinery.exchange import Exchange, ExchangeError, Peer, exchange
from hyperkube_machinery.serving.messages import Answer, Request, Response, Upgrade

__all__ = [
    "asks_for_upgrade",
    "forwarded_for",
    "refused_upgrade",
    "upgrade_headers",
    "upgraded",
    "without_identity",
]

_MOST_ERROR_BYTES = 1 << 20


def asks_for_upgrade(request: Request) -> bool:
    return "upgrade" in request.headers.get("connection", "").lower()


def without_identity(request: Request) -> Iterator[tuple[str, str]]:
    """The client's headers without those that say who it is to this server."""
    for name, value in request.headers.items():
        if name != "authorization" and not name.startswith("impersonate-"):
            yield name, value


def forwarded_for(request: Request) -> str:
    """Who asks, behind those who ask for others."""
    before, peer = request.headers.get("x-forwarded-for", ""), request.connection.peer_address
    return f"{before}, {peer}" if before else peer


def upgrade_headers(request: Request) -> list[tuple[str, str]]:
    """The client's headers, for whom its request for another protocol is passed on to."""
    headers = [(name, value) for name, value in without_identity(request) if name != "x-forwarded-for"]
    return [*headers, ("X-Forwarded-For", forwarded_for(request))]


async def upgraded(
    request: Request,
    peer: Peer,
    target: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    connected: socket.socket | None = None,
) -> Answer:
    """Ask `peer` for another protocol, and let the client speak it with it. What it refuses with is passed on.

    `headers` are sent instead of the client's own; `connected` is a connection to the peer that is there already.
    """
    sent = headers or upgrade_headers(request)
    try:
        answer = await exchange(peer, request.method, target or "/", sent, connected=connected)
    except ExchangeError as exc:
        raise APIError.of(500, "", f"error dialing backend: {exc}") from exc
    if answer.status == 101:
        kept = [(name, value) for name, value in answer.headers if name.lower() not in ("connection", "date")]
        return Upgrade(lambda: Bridge(answer), kept)
    return await refused_upgrade(answer)


async def refused_upgrade(answer: Exchange) -> Response:
    """What a kubelet says that doesn't want to speak another protocol. Raises APIError."""
    try:
        if answer.status < 400:
            raise APIError.of(500, "", f"invalid upgrade response: status code {answer.status}")
        body = await answer.body(_MOST_ERROR_BYTES)
    except ExchangeError as exc:
        raise APIError.of(500, "", f"error dialing backend: {exc}") from exc
    finally:
        answer.close()
    return Response(answer.status, body, answer.header("content-type"))


class Bridge(asyncio.Protocol):
    """The client's end of a connection whose other end is another server's: what comes on one goes out on the other.

    Each waits for the other where it reads more slowly; the end of one is the end of both.
    """

    def __init__(self, answer: Exchange) -> None:
        self._answer = answer
        self._far = answer.transport
        self._beginning: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._near = _End(cast("asyncio.Transport", transport))
        self._other = _Other(self._near, _End(self._far))
        self._beginning = asyncio.ensure_future(self._begin())

    async def _begin(self) -> None:
        ahead, ended = await self._answer.hand_over(self._other)
        self._near.transport.write(ahead)
        if ended or self._far.is_closing():
            self._near.transport.close()

    def data_received(self, data: bytes) -> None:
        self._far.write(data)

    def eof_received(self) -> bool:
        return False  # closes the client's end, which ends the other

    def pause_writing(self) -> None:
        self._other.end.hold()

    def resume_writing(self) -> None:
        self._other.end.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._beginning is not None:
            self._beginning.cancel()
        if self._near.held:  # the other reads nothing: it would never be told
            self._far.abort()
        else:
            self._far.close()


class _End:
    """One of the two connections, which may be held: then nothing is read from it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.held = False

    def hold(self) -> None:
        self.held = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def go_on(self) -> None:
        self.held = False
        if not self.transport.is_closing():
            self.transport.resume_reading()


class _Other(asyncio.Protocol):
    """The other server's end."""

    def __init__(self, near: _End, end: _End) -> None:
        self._near = near
        self.end = end

    def data_received(self, data: bytes) -> None:
        self._near.transport.write(data)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._near.hold()

    def resume_writing(self) -> None:
        self._near.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._near.transport.close()
