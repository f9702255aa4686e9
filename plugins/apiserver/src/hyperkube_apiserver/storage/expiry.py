"""Keys with a time to live: deleted by ordinary writes once their time has come."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NoReturn

from hyperkube_apiserver.storage.interface import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hyperkube_machinery.clock import Clock

__all__ = ["SWEEP_SECONDS", "sweep"]

log = logging.getLogger(__name__)

# A key may outlive its time by this much. etcd looks every half second too.
SWEEP_SECONDS = 0.5


async def sweep(clock: Clock, delete_expired: Callable[[float], Awaitable[None]]) -> NoReturn:
    """Have what expired by now deleted, again and again until cancelled.

    Survives a store that can't write for a while.
    """
    while True:
        await clock.sleep(SWEEP_SECONDS)
        try:
            await delete_expired(clock.now())
        except StoreError as exc:
            log.warning("can't delete keys whose time has come, trying again: %s", exc)
