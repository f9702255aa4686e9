"""Waiting no longer than so long, by a given clock."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hyperkube_machinery.clock import Clock

__all__ = ["within"]

T = TypeVar("T")


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled after so many seconds. Raises TimeoutError then."""
    loop = asyncio.get_running_loop()
    task, timer = loop.create_task(work), loop.create_task(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise TimeoutError(f"it took longer than {seconds:g} seconds")
        return task.result()
    finally:
        timer.cancel()
        if task.cancel():
            await asyncio.wait((task,))
