"""Copies of a store are whole, and put back they show clients no past."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import aclosing, closing
from pathlib import Path

import pytest
from _storecontract import all_changes, changes_upto

from hyperkube_machinery.storage import backup as module
from hyperkube_machinery.storage.backends import FILE_NAME
from hyperkube_machinery.storage.backup import BUMP, BackupError, back_up, restore
from hyperkube_machinery.storage.datadir import DirectoryInUse, claim
from hyperkube_machinery.storage.expiry import SWEEP_SECONDS
from hyperkube_machinery.storage.interface import Compacted, Entry, Revision
from hyperkube_machinery.storage.sqlite import SQLiteStore
from hyperkube_machinery.testing.clock import VirtualClock

from .load import is_whole

pytestmark = pytest.mark.anyio

LOAD = Path(__file__).with_name("load.py")
STEPS = """
import sys
from pathlib import Path
from hyperkube_machinery.storage import backup, backends

steps = int(sys.argv[1])

def trace(frame, event, argument):
    global steps
    if frame.f_code.co_filename == backup.__file__ and event == "line":
        steps -= 1
        if steps == 0:
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
    return trace

sys.settrace(trace)
{call}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "server").mkdir(mode=0o700)
    return tmp_path / "server" / FILE_NAME


async def filled(path: Path) -> list[Entry]:
    """What lives in a store with some history."""
    async with SQLiteStore.open(path, clock=VirtualClock()) as store:
        first = await store.create("/registry/a", b"1")
        await store.update("/registry/a", b"2", expected=first.mod_revision)
        gone = await store.create("/registry/b", b"1")
        await store.delete("/registry/b", expected=gone.mod_revision)
        await store.create("/registry/c", b"1", ttl_seconds=100)
        return list((await store.range("")).entries)


async def living(path: Path) -> list[Entry]:
    async with SQLiteStore.open(path, clock=VirtualClock()) as store:
        return list((await store.range("")).entries)


async def test_a_copy_of_a_stopped_store_is_the_store_and_its_owners_alone(path: Path, tmp_path: Path) -> None:
    entries = await filled(path)
    copied = back_up(path, tmp_path / "copy")
    assert (copied.objects, copied.revision) == (2, 6)
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
    assert copied.size == (tmp_path / "copy").stat().st_size
    assert await living(tmp_path / "copy") == entries


async def test_a_copy_of_a_store_that_is_written_to_is_of_one_revision(path: Path, tmp_path: Path) -> None:
    """Each write updates both of two keys in turn; a copy in which they are further apart mixes two moments."""
    async with SQLiteStore.open(path, clock=VirtualClock()) as store:
        pair = [await store.create(f"/registry/{name}", b"0") for name in "ab"]
        stop = asyncio.Event()

        async def write() -> None:
            count = 0
            while not stop.is_set():
                count += 1
                for index, entry in enumerate(pair):
                    value = str(count).encode() * 500
                    pair[index] = await store.update(entry.key, value, expected=entry.mod_revision)

        writing = asyncio.create_task(write())
        copies = [await asyncio.to_thread(back_up, path, tmp_path / str(number)) for number in range(5)]
        stop.set()
        await writing
        told = await all_changes(store, "", after=Revision(1))
    for copied in copies:
        state: dict[str, Entry | None] = {}
        for change in told:
            if change.revision <= copied.revision:
                state[change.key] = change.entry
        assert await living(copied.path) == [entry for _, entry in sorted(state.items())]


async def test_a_copy_of_a_killed_servers_store_has_what_is_in_its_log_alone(path: Path, tmp_path: Path) -> None:
    lines = _load_and_kill(path)
    newest = max(int(line.split()[1]) for line in lines if line.startswith("acknowledged"))
    assert path.with_name(f"{FILE_NAME}-wal").stat().st_size
    copied = back_up(path, tmp_path / "copy")
    assert copied.revision >= newest
    assert all(is_whole(entry) for entry in await living(tmp_path / "copy"))


async def test_nothing_is_overwritten(path: Path, tmp_path: Path) -> None:
    await filled(path)
    (tmp_path / "copy").write_text("precious")
    with pytest.raises(BackupError, match="is there already"):
        back_up(path, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "precious"


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="--storage-backend=memory"):
        back_up(tmp_path / FILE_NAME, tmp_path / "copy")
    assert not list(tmp_path.iterdir())


async def test_a_copy_that_fails_leaves_nothing(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(path)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_sync", full)
    with pytest.raises(BackupError, match="No space left on device"):
        back_up(path, tmp_path / "copy")
    assert os.listdir(tmp_path) == [path.parent.name]


async def test_a_restored_store_holds_what_was_backed_up(path: Path, tmp_path: Path) -> None:
    entries = await filled(path)
    back_up(path, tmp_path / "copy")
    before = (tmp_path / "copy").read_bytes()
    restored = restore(tmp_path / "copy", tmp_path / "new")
    assert restored.revision == 6 + BUMP
    assert sorted(os.listdir(tmp_path / "new")) == [FILE_NAME, "lock"]
    assert await living(tmp_path / "new" / FILE_NAME) == entries
    assert (tmp_path / "copy").read_bytes() == before


async def test_after_a_restore_no_revision_of_before_is_served(path: Path, tmp_path: Path) -> None:
    await filled(path)
    back_up(path, tmp_path / "copy")
    async with SQLiteStore.open(path, clock=VirtualClock()) as store:
        seen = (await store.create("/registry/later", b"")).mod_revision
    restore(tmp_path / "copy", path.parent, replace=True)
    async with SQLiteStore.open(path, clock=VirtualClock()) as store:
        with pytest.raises(Compacted):
            await anext(store.watch("", after=seen))
        with pytest.raises(Compacted):
            await store.range("", revision=seen)
        assert (await store.create("/registry/later", b"")).mod_revision == seen + BUMP + 1


async def test_a_restored_entry_expires_as_it_would_have(path: Path, tmp_path: Path) -> None:
    await filled(path)
    back_up(path, tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "new")
    clock = VirtualClock(now=VirtualClock().now() + 101)
    async with SQLiteStore.open(tmp_path / "new" / FILE_NAME, clock=clock) as store:
        after = await store.revision()
        async with aclosing(store.watch("", after=after)) as watch:
            await clock.until_sleeping(SWEEP_SECONDS)
            await clock.advance(SWEEP_SECONDS)
            (change,) = await changes_upto(watch, Revision(after + 1))
    assert (change.key, change.entry) == ("/registry/c", None)


async def test_a_store_that_is_there_is_refused_or_kept(path: Path, tmp_path: Path) -> None:
    entries = await filled(path)
    back_up(path, tmp_path / "copy")
    with pytest.raises(BackupError, match=r"--replace, which keeps it as hk\.db\.replaced"):
        restore(tmp_path / "copy", path.parent)
    for name in ("replaced", "replaced-2"):
        restore(tmp_path / "copy", path.parent, replace=True)
        kept = path.with_name(f"{FILE_NAME}.{name}")
        assert await living(Path(shutil.copy(kept, tmp_path / name))) == entries


async def test_a_directory_that_a_server_holds_is_refused(path: Path, tmp_path: Path) -> None:
    await filled(path)
    back_up(path, tmp_path / "copy")
    with claim(path.parent), pytest.raises(DirectoryInUse):
        restore(tmp_path / "copy", path.parent, replace=True)


async def test_what_is_no_whole_backup_is_refused(path: Path, tmp_path: Path) -> None:
    await filled(path)
    back_up(path, tmp_path / "good")

    def spoil(name: str, *statements: str) -> Path:
        spoiled = Path(shutil.copy(tmp_path / "good", tmp_path / name))
        with closing(sqlite3.connect(spoiled, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)
        return spoiled

    torn = tmp_path / "torn"
    torn.write_bytes((tmp_path / "good").read_bytes()[:20_000])
    text = tmp_path / "text"
    text.write_text("no database " * 1000)
    (tmp_path / "empty").touch()
    for source, message in (
        (torn, "damaged|can't be read"),
        (text, "no backup"),
        (tmp_path / "empty", "no backup"),
        (tmp_path / "missing", "No such file"),
        (spoil("foreign", "PRAGMA application_id = 1"), "no backup"),
        (spoil("newer", "PRAGMA user_version = 99"), "newer release"),
        (spoil("lacking", "DELETE FROM log WHERE key = '/registry/a'"), "lacks 1 objects"),
    ):
        with pytest.raises(BackupError, match=message):
            restore(source, tmp_path / "new")
        assert not (tmp_path / "new" / FILE_NAME).exists()


async def test_a_backup_that_is_killed_leaves_no_file_or_a_whole_one(path: Path, tmp_path: Path) -> None:
    entries = await filled(path)
    target = tmp_path / "copy"
    call = f"backup.back_up(Path({str(path)!r}), Path({str(target)!r}))"
    for steps in _some_steps():
        if _killed_after(steps, call) and target.exists():
            assert await living(Path(shutil.copy(target, tmp_path / "whole"))) == entries
        target.unlink(missing_ok=True)
        assert await living(path) == entries
    back_up(path, target)
    assert [name for name in os.listdir(tmp_path) if name.startswith("copy")] == ["copy"]


async def test_a_restore_that_is_killed_leaves_the_old_store_or_the_new_one(path: Path, tmp_path: Path) -> None:
    old = await filled(path)
    other = tmp_path / "other.db"
    async with SQLiteStore.open(other, clock=VirtualClock()) as store:
        new = [await store.create("/registry/new", b"1")]
    back_up(other, tmp_path / "copy")
    shutil.copy(path, tmp_path / "old")
    call = f"backup.restore(Path({str(tmp_path / 'copy')!r}), Path({str(path.parent)!r}), replace=True)"
    outcomes = []
    for steps in _some_steps():
        shutil.rmtree(path.parent)
        os.mkdir(path.parent, mode=0o700)
        shutil.copy(tmp_path / "old", path)
        _killed_after(steps, call)
        found = await living(path)
        assert found in (old, new)
        outcomes.append(found == new)
    assert True in outcomes
    assert False in outcomes


def _load_and_kill(path: Path) -> list[str]:
    """What a program said that wrote to the store until it was killed."""
    command = [sys.executable, str(LOAD), str(path), "1", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(200)]
        process.kill()
    return lines


def _some_steps() -> list[int]:
    """Moments to kill at, in lines of the module; some of every run, more with each."""
    return [*random.SystemRandom().sample(range(1, 110), 10), 100_000]


def _killed_after(steps: int, call: str) -> bool:
    script = STEPS.replace("{call}", call)
    finished = subprocess.run([sys.executable, "-c", script, str(steps)], capture_output=True, text=True, check=False)
    assert finished.returncode in (0, -signal.SIGKILL), finished.stderr
    return finished.returncode != 0
