"""Compaction on a schedule: history is kept for five to ten minutes by default, as upstream keeps it in etcd.

Source: k8s.io/apiserver/pkg/storage/etcd3/compact.
"""

from __future__ import annotations

import asyncio
import logging
from typing import NoReturn

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.storage.interface import Compacted, Revision, Store, Unavailable

__all__ = ["keep_compacted"]

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 300.0


async def keep_compacted(store: Store, clock: Clock, interval_seconds: float = INTERVAL_SECONDS) -> NoReturn:
    """Every `interval_seconds`, forget the history that was there one interval ago, until cancelled; 0 for never."""
    if interval_seconds <= 0:
        await asyncio.get_running_loop().create_future()
    old: Revision | None = None
    while True:
        try:
            newest = await store.revision()
            if old is not None and newest > old:
                await store.compact(old)
            old = newest
        except Compacted:  # by somebody else, and further
            old = None
        except Unavailable as exc:
            log.warning("history could not be compacted: %s", exc)
        await clock.sleep(interval_seconds)
