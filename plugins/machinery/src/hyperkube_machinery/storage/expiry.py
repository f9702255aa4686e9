"""Keys with a time to live: deleted by ordinary writes once their time has come."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from hyperkube_machinery.storage.interface import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from hyperkube_machinery.clock import Clock

__all__ = ["SWEEP_SECONDS", "sweeping"]

log = logging.getLogger(__name__)

# A key may outlive its time by this much. etcd looks every half second too.
SWEEP_SECONDS = 0.5


@asynccontextmanager
async def sweeping(clock: Clock, delete_expired: Callable[[float], Awaitable[None]]) -> AsyncIterator[None]:
    """For the length of the block, have what expired by now deleted, again and again."""
    sweeper = asyncio.create_task(_sweep(clock, delete_expired), name="store sweeper")
    try:
        yield
    finally:
        sweeper.cancel()
        with suppress(asyncio.CancelledError):
            await sweeper


async def _sweep(clock: Clock, delete_expired: Callable[[float], Awaitable[None]]) -> NoReturn:
    """Survives a store that can't write for a while."""
    while True:
        await clock.sleep(SWEEP_SECONDS)
        try:
            await delete_expired(clock.now())
        except StoreError as exc:
            log.warning("can't delete keys whose time has come, trying again: %s", exc)
