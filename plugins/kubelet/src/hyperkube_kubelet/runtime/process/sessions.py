"""The kubelet's side of programs in containers: it holds their streams itself, the reaper only tells how they end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from hyperkube_kubelet.runtime.errors import RuntimeUnavailable
from hyperkube_kubelet.runtime.interface import Stream
from hyperkube_machinery.agents import AgentUnavailable, Call

__all__ = ["PipeSession"]

_PIECE = 64 << 10


class PipeSession:
    """Fits `hyperkube_kubelet.runtime.interface.Session`."""

    def __init__(self, call: Call, *, outputs: dict[int, Stream], stdin: int = -1, terminal: int = -1) -> None:
        """The descriptors are this session's from now on; `stdin` and `terminal` may be the same, or an output's."""
        self._call = call
        self._outputs = outputs
        self._input, self._terminal = stdin, terminal
        self._descriptors = {*outputs, stdin, terminal} - {-1}
        self._ending: asyncio.Future[int] | None = None
        for descriptor in self._descriptors:
            os.set_blocking(descriptor, False)

    async def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        loop = asyncio.get_running_loop()
        while self._outputs:
            quiet = True
            for descriptor, stream in list(self._outputs.items()):
                try:
                    data = os.read(descriptor, _PIECE)
                except BlockingIOError:
                    continue
                except OSError:  # a terminal that nobody holds any more
                    data = b""
                quiet = False
                if data:
                    yield stream, data
                else:
                    del self._outputs[descriptor]
            if quiet:
                await _ready(list(self._outputs), loop.add_reader, loop.remove_reader)

    async def write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        while data and self._input >= 0:
            try:
                data = data[os.write(self._input, data) :]
            except BlockingIOError:
                await _ready([self._input], loop.add_writer, loop.remove_writer)
            except OSError:
                return

    async def close_input(self) -> None:
        if self._input < 0 or self._input == self._terminal:
            return  # a terminal has no end of input but a character that is typed
        self._descriptors.discard(self._input)
        os.close(self._input)
        self._input = -1
        with suppress(OSError):
            await self._call.tell({"op": "close_input"})

    async def resize(self, columns: int, rows: int) -> None:
        if self._terminal < 0:
            return
        import fcntl
        import struct
        import termios

        with suppress(OSError):
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._end())
        return await asyncio.shield(self._ending)

    async def _end(self) -> int:
        try:
            return int((await self._call.receive())["exit_code"])
        except AgentUnavailable as exc:
            raise RuntimeUnavailable(str(exc)) from exc

    async def close(self) -> None:
        """Let go of everything; a program that still runs is killed."""
        if self._ending is not None:
            self._ending.cancel()
            with suppress(asyncio.CancelledError, RuntimeUnavailable):
                await self._ending
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self._outputs.clear()
        self._input = self._terminal = -1


async def _ready(descriptors: list[int], add: Callable[..., object], remove: Callable[[int], object]) -> None:
    """Wait until one of `descriptors` is ready."""
    woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    for descriptor in descriptors:
        add(descriptor, _wake, woken)
    try:
        await woken
    finally:
        for descriptor in descriptors:
            remove(descriptor)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
