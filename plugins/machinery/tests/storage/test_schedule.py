"""History is forgotten in time, and not before."""

from __future__ import annotations

import asyncio

import pytest

from hyperkube_machinery.storage.interface import Compacted, Revision
from hyperkube_machinery.storage.memory import MemoryStore
from hyperkube_machinery.storage.schedule import keep_compacted
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio


async def test_history_is_kept_for_at_least_one_interval_and_no_more_than_two() -> None:
    clock = VirtualClock()
    async with MemoryStore.open(clock=clock) as store:
        task = asyncio.create_task(keep_compacted(store, clock))
        await clock.advance(1)
        first = (await store.create("/a", b"1")).mod_revision
        await store.update("/a", b"2", expected=first)
        await clock.advance(300)
        assert (await store.range("/", revision=first)).entries[0].value == b"1"
        await store.create("/b", b"1")
        await clock.advance(300)
        with pytest.raises(Compacted):
            await store.range("/", revision=Revision(first))
        assert (await store.range("/")).entries[0].value == b"2"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
