"""A connection after its upgrade, in the hands of a coroutine.

    async for piece in connection: …        what the client sends
    await connection.send(piece)            returns when there is room for more

The coroutine is cancelled when the connection is lost. When it ends, the client is told goodbye and has a moment to go:
what it is still sending would, on a connection that is closed already, destroy what it has not read yet.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar, cast

from hyperkube_machinery.clock import Clock

__all__ = ["ByteStream", "Start", "Upgraded"]

_AHEAD_BYTES = 1 << 20
"""What is read before anybody takes it; then reading pauses."""
_LINGER_SECONDS = 5.0

Start = Callable[[Awaitable[None]], "asyncio.Task[None]"]
"""Makes the task in which the coroutine runs, and owns it."""
Self = TypeVar("Self", bound="Upgraded[Any]")


class Upgraded(asyncio.Protocol, ABC, Generic[Self]):
    """What all have in common: a queue of what came, back-pressure both ways, and the coroutine's task."""

    def __init__(self, talk: Callable[[Self], Awaitable[None]], start: Start, clock: Clock) -> None:
        self._talk = talk
        self._start = start
        self._clock = clock
        self._gone = asyncio.Event()  # the client sends no more
        self._lingering = False  # what still comes is thrown away
        self._came: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._ahead = 0
        self.moved = 0  # bytes that were received and sent
        self._paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Send, when there is room for it; a no-op once the connection is closed."""

    @abstractmethod
    def close(self) -> None:
        """Say that nothing more will be sent, as far as the protocol can say so."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._received()

    async def _received(self) -> AsyncIterator[bytes]:
        """Each piece, until the client says that there will be no more or is gone."""
        while (piece := await self._came.get()) is not None:
            self._ahead -= len(piece)
            if self._paused and self._ahead < _AHEAD_BYTES:
                self._paused = False
                self._transport.resume_reading()
            yield piece

    def _put(self, piece: bytes) -> None:
        if self._lingering:
            return
        self._ahead += len(piece)
        self.moved += len(piece)
        self._came.put_nowait(piece)

    def _end(self) -> None:
        """The client sends no more."""
        self._gone.set()
        self._came.put_nowait(None)

    def _hold(self) -> None:
        """Let the client wait where too much has come that nobody has taken."""
        if self._ahead > _AHEAD_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    # What the connection does.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._task = self._start(self._run())

    def eof_received(self) -> bool:
        self._end()
        return False

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        self._end()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._talk(cast("Self", self))
            self.close()
            await self._linger()
        finally:
            self.close()
            if self._writable.is_set():
                self._transport.close()
            else:  # it would wait for a client that takes nothing
                self._transport.abort()

    async def _linger(self) -> None:
        self._lingering = True
        if self._paused:
            self._paused = False
            self._ahead = 0
            self._transport.resume_reading()
        tasks = [asyncio.ensure_future(self._gone.wait()), asyncio.ensure_future(self._clock.sleep(_LINGER_SECONDS))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class ByteStream(Upgraded["ByteStream"]):
    """The bytes as they come and go."""

    async def send(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self.moved += len(data)
            self._transport.write(data)
            if not self._writable.is_set():
                await self._writable.wait()

    def close(self) -> None:
        """A connection says it by being closed."""

    def data_received(self, data: bytes) -> None:
        self._put(data)
        self._hold()
