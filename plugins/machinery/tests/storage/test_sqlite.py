"""The store in a file."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import AbstractAsyncContextManager, aclosing, closing
from itertools import count
from pathlib import Path

import pytest
from _embeddedcontract import EmbeddedContract
from _storecontract import Opening, StoreContract, all_changes, changes_upto

from hyperkube_machinery.storage.expiry import SWEEP_SECONDS
from hyperkube_machinery.storage.interface import Compacted, Revision, Store
from hyperkube_machinery.storage.schema import PART_BITS
from hyperkube_machinery.storage.sqlite import SQLiteStore
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


class TestSQLiteStore(StoreContract, EmbeddedContract):
    @pytest.fixture
    def opening(self, tmp_path: Path, clock: VirtualClock) -> Opening:
        names = count()

        def open_empty() -> AbstractAsyncContextManager[Store]:
            return SQLiteStore.open(tmp_path / f"{next(names)}.db", clock=clock)

        return open_empty


async def test_everything_is_as_it_was_after_closing_and_opening(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "hk.db"
    async with SQLiteStore.open(path, clock=clock) as store:
        a = await store.create("/a", b"1")
        b = await store.create("/b", b"1")
        a = await store.update("/a", b"2", expected=a.mod_revision)
        await store.compact(Revision(3))
        deleted = await store.delete("/b", expected=b.mod_revision)
        changes = await all_changes(store, "/", after=Revision(3))
    async with SQLiteStore.open(path, clock=clock) as store:
        assert await store.revision() == deleted
        assert (await store.range("/")).entries == [a]
        assert await all_changes(store, "/", after=Revision(3)) == changes
        with pytest.raises(Compacted):
            await store.range("/", revision=Revision(2))


async def test_a_time_to_live_goes_on_while_the_store_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "hk.db"
    async with SQLiteStore.open(path, clock=VirtualClock(now=1000)) as store:
        await store.create("/short", b"", ttl_seconds=10)
        await store.create("/long", b"", ttl_seconds=100)
    clock = VirtualClock(now=1050)
    async with SQLiteStore.open(path, clock=clock) as store:
        async with aclosing(store.watch("/", after=Revision(3))) as watch:
            await clock.until_sleeping(SWEEP_SECONDS)
            await clock.advance(SWEEP_SECONDS)
            (change,) = await changes_upto(watch, Revision(4))
        assert (change.key, change.entry) == ("/short", None)
        assert await store.get("/long") is not None


async def test_many_keys_expire_at_once(tmp_path: Path, clock: VirtualClock) -> None:
    async with SQLiteStore.open(tmp_path / "hk.db", clock=clock) as store:
        await asyncio.gather(*(store.create(f"/{number}", b"", ttl_seconds=1) for number in range(700)))
        async with aclosing(store.watch("/", after=Revision(701))) as watch:
            await clock.until_sleeping(SWEEP_SECONDS)
            await clock.advance(5)
            await clock.until_sleeping(SWEEP_SECONDS)
            await clock.advance(SWEEP_SECONDS)
            assert len(await changes_upto(watch, Revision(1401))) == 700
        assert (await store.range("/")).entries == []


async def test_compaction_gives_space_back(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "hk.db"
    async with SQLiteStore.open(path, clock=clock) as store:
        entries = await asyncio.gather(*(store.create(f"/{number}", b"x" * 8000) for number in range(2000)))
        await asyncio.gather(*(store.delete(entry.key, expected=entry.mod_revision) for entry in entries))
        await store.compact(await store.revision())
    assert path.stat().st_size < 4_000_000  # of more than 16 MB


async def test_compaction_keeps_no_row_that_nobody_can_read(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "hk.db"
    async with SQLiteStore.open(path, clock=clock) as store:
        a = await store.create("/a", b"")
        b = await store.create("/b", b"")
        a = await store.update("/a", b"", expected=a.mod_revision)
        await store.compact(await store.delete("/b", expected=b.mod_revision))
        c = await store.create("/c", b"")
        await store.compact(c.mod_revision)  # what was deleted last is kept until the next time
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT position, key FROM log").fetchall() == [
            (a.mod_revision << PART_BITS, "/a"),
            (c.mod_revision << PART_BITS, "/c"),
        ]


async def test_what_a_killed_process_left_in_the_log_is_synced_before_it_is_read(
    tmp_path: Path, clock: VirtualClock
) -> None:
    """It may have died between writing a commit and syncing it, so that what is read could still be lost."""
    left = tmp_path / "left.db"
    async with SQLiteStore.open(tmp_path / "hk.db", clock=clock) as store:
        entry = await store.create("/a", b"")
        for suffix in ("", "-wal"):
            shutil.copy(tmp_path / f"hk.db{suffix}", f"{left}{suffix}")
    assert os.stat(f"{left}-wal").st_size > 0
    async with SQLiteStore.open(left, clock=clock) as store:
        assert os.stat(f"{left}-wal").st_size == 0  # moved into the database, both synced
        assert await store.get("/a") == entry


async def test_the_log_stays_small_under_writes(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "hk.db"
    async with SQLiteStore.open(path, clock=clock) as store:
        entries = await asyncio.gather(*(store.create(f"/{number}", b"x" * 30_000) for number in range(64)))
        for _ in range(30):
            entries = await asyncio.gather(
                *(store.update(entry.key, entry.value, expected=entry.mod_revision) for entry in entries)
            )
        assert (tmp_path / "hk.db-wal").stat().st_size < 40_000_000  # of 58 MB of values
        assert len((await store.range("/")).entries) == 64


async def test_a_compaction_that_a_crash_cut_short_is_finished_later(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "hk.db"
    async with SQLiteStore.open(path, clock=clock) as store:
        entry = await store.create("/a", b"")
        for _ in range(10):
            entry = await store.update("/a", b"", expected=entry.mod_revision)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET compacted = 10")
    async with SQLiteStore.open(path, clock=clock) as store:
        with pytest.raises(Compacted):
            await store.range("/", revision=Revision(9))
        await store.compact(Revision(11))
        assert (await store.range("/")).entries == [entry]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT position >> 24 FROM log").fetchall() == [(11,), (12,)]


async def test_another_program_that_holds_the_file_does_not_stop_the_store_for_good(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "hk.db"
    async with SQLiteStore.open(path, clock=clock) as store:
        await store.create("/a", b"1")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            write = asyncio.create_task(store.create("/b", b"1"))
            assert await store.get("/a") is not None
            assert (await store.range("/")).remaining == 0
            other.execute("ROLLBACK")
            assert (await write).mod_revision == 3


async def test_reading_many_entries_leaves_the_loop_free(tmp_path: Path, clock: VirtualClock) -> None:
    async with SQLiteStore.open(tmp_path / "hk.db", clock=clock) as store:
        await asyncio.gather(*(store.create(f"/{number}", b"x" * 100) for number in range(5000)))
        reading = asyncio.create_task(store.range("/"))
        turns = 0
        while not reading.done():
            await asyncio.sleep(0)
            turns += 1
        assert len(reading.result().entries) == 5000
        assert turns > 20
