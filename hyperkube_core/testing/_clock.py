"""A clock whose time passes when a test says so."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

_TURNS = 20
"""Turns of the loop that whoever was woken gets before time goes on."""


class VirtualClock:
    """A `Clock` for tests: seconds pass in `advance` and at no other time.

    async with running(server, clock=clock):
        await clock.until_sleeping(30)
        await clock.advance(30)
    """

    def __init__(self, *, now: float = 1_700_000_000.0) -> None:
        self._began = now
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, float, asyncio.Future[None]]] = []
        self._numbers = count()
        self._changed = asyncio.Event()

    def now(self) -> float:
        return self._began + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._numbers), seconds, woken))
        self._changed.set()
        await woken

    @property
    def sleeping(self) -> list[float]:
        """How long each of those who sleep now wanted to, shortest rest first."""
        return [seconds for _, _, seconds, woken in sorted(self._sleepers) if not woken.done()]

    async def until_sleeping(self, seconds: float) -> None:
        """Return once somebody sleeps who wanted to for exactly so long."""
        while seconds not in self.sleeping:
            self._changed.clear()
            await self._changed.wait()

    async def advance(self, seconds: float) -> None:
        """Let time pass: whoever's time comes wakes up in order, at the very moment that it wanted."""
        target = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            moment, _, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue  # cancelled meanwhile
            self._elapsed = max(self._elapsed, moment)
            woken.set_result(None)
            await self._settle()
        self._elapsed = target
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
