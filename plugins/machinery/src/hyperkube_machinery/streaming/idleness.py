"""Streams on which nothing has moved for long, which nobody will miss."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hyperkube_machinery.clock import Clock

__all__ = ["unless_idle"]

_LOOKS = 4
"""So many times nothing new is seen before the patience is over: it lasts up to a quarter longer than is asked for."""


async def unless_idle(work: Awaitable[None], moved: Callable[[], int], seconds: float, clock: Clock) -> bool:
    """Let `work` run to its end, unless `moved` has counted nothing for `seconds` (0: no limit).

    Returns whether it ended by itself; otherwise it was cancelled.
    """
    if not seconds:
        await work
        return True
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_still(moved, seconds, clock))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
            return True
        return False
    finally:
        for one in (task, watch):
            one.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def _still(moved: Callable[[], int], seconds: float, clock: Clock) -> None:
    seen, looks = moved(), 0
    while looks < _LOOKS:
        await clock.sleep(seconds / _LOOKS)
        now = moved()
        looks = looks + 1 if now == seen else 0
        seen = now
