"""Connections that leave HTTP, passed on to another server byte by byte.

Source: k8s.io/apimachinery/pkg/util/proxy (UpgradeAwareHandler).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

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
_PIECE_BYTES = 64 << 10


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


async def upgraded(request: Request, peer: Peer, target: str, *, connected: socket.socket | None = None) -> Answer:
    """Ask `peer` for another protocol, and let the client speak it with it. What it refuses with is passed on.

    `connected`: a connection to it that is there already.
    """
    try:
        answer = await exchange(peer, request.method, target or "/", upgrade_headers(request), connected=connected)
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
    """The client's end of a connection whose other end is a kubelet's: what comes on one goes out on the other.

    Each waits for the other where it reads more slowly; the end of one is the end of both.
    """

    def __init__(self, answer: Exchange) -> None:
        self._answer = answer
        self._writable = asyncio.Event()
        self._writable.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = cast("asyncio.Transport", transport)
        self._start(self._copy_back())

    def data_received(self, data: bytes) -> None:
        writer = self._answer.writer
        writer.write(data)
        if not self._draining and writer.transport.get_write_buffer_size() > _PIECE_BYTES:
            self._draining = True
            self._client.pause_reading()
            self._start(self._drain())

    def eof_received(self) -> bool:
        return False  # closes the client's end, which ends the other

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._answer.close()
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self) -> None:
        with suppress(OSError):
            await self._answer.writer.drain()
            self._client.resume_reading()
        self._draining = False

    async def _copy_back(self) -> None:
        try:
            with suppress(OSError):  # an end as any other
                while data := await self._answer.reader.read(_PIECE_BYTES):
                    self._client.write(data)
                    await self._writable.wait()
        finally:
            self._client.close()
