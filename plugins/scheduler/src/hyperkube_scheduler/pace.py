"""Long work beside other work: the loop has its turn after every little while."""

from __future__ import annotations

from typing import TypeVar

from hyperkube_machinery.clock import Clock
from hyperkube_scheduler.slices import Slices

__all__ = ["Pace"]

T = TypeVar("T")

_SECONDS = 0.001
"""What others wait for at most, apart from the slice that runs over. In one process an API server waits too."""


class Pace:
    """Measures how long the loop has been held."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()

    def start(self) -> None:
        """The loop was let go of until now."""
        self._began = self._clock.monotonic()

    async def breathe(self) -> None:
        """Let others have the loop, if it was held for long enough."""
        if self._clock.monotonic() - self._began >= _SECONDS:
            await self._clock.sleep(0)
            self._began = self._clock.monotonic()

    async def run(self, work: Slices[T]) -> T:
        """What `work` returns."""
        while True:
            try:
                next(work)
            except StopIteration as end:
                found: T = end.value
                return found
            await self.breathe()
