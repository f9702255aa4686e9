"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools

__all__ = ["VirtualClock"]

_TURNS = 10
"""Turns of the loop that whoever was woken gets before time goes on."""


class VirtualClock:
    """Fits `hyperkube_machinery.clock.Clock`."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self._begin = now
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, float, asyncio.Future[None]]] = []
        self._lain_down = asyncio.Event()
        self._order = itertools.count()

    def now(self) -> float:
        return self._begin + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), seconds, sleeper))
        self._lain_down.set()
        await sleeper

    async def until_sleeping(self, seconds: float) -> None:
        """Return once somebody sleeps who wanted to for exactly so long."""
        while not any(wanted == seconds and not sleeper.done() for _, _, wanted, sleeper in self._sleepers):
            self._lain_down.clear()
            await self._lain_down.wait()

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, waking each sleeper at its time, also those who lie down again meanwhile."""
        end = self._elapsed + seconds
        await _turns()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._elapsed, _, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)
                await _turns()
        self._elapsed = end


async def _turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
