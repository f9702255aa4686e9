"""How long requests may take: one timer for all that wait, since all have the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from hyperkube_machinery.clock import Clock

__all__ = ["Deadlines", "Late"]

T = TypeVar("T")


class Late(Exception):
    """The time was up."""


class Deadlines:
    """Gives up on what takes longer than `seconds`. A timer for each would cost a write a tenth of its time."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._running: dict[asyncio.Timeout, float] = {}  # with their ends on the monotonic clock, first to last
        self._timer: asyncio.Task[None] | None = None  # there is one while anything runs

    async def keep(self, pending: Awaitable[T]) -> T:
        """The result of `pending`; raises Late, having cancelled it, when its time is up."""
        timeout = asyncio.timeout(None)
        self._running[timeout] = self._clock.monotonic() + self._seconds
        if self._timer is None:
            self._timer = asyncio.create_task(self._expire(), name="request deadlines")
        try:
            async with timeout:
                return await pending
        except TimeoutError as exc:
            if timeout.expired():
                raise Late from exc
            raise  # its own
        finally:
            del self._running[timeout]
            if not self._running:
                self._timer.cancel()
                self._timer = None

    async def _expire(self) -> None:
        while True:
            now = self._clock.monotonic()
            for timeout, end in self._running.items():
                if end > now:
                    await self._clock.sleep(end - now)
                    break
                if not timeout.expired():
                    timeout.reschedule(0)  # long ago: it expires at the next turn of the loop
            else:
                await self._clock.sleep(self._seconds)
