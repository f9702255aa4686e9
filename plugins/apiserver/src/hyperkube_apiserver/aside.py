"""What takes long is done aside, in a thread, while the event loop goes on answering.

Python runs one thread at a time. So there is one such thread at a time for each loop: more of them would get no more
done, and each would have the loop wait for its turn once more.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import AbstractEventLoop, Semaphore
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar
from weakref import WeakKeyDictionary

from hyperkube_machinery.patience import TakesLong, promptly

__all__ = ["aside", "on_loop", "promptly_or_aside"]

T = TypeVar("T")

_SWITCH_SECONDS = 5e-4
"""How long the loop waits at the most for its turn, whenever it has something to do while others are aside."""

_places: WeakKeyDictionary[AbstractEventLoop, Semaphore] = WeakKeyDictionary()


async def aside(work: Callable[[], T]) -> T:
    """The result of `work`, which changes nothing that others see.

    If whoever waits goes away, what has begun goes on, for a thread can't be stopped; nobody takes its place before it
    has ended.
    """
    loop = asyncio.get_running_loop()
    place = _places.get(loop)
    if place is None:
        place = _places[loop] = Semaphore(1)
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_SECONDS))
    await place.acquire()
    working = loop.run_in_executor(None, copy_context().run, work)
    working.add_done_callback(lambda _: place.release())
    return await asyncio.shield(working)


async def promptly_or_aside(judge: Callable[[], T]) -> T:
    """What `judge` says, which evaluates expressions: at once, or, once that is seen to take long, from aside.

    It may be asked twice.
    """
    try:
        with promptly():
            return judge()
    except TakesLong:
        return await aside(judge)


def on_loop(loop: AbstractEventLoop, work: Callable[[], T]) -> T:
    """The result of `work`, done on `loop`; for those who are aside and need what is the loop's alone."""

    async def worked() -> T:
        return work()

    return asyncio.run_coroutine_threadsafe(worked(), loop).result()
