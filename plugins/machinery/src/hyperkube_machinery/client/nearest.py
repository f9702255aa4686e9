"""The API server in this process as long as it runs, and after that whoever is at its address: it is started again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from hyperkube_machinery.client.http import HTTPTransport
from hyperkube_machinery.client.local import LocalServer, LocalTransport
from hyperkube_machinery.client.transport import Incoming, Outgoing, RawResponse, Transport, Unreachable

__all__ = ["NearestTransport"]


class NearestTransport:
    """Fits `Transport`, within `running`."""

    def __init__(self, server: LocalServer, outside: HTTPTransport) -> None:
        """`outside` leads to the same address, and costs nothing before it is needed."""
        self._server = server
        self._inside = LocalTransport(server)
        self._outside = outside
        self._shown = (b"", b"")
        self._moving = asyncio.Lock()
        self._moved = False
        self._stack: AsyncExitStack | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[NearestTransport]:
        """Let requests pass for the length of the block."""
        async with AsyncExitStack() as stack:
            self._stack = stack
            try:
                yield self
            finally:
                self._stack = None
                await self._inside.close()

    def show(self, certificate_pem: bytes, key_pem: bytes) -> None:
        self._shown = (certificate_pem, key_pem)
        way: Transport = self._outside if self._moved else self._inside
        way.show(certificate_pem, key_pem)

    async def ask(self, request: Outgoing) -> RawResponse:
        return await (await self._way()).ask(request)

    async def open(self, request: Outgoing) -> Incoming:
        return await (await self._way()).open(request)

    async def close(self) -> None:
        await self._inside.close()
        if self._moved:
            await self._outside.close()

    async def _way(self) -> Transport:
        if not self._server.closed:
            return self._inside
        async with self._moving:
            if self._stack is None:
                raise Unreachable("the client was closed")
            if not self._moved:
                self._outside.show(*self._shown)
                await self._stack.enter_async_context(self._outside.running())
                self._moved = True
        return self._outside
