"""How long requests may take: one timer for all that wait, since all have the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, NoReturn, TypeVar

from hyperkube_machinery.clock import Clock

__all__ = ["Deadlines", "Late", "in_time"]

T = TypeVar("T")


class Late(Exception):
    """The time was up."""


class Deadlines:
    """Gives up on what takes longer than `seconds`, while `expire` runs.

    A timer for each would cost a write a tenth of its time, as would one that is started when there is something to
    wait for, and asyncio's own timeouts another hundredth.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._running: dict[_Kept, float] = {}  # with their ends on the monotonic clock, first to last

    async def keep(self, pending: Awaitable[T]) -> T:
        """The result of `pending`; raises Late, having cancelled it, when its time is up."""
        task = asyncio.current_task()
        assert task is not None
        kept = _Kept(task)
        self._running[kept] = self._clock.monotonic() + self._seconds
        try:
            return await pending
        except asyncio.CancelledError as exc:
            if kept.late and task.cancelling() <= kept.cancelled + 1:
                raise Late from exc
            raise  # somebody else wants it to end
        finally:
            del self._running[kept]
            if kept.late:
                task.uncancel()

    async def expire(self) -> NoReturn:
        """Give up on each when its time is up, until cancelled."""
        while True:
            now, rest = self._clock.monotonic(), self._seconds
            for kept, end in self._running.items():
                if end > now:
                    rest = end - now
                    break
                kept.give_up()
            await self._clock.sleep(rest)


class _Kept:
    """What a task waits for."""

    __slots__ = ("cancelled", "late", "task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.cancelled = task.cancelling()  # how often others had asked the task to end
        self.late = False

    def give_up(self) -> None:
        """Have the task end, once: it may take a while to."""
        if not self.late:
            self.late = True
            self.task.cancel()


async def in_time(clock: Clock, seconds: float, pending: Awaitable[T]) -> T:
    """The result of `pending`, which has `seconds` of its own. Raises Late as `Deadlines.keep` does."""
    deadlines = Deadlines(clock, seconds)
    timer = asyncio.create_task(deadlines.expire(), name="request deadline")
    try:
        return await deadlines.keep(pending)
    finally:
        timer.cancel()
