"""The clock that everything in this library is given: nothing sleeps or times out except through one."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Time as the code sees it; tests give a virtual one. The clock of hyperkube_core fits as it is."""

    def now(self) -> float:
        """Seconds since the epoch: for timestamps that leave the process."""

    def monotonic(self) -> float:
        """Seconds that never go back: for durations and deadlines."""

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` later; at the next turn of the loop for 0 or less."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
