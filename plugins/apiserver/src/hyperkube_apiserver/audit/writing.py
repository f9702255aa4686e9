"""Writes in a thread of its own, for a disk or a reader that is slow must not hold up those that don't wait for it.

Whoever hands lines over waits until they are written; what came meanwhile is written in one go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from queue import SimpleQueue
from threading import Thread
from typing import NoReturn, Protocol, TypeAlias

__all__ = ["Aside", "Target"]

Failure: TypeAlias = OSError | None
_Handed: TypeAlias = tuple[Sequence[bytes], "asyncio.Future[list[Failure]]"]

_LAST_SECONDS = 10.0
"""What is not written by then is lost when the server ends."""


class Target(Protocol):
    """Takes whole lines, in one thread at a time."""

    def write(self, data: bytes) -> None:
        """Raises OSError."""

    async def run(self) -> NoReturn:
        """What it does beside, until cancelled."""

    def close(self) -> None:
        """Write no more."""


class Aside:
    """Hands lines to a target. An executor would do the same for twice the time."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[_Handed | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._ended = False

    async def write(self, lines: Sequence[bytes]) -> list[Failure]:
        """Write lines; what kept each from being written, None for nothing."""
        if self._ended:
            return [OSError("the file is closed, for the server ends") for _ in lines]
        if self._thread is None:
            self._thread = Thread(target=self._write, name="audit", daemon=True)
            self._thread.start()
        written: asyncio.Future[list[Failure]] = self._loop.create_future()
        self._waiting.put((lines, written))
        return await written

    def _write(self) -> None:
        """Write what is handed over, until that is None."""
        handed: _Handed | None = self._waiting.get()
        while handed is not None:
            done = [(handed[1], self._failures(handed[0]))]
            while not self._waiting.empty() and (handed := self._waiting.get()) is not None:
                done.append((handed[1], self._failures(handed[0])))
            self._loop.call_soon_threadsafe(_tell, done)
            if handed is not None:
                handed = self._waiting.get()

    def _failures(self, lines: Sequence[bytes]) -> list[Failure]:
        return [self._failure(line) for line in lines]

    def _failure(self, line: bytes) -> Failure:
        try:
            self._target.write(line)
        except OSError as exc:
            return exc
        except ValueError as exc:  # standard output was closed
            return OSError(str(exc))
        return None

    async def run(self) -> NoReturn:
        """What the target does beside, until cancelled; what was handed over is written then, if it can be."""
        try:
            await self._target.run()
        finally:
            self._ended = True
            if self._thread is not None:
                self._waiting.put(None)
                await asyncio.to_thread(self._thread.join, _LAST_SECONDS)
            self._target.close()


def _tell(done: Sequence[tuple[asyncio.Future[list[Failure]], list[Failure]]]) -> None:
    for written, failures in done:
        if not written.done():  # whoever waited may be gone
            written.set_result(failures)
