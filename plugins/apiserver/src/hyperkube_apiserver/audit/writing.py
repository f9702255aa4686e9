"""Writes in a thread of its own, for a disk or a reader that is slow must not hold up those that don't wait for it.

Whoever hands lines over waits until they are written; what came meanwhile is written in one go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn, Protocol

__all__ = ["Aside", "Target"]

Failure = OSError | None


class Target(Protocol):
    """Takes whole lines, in one thread at a time."""

    def write(self, data: bytes) -> None:
        """Raises OSError."""

    async def run(self) -> NoReturn:
        """What it does beside, until cancelled."""

    def close(self) -> None:
        """Write no more."""


class Aside:
    """Hands lines to a target."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._waiting: list[tuple[Sequence[bytes], asyncio.Future[list[Failure]]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def write(self, lines: Sequence[bytes]) -> list[Failure]:
        """Write lines; what kept each from being written, None for nothing."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[list[Failure]] = loop.create_future()
        self._waiting.append((lines, written))
        if self._writing is None:
            self._writing = loop.create_task(self._write())
        return await written

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                taken, self._waiting = self._waiting, []
                failures = await loop.run_in_executor(self._thread, self._written, [lines for lines, _ in taken])
                for (_, written), failed in zip(taken, failures, strict=True):
                    if not written.done():  # whoever waited may be gone
                        written.set_result(failed)
        finally:
            self._writing = None

    def _written(self, pieces: Sequence[Sequence[bytes]]) -> list[list[Failure]]:
        return [[self._failure(line) for line in lines] for lines in pieces]

    def _failure(self, line: bytes) -> Failure:
        try:
            self._target.write(line)
        except OSError as exc:
            return exc
        return None

    async def run(self) -> NoReturn:
        """What the target does beside, until cancelled; everything that was handed over is written then."""
        try:
            await self._target.run()
        finally:
            if self._writing is not None:
                await asyncio.wait({self._writing})
            self._target.close()
            self._thread.shutdown()
