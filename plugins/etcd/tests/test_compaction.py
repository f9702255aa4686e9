"""History that is forgotten by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from hyperkube_etcd.compaction import compacting
from hyperkube_machinery.storage.interface import Revision, Unavailable
from hyperkube_machinery.storage.memory import MemoryStore
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

HOUR = 3600.0


@asynccontextmanager
async def kept(clock: VirtualClock, mode: str, retention: str) -> AsyncIterator[MemoryStore]:
    """A store whose history is kept short. Its own clock, of leases, stands still: days would wake it often."""
    async with MemoryStore.open(clock=VirtualClock()) as store:
        task = asyncio.create_task(compacting(store, clock, mode, retention))
        try:
            yield store
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def write(store: MemoryStore, count: int) -> Revision:
    """The newest revision after so many writes."""
    entry = await store.get("/a") or await store.create("/a", b"")
    for _ in range(count):
        entry = await store.update("/a", b"", expected=entry.mod_revision)
    return entry.mod_revision


async def oldest(store: MemoryStore) -> int:
    return int(await store.read(lambda view: view.oldest))


async def pass_time(clock: VirtualClock, store: MemoryStore, seconds: float, *, writing_every: float) -> None:
    for _ in range(round(seconds / writing_every)):
        await write(store, 1)
        await clock.advance(writing_every)


@pytest.mark.parametrize(("retention", "seconds"), [("5m", 300.0), ("1", HOUR), ("60m", HOUR)])
async def test_by_age_what_was_there_that_long_ago_is_forgotten_once_in_that_time(
    retention: str, seconds: float
) -> None:
    clock = VirtualClock()
    async with kept(clock, "periodic", retention) as store:
        before = await write(store, 9)
        await clock.advance(seconds * 0.05)
        await write(store, 50)
        await clock.advance(seconds * 0.9)
        assert await oldest(store) == 0  # nothing is old enough
        await clock.advance(seconds * 0.1)
        first = await oldest(store)
        assert 0 < first <= before
        newest = await write(store, 9)
        await clock.advance(seconds * 0.8)
        assert await oldest(store) == first  # once in that time
        await clock.advance(seconds * 1.3)
        assert first < await oldest(store) <= newest


async def test_of_a_long_age_an_hours_history_is_forgotten_every_hour() -> None:
    clock = VirtualClock()
    async with kept(clock, "periodic", "24h") as store:
        await pass_time(clock, store, 23 * HOUR, writing_every=HOUR / 4)
        assert await oldest(store) == 0
        await pass_time(clock, store, 2 * HOUR, writing_every=HOUR / 4)
        seen = set()
        for _ in range(10):
            await pass_time(clock, store, HOUR, writing_every=HOUR / 4)
            seen.add(await oldest(store))
            # Between 24 and 25 hours are there, of four writes each.
            assert 24 * 4 - 2 <= await store.revision() - await oldest(store) <= 25 * 4 + 2
        assert len(seen) == 10


async def test_by_amount_so_many_revisions_are_kept() -> None:
    clock = VirtualClock()
    async with kept(clock, "revision", "10") as store:
        newest = await write(store, 50)
        assert await oldest(store) == 0
        await clock.advance(300)
        assert await oldest(store) == newest - 10
        await clock.advance(300)  # with nothing new
        newest = await write(store, 5)
        await clock.advance(300)
        assert await oldest(store) == newest - 10


@pytest.mark.parametrize(("mode", "retention"), [("periodic", "0"), ("periodic", "0s"), ("revision", "0")])
async def test_none_is_for_ever(mode: str, retention: str) -> None:
    clock = VirtualClock()
    async with kept(clock, mode, retention) as store:
        await write(store, 20)
        await clock.advance(100 * HOUR)
        assert await oldest(store) == 0


async def test_what_fails_is_tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    async with kept(clock, "periodic", "5m") as store:
        compact, failures = store.compact, 2

        async def failing(revision: Revision) -> None:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise Unavailable("the disk is slow")
            await compact(revision)

        monkeypatch.setattr(store, "compact", failing)
        await write(store, 20)
        await clock.advance(300)
        assert (failures, await oldest(store)) == (1, 0)
        await clock.advance(60)
        assert (failures, await oldest(store) > 0) == (-1, True)
