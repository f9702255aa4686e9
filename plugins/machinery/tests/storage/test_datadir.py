"""The data directory is one server's alone, and its file one that this release knows."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, aclosing, closing
from pathlib import Path

import pytest
from _storecontract import all_changes, changes_upto

from hyperkube_machinery.storage import open_store
from hyperkube_machinery.storage.backends import FILE_NAME
from hyperkube_machinery.storage.datadir import (
    DataDirectoryError,
    DirectoryInUse,
    UnsafeDirectory,
    claim,
    filesystem,
)
from hyperkube_machinery.storage.expiry import SWEEP_SECONDS
from hyperkube_machinery.storage.interface import Change, Compacted, Entry, Revision
from hyperkube_machinery.storage.schema import CURRENT, ForeignFile, Format, NewerFormat, open_file
from hyperkube_machinery.storage.sqlite import SQLiteStore
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

HOLDER = """
import sys
from pathlib import Path
from hyperkube_machinery.storage.datadir import claim
with claim(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


async def test_a_fresh_directory_and_what_is_in_it_are_the_owners_alone(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "data"
    previous = os.umask(0)
    try:
        async with open_store("sqlite", directory, VirtualClock()) as store:
            await store.create("/a", b"1")
            assert mode(directory) == mode(directory.parent) == 0o700
            modes = {path.name: mode(path) for path in directory.iterdir()}
    finally:
        os.umask(previous)
    names = [FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", f"{FILE_NAME}.reserve", "lock"]
    assert modes == dict.fromkeys(names, 0o600)


@pytest.mark.parametrize("backend", ["sqlite", "memory"])
async def test_a_directory_is_let_go_when_the_store_closes(tmp_path: Path, backend: str) -> None:
    for _ in range(2):
        async with open_store(backend, tmp_path / "data", VirtualClock()):  # type: ignore[arg-type]
            with pytest.raises(DirectoryInUse) as raised, ExitStack() as stack:
                stack.enter_context(claim(tmp_path / "data"))
            assert raised.value.pid == os.getpid()


def test_a_second_server_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    command = [sys.executable, "-c", HOLDER, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DirectoryInUse) as raised, claim(directory):
            pass
        assert raised.value.pid == holder.pid
        assert str(raised.value) == (
            f"the data directory {directory} is in use by the process {holder.pid}; stop it, or use another directory"
        )
        holder.kill()
    with claim(directory) as path:  # the lock ends with its holder, however that ended
        assert path == directory


def test_an_empty_directory_that_is_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with claim(tmp_path):
        assert mode(tmp_path) == 0o700


def test_a_data_directory_that_was_opened_to_others_is_closed_to_them(tmp_path: Path) -> None:
    with claim(tmp_path):
        (tmp_path / FILE_NAME).touch()
    tmp_path.chmod(0o750)
    with claim(tmp_path):
        assert mode(tmp_path) == 0o700


def test_a_shared_directory_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "somebody's").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(UnsafeDirectory, match=r"open to other users \(mode 0755\)"), claim(tmp_path):
        pass
    assert mode(tmp_path) == 0o755
    assert os.listdir(tmp_path) == ["somebody's"]


def test_an_empty_directory_for_everybody_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(UnsafeDirectory), claim(tmp_path):
        pass


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(UnsafeDirectory, match=f"belongs to the user {owner}"), claim(tmp_path):
        pass


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_what_can_not_be_a_directory_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirectoryError, match=str(tmp_path / name)), claim(tmp_path / name):
        pass


def test_a_link_to_a_directory_is_followed_and_a_link_as_lock_is_not(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    with claim(tmp_path / "link") as path:
        assert path == tmp_path / "real"
    (tmp_path / "real" / "lock").unlink()
    (tmp_path / "real" / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataDirectoryError), claim(tmp_path / "real"):
        pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of its mounts")
def test_the_filesystem_of_a_directory_is_known(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:999 / /other rw - tmpfs tmpfs rw\n"
        f"23 1 {os.major(device)}:{os.minor(device)} / /data\\040dir rw,relatime shared:1 - nfs4 server:/export rw\n"
    )
    assert filesystem(tmp_path, mounts) == "nfs4"
    assert filesystem(tmp_path, tmp_path / "missing") == ""
    assert filesystem(tmp_path) != ""


def test_a_network_filesystem_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hyperkube_machinery.storage.datadir.filesystem", lambda path: "nfs4")
    with caplog.at_level(logging.WARNING), claim(tmp_path):
        pass
    assert f"{tmp_path} is on a network filesystem (nfs4)" in caplog.text


# The file's format

FIRST_TABLES = """
CREATE TABLE log (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, previous INTEGER NOT NULL, created INTEGER NOT NULL,
    version INTEGER NOT NULL, value BLOB);
CREATE TABLE live (key TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE expiring (at REAL NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY (at, revision)) WITHOUT ROWID;
CREATE TABLE meta (compacted INTEGER NOT NULL, swept INTEGER NOT NULL);
INSERT INTO meta VALUES (2, 2);
INSERT INTO log VALUES (2, '/a', 0, 2, 1, x'31'), (3, '/a', 2, 2, 2, x'32'), (4, '/b', 0, 4, 1, x'33'),
    (5, '/b', 4, 0, 0, NULL), (6, '/c', 0, 6, 1, x'34');
INSERT INTO live VALUES ('/a', 3), ('/c', 6);
INSERT INTO expiring VALUES (1790000060, 6);
"""


async def test_a_store_of_the_first_format_is_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "hk.db"
    open_file(path, Format(1, FIRST_TABLES)).close()
    clock = VirtualClock()
    async with SQLiteStore.open(path, clock=clock) as store:
        a, c = Entry("/a", b"2", Revision(2), Revision(3), 2), Entry("/c", b"4", Revision(6), Revision(6), 1)
        assert (await store.range("/")).entries == [a, c]
        first = Entry("/a", b"1", Revision(2), Revision(2), 1)
        assert (await store.range("/", revision=Revision(2))).entries == [first]
        b = Entry("/b", b"3", Revision(4), Revision(4), 1)
        told = await all_changes(store, "/", after=Revision(2))
        assert told == [
            Change("/a", Revision(3), a, first),
            Change("/b", Revision(4), b, None),
            Change("/b", Revision(5), None, b),
            Change("/c", Revision(6), c, None),
        ]
        with pytest.raises(Compacted):
            await store.range("/", revision=Revision(1))
        async with aclosing(store.watch("/", after=Revision(6))) as watch:
            for seconds in (61, SWEEP_SECONDS):
                await clock.until_sleeping(SWEEP_SECONDS)
                await clock.advance(seconds)
            assert (await changes_upto(watch, Revision(7)))[0] == Change("/c", Revision(7), None, c)


def add_a_column(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE meta ADD COLUMN added INTEGER NOT NULL DEFAULT 7")


def fail(connection: sqlite3.Connection) -> None:
    add_a_column(connection)
    raise ArithmeticError


NEXT = Format(CURRENT.version + 1, CURRENT.tables, {CURRENT.version: add_a_column})


def columns(path: Path) -> tuple[int, int]:
    """The format, and how many columns the table that a migration changes has."""
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return version, len(connection.execute("SELECT * FROM meta").fetchone())


def test_an_older_format_is_migrated_after_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "hk.db"
    open_file(path).close()
    open_file(path, NEXT).close()
    assert columns(path) == (NEXT.version, 3)
    backup = tmp_path / f"hk.db.format-{CURRENT.version}"
    assert columns(backup) == (CURRENT.version, 2)
    assert mode(backup) == 0o600
    assert not list(tmp_path.glob("*unfinished*"))


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hk.db"
    open_file(path).close()
    with pytest.raises(ArithmeticError):
        open_file(path, Format(NEXT.version, CURRENT.tables, {CURRENT.version: fail}))
    assert columns(path) == (CURRENT.version, 2)
    open_file(path, NEXT).close()
    assert columns(path) == (NEXT.version, 3)


async def test_a_newer_format_is_refused_and_the_way_back_named(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    async with open_store("sqlite", directory, VirtualClock()) as store:
        await store.create("/a", b"1")
    path = directory / FILE_NAME
    open_file(path, NEXT).close()
    before = path.read_bytes()
    with pytest.raises(NewerFormat, match=r"has format 3, .* up to 2: .* newer release .* hk\.db\.format-2"):
        async with open_store("sqlite", directory, VirtualClock()):
            pass
    assert path.read_bytes() == before
    (directory / f"{FILE_NAME}.format-{CURRENT.version}").replace(path)  # what the message says to do
    async with open_store("sqlite", directory, VirtualClock()) as store:
        assert await store.get("/a") is not None


@pytest.mark.parametrize("content", [b"SQLite format 3\0 or not", b"anything else" * 100])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hk.db"
    path.write_bytes(content)
    with pytest.raises(ForeignFile, match=str(path)):
        open_file(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hk.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE log (line TEXT)")
    with pytest.raises(ForeignFile, match="another program"):
        open_file(path)
