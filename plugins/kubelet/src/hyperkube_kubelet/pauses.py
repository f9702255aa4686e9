"""Waiting for news, and for what must not be broken off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from hyperkube_machinery.clock import Clock

__all__ = ["rest", "unbroken"]

T = TypeVar("T")


async def rest(clock: Clock, seconds: float, news: asyncio.Event) -> None:
    """Wait so long, or until there is news."""
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    told = asyncio.ensure_future(news.wait())
    try:
        await asyncio.wait({alarm, told}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        alarm.cancel()
        told.cancel()


async def unbroken(work: Awaitable[T]) -> T:
    """What `work` comes to. It is not cancelled with its caller, who waits for its end and is cancelled then.

    For requests whose effect can't be taken back: half of one would leave what nobody knows of.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # taken, so that nobody is told of it
        raise
