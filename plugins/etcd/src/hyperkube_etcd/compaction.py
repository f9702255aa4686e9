"""History that is forgotten by itself: by its age, or by how much there is.

Source: go.etcd.io/etcd/server/v3/etcdserver/api/v3compactor.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from typing import NoReturn

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.storage.interface import Compacted, Revision, StoreError
from hyperkube_machinery.storage.views import EmbeddedStore

__all__ = ["compacting", "seconds_of"]

log = logging.getLogger(__name__)

_EVERY_SECONDS = 300.0  # by how much there is
_LONGEST_SECONDS = 3600.0  # between two times by age, however much is kept
_LOOKS = 10  # between two times
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def seconds_of(retention: str) -> float:
    """Of an age: a number of hours, or a duration."""
    if retention.isdecimal():
        return int(retention) * 3600.0
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", retention))


async def compacting(store: EmbeddedStore, clock: Clock, mode: str, retention: str) -> NoReturn:
    """Keep history as short as it is to be, until cancelled."""
    if mode == "periodic" and (seconds := seconds_of(retention)) > 0:
        await _by_age(store, clock, seconds)
    kept = int(retention) if retention.isdecimal() else 0
    if mode == "revision" and kept:
        await _by_amount(store, clock, kept)
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody resolves that future")


async def _by_age(store: EmbeddedStore, clock: Clock, seconds: float) -> NoReturn:
    """Forget what is older than `seconds`: after so long for the first time, then at least every hour."""
    every = min(seconds, _LONGEST_SECONDS)
    pause = every / _LOOKS
    then: deque[Revision] = deque(maxlen=round(seconds / pause))  # what was newest at each look
    due = clock.monotonic() + seconds
    done = Revision(0)
    while True:
        then.append(await store.revision())
        await clock.sleep(pause)
        if clock.monotonic() < due or then[0] == done:
            continue
        if await _compacted(store, then[0]):
            done, due = then[0], clock.monotonic() + every


async def _by_amount(store: EmbeddedStore, clock: Clock, kept: int) -> NoReturn:
    """Forget all but the last `kept` revisions."""
    while True:
        await clock.sleep(_EVERY_SECONDS)
        revision = Revision(await store.revision() - kept)
        if revision > 0:
            await _compacted(store, revision)


async def _compacted(store: EmbeddedStore, revision: Revision) -> bool:
    """Whether history before `revision` is gone now."""
    try:
        await store.compact(revision)
    except Compacted:
        log.debug("somebody has forgotten what came before revision %d already", revision)
    except StoreError as exc:
        log.warning("history could not be compacted, trying again: %s", exc)
        return False
    return True
