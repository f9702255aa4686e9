"""Bring something up to date again whenever what it is made of has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.storage.interface import Unavailable

__all__ = ["keep_up"]

_RETRY_SECONDS = 1.0


async def keep_up(
    changed: asyncio.Event, settle: Callable[[], Awaitable[None]], clock: Clock, complain: Callable[[Exception], None]
) -> NoReturn:
    """Call `settle` now, and once for all that `changed` told of since, until cancelled.

    It is called again a little later where the API or the store refused what it wrote; `complain` is told of that.
    """
    changed.set()
    while True:
        await changed.wait()
        changed.clear()
        try:
            await settle()
        except (APIError, Unavailable) as exc:
            complain(exc)
            await clock.sleep(_RETRY_SECONDS)
            changed.set()
