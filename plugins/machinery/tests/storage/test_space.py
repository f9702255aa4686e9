"""A disk that is full or read-only: what is acknowledged stays, what is wrong is said, and it passes by itself."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

import pytest
from _disks import small_disk

from hyperkube_machinery.storage import reserve as module
from hyperkube_machinery.storage.backends import open_store
from hyperkube_machinery.storage.datadir import DataDirectoryError
from hyperkube_machinery.storage.interface import Entry, NoSpace, Unavailable
from hyperkube_machinery.storage.reserve import Reserve, explain
from hyperkube_machinery.storage.sqlite import SQLiteStore
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

VALUE = b"x" * 20_000


class Disk:
    """A small file system of the test's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ballast = path / "ballast"

    def fill(self, *, leave: int = 0) -> None:
        """Take all the room that is left, but for so many bytes."""
        with self.ballast.open("ab") as ballast:
            disk = os.fstatvfs(ballast.fileno())
            os.posix_fallocate(ballast.fileno(), 0, disk.f_bavail * disk.f_frsize - leave)

    def clear(self) -> None:
        self.ballast.unlink(missing_ok=True)

    def remount(self, mode: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{mode}", self.path], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    with small_disk(path, megabytes=24):
        yield Disk(path)


async def write_until_full(store: SQLiteStore, name: str = "key") -> list[Entry]:
    """What was acknowledged before the store said that there is no space."""
    entries: list[Entry] = []
    try:
        while True:
            entries.append(await store.create(f"/registry/{name}-{len(entries):05}", VALUE))
    except NoSpace as exc:
        refusal = str(exc)
    assert refusal == "etcdserver: mvcc: database space exceeded"
    return entries


async def test_a_full_disk_takes_deletions_and_nothing_else(disk: Disk) -> None:
    async with SQLiteStore.open(disk.path / "hk.db", clock=VirtualClock()) as store:
        entries = await write_until_full(store)
        assert len(entries) > 100
        with pytest.raises(NoSpace):
            await store.update(entries[0].key, b"", expected=entries[0].mod_revision)
        with pytest.raises(NoSpace):
            await store.check()
        kept, gone = entries[:10], entries[10:200]
        for entry in gone:
            await store.delete(entry.key, expected=entry.mod_revision)
        assert await store.get(gone[0].key) is None
        assert await store.get(kept[0].key) == kept[0]
    disk.clear()
    async with SQLiteStore.open(disk.path / "hk.db", clock=VirtualClock()) as store:
        assert (await store.range("")).entries == [*kept, *entries[200:]]


async def test_the_log_can_tell_whose_disk_is_full(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the launcher adds to each line, the name of the server, it keeps in the context."""
    owner: ContextVar[str] = ContextVar("owner")
    seen: list[tuple[str, str]] = []
    monkeypatch.setattr(module.log, "error", lambda text, *args: seen.append((owner.get("nobody"), text)))
    owner.set("this server")
    async with SQLiteStore.open(disk.path / "hk.db", clock=VirtualClock()) as store:
        await write_until_full(store)
    assert seen == [("this server", "%s: the disk is full; until there is room, objects can only be deleted")]


async def test_of_what_arrives_together_the_deletions_are_done(disk: Disk) -> None:
    async with SQLiteStore.open(disk.path / "hk.db", clock=VirtualClock()) as store:
        first, second = [await store.create(f"/registry/{name}", b"1") for name in "ab"]
        disk.fill()
        big = [store.create(f"/registry/big-{number}", bytes(1 << 20)) for number in range(40)]
        deletion = store.delete(first.key, expected=first.mod_revision)
        *refused, deleted = await asyncio.gather(*big, deletion, return_exceptions=True)
        assert {type(outcome) for outcome in refused} <= {NoSpace, Entry}
        assert NoSpace in {type(outcome) for outcome in refused}
        assert isinstance(deleted, int)
        assert await store.get(second.key) == second


async def test_it_recovers_by_itself_once_there_is_room(disk: Disk) -> None:
    async with SQLiteStore.open(disk.path / "hk.db", clock=VirtualClock()) as store:
        disk.fill(leave=4 << 20)
        await write_until_full(store)
        disk.clear()
        await store.check()
        await store.create("/registry/after", VALUE)
        disk.fill(leave=1 << 20)
        await write_until_full(store, "more")
        disk.clear()
        await store.create("/registry/again", VALUE)  # without a check in between


async def test_a_store_opens_on_a_full_disk_with_what_it_kept_back(disk: Disk) -> None:
    async with SQLiteStore.open(disk.path / "hk.db", clock=VirtualClock()) as store:
        entry = await store.create("/registry/a", b"1")
    disk.fill()
    async with SQLiteStore.open(disk.path / "hk.db", clock=VirtualClock()) as store:
        assert await store.get("/registry/a") == entry
        await store.delete(entry.key, expected=entry.mod_revision)


async def test_a_read_only_disk_is_named_at_the_start(disk: Disk) -> None:
    directory = disk.path / "data"
    async with open_store("sqlite", directory, VirtualClock()):
        pass
    disk.remount("ro")
    with pytest.raises(DataDirectoryError, match="Read-only"):
        async with open_store("sqlite", directory, VirtualClock()):
            pass


async def test_a_disk_that_becomes_read_only_is_named_and_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open files keep a disk from being mounted read-only, but for its errors: so SQLite is told, and the system."""
    async with SQLiteStore.open(tmp_path / "hk.db", clock=VirtualClock()) as store:
        await store.create("/registry/a", b"1")
        real, connect = os.statvfs, sqlite3.connect
        with monkeypatch.context() as broken:
            broken.setattr(module, "is_read_only", lambda path: True)
            broken.setattr("hyperkube_machinery.storage.sqlite.is_read_only", lambda path: True)
            broken.setattr(sqlite3, "connect", lambda path, **more: connect(f"file:{path}?mode=ro", uri=True, **more))
            store._writer._connection.execute("PRAGMA query_only = ON")
            for attempt in range(2):
                with pytest.raises(Unavailable, match="its filesystem is read-only"):
                    await store.create(f"/registry/b{attempt}", b"1")
            with pytest.raises(Unavailable, match="mount it for writing"):
                await store.check()
        assert os.statvfs is real
        await store.check()
        await store.create("/registry/c", b"1")


def test_room_is_taken_once_and_given_up_once(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve")
    assert reserve.hold()
    size = (tmp_path / "reserve").stat().st_size
    assert size >= 512 * 1024
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= size
    reserve.give_up()
    assert reserve.full
    assert (tmp_path / "reserve").stat().st_size == 0


def test_what_cannot_be_explained_is_told_as_it_is(tmp_path: Path) -> None:
    assert explain(sqlite3.OperationalError("disk I/O error"), tmp_path / "hk.db") == "disk I/O error"
    assert "make room" in explain(OSError(errno.ENOSPC, "No space"), tmp_path / "hk.db")
