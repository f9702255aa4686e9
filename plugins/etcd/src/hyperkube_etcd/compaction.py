"""History that is forgotten by itself: by its age, or by how much there is.

Source: go.etcd.io/etcd/server/v3/etcdserver/api/v3compactor.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import NoReturn

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.storage.interface import Compacted, Revision, StoreError
from hyperkube_machinery.storage.schedule import keep_compacted
from hyperkube_machinery.storage.views import EmbeddedStore

__all__ = ["compacting", "seconds_of"]

log = logging.getLogger(__name__)

_EVERY_SECONDS = 300.0
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def seconds_of(retention: str) -> float:
    """Of an age: a number of hours, or a duration."""
    if retention.isdecimal():
        return int(retention) * 3600.0
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", retention))


async def compacting(store: EmbeddedStore, clock: Clock, mode: str, retention: str) -> NoReturn:
    """Keep history as short as it is to be, until cancelled."""
    if mode == "periodic":
        await keep_compacted(store, clock, seconds_of(retention))
    kept = int(retention) if retention.isdecimal() else 0
    if not kept:
        await asyncio.get_running_loop().create_future()
    while True:
        await clock.sleep(_EVERY_SECONDS)
        try:
            revision = Revision(await store.revision() - kept)
            if revision > 0:
                await store.compact(revision)
        except Compacted:
            log.debug("there is nothing to forget")
        except StoreError as exc:
            log.warning("history could not be compacted: %s", exc)
