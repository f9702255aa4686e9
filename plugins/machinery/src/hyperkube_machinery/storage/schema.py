"""The SQLite file: its tables, its format version, and how a connection is opened.

    log        every write since compaction and, of what is older, the entries that live: one row a write
    live       the key of every living entry, and the position of its row in the log
    expiring   when an entry's time to live ends; a row whose entry was written since means nothing
    leases     leases that were granted, and for how long each lasts from when it is renewed
    meta       one row: how far history was compacted, and how far its rows are gone

A row's position is its revision and, behind that, its place among the writes of one transaction, which share it.

`log` grows at its end, `live` holds no values: so a write dirties one page and a half besides its value, LIST reads
values in the order they were written, and keys are counted without touching values. An old revision is read from
`live` by undoing what `log` tells of later writes, so no index on (key, revision) has to be kept.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hyperkube_machinery.storage.datadir import DataDirectoryError, sync_directory

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "CURRENT",
    "PART_BITS",
    "ForeignFile",
    "Format",
    "NewerFormat",
    "connect_reader",
    "connect_writer",
    "inspect",
    "move_log",
    "open_file",
]

log = logging.getLogger(__name__)

# UPSERT came with 3.24.
_SQLITE_NEEDED = (3, 24, 0)

_APPLICATION_ID = 0x686B7374  # "hkst", in the file's header: tells our files from other SQLite databases

_TABLES = """
CREATE TABLE log (
    position INTEGER PRIMARY KEY,
    key      TEXT    NOT NULL,
    previous INTEGER NOT NULL,  -- position of the entry that this replaced, 0 if nothing lived there
    created  INTEGER NOT NULL,  -- revision, 0 for a deletion
    version  INTEGER NOT NULL,  -- 0 for a deletion
    lease    INTEGER NOT NULL,  -- 0 for none
    value    BLOB               -- NULL for a deletion
);
CREATE TABLE live (
    key      TEXT    PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE expiring (
    at       REAL    NOT NULL,  -- seconds since the epoch
    position INTEGER NOT NULL,
    PRIMARY KEY (at, position)
) WITHOUT ROWID;
CREATE TABLE leases (
    id       INTEGER PRIMARY KEY,
    ttl      INTEGER NOT NULL   -- seconds
);
CREATE TABLE meta (
    compacted INTEGER NOT NULL,  -- history begins after this revision
    swept     INTEGER NOT NULL   -- what compaction up to this revision frees has been freed
);
INSERT INTO meta VALUES (0, 0);
"""

PART_BITS = 24
"""Of a position: so many writes a transaction may have, and a million million revisions are left."""

_PARTS = 1 << PART_BITS

# The first format had one row a revision, and no leases.
_TO_POSITIONS = f"""
ALTER TABLE log RENAME TO old_log;
ALTER TABLE live RENAME TO old_live;
ALTER TABLE expiring RENAME TO old_expiring;
{_TABLES.partition("CREATE TABLE meta")[0]}
INSERT INTO log SELECT revision * {_PARTS}, key, previous * {_PARTS}, created, version, 0, value FROM old_log
    ORDER BY revision;
INSERT INTO live SELECT key, revision * {_PARTS} FROM old_live ORDER BY key;
INSERT INTO expiring SELECT at, revision * {_PARTS} FROM old_expiring ORDER BY at, revision;
DROP TABLE old_log;
DROP TABLE old_live;
DROP TABLE old_expiring;
"""

Migration = Callable[[sqlite3.Connection], None]


@dataclass(frozen=True)
class Format:
    """A version of the tables; `migrations` lead to it: each from the version it is listed under to the next."""

    version: int
    tables: str
    migrations: Mapping[int, Migration] = field(default_factory=dict)


def _number_positions(connection: sqlite3.Connection) -> None:
    for statement in _TO_POSITIONS.split(";"):  # a script would end the transaction
        connection.execute(statement)


CURRENT = Format(2, _TABLES, {1: _number_positions})


class ForeignFile(DataDirectoryError):
    """The file is no store of ours."""


class NewerFormat(DataDirectoryError):
    """The file was written by a newer release."""


def open_file(path: Path, current: Format = CURRENT) -> sqlite3.Connection:
    """The writer's connection to the store at `path`, which is made, or migrated after a backup, if need be.

    Everything in the file is durable when it returns. Raises DataDirectoryError, sqlite3.Error, OSError.
    """
    if sqlite3.sqlite_version_info < _SQLITE_NEEDED:
        needed = ".".join(map(str, _SQLITE_NEEDED))
        raise DataDirectoryError(
            f"Python's sqlite3 is linked to SQLite {sqlite3.sqlite_version}; the store needs {needed} or later"
        )
    # SQLite gives the files that it puts beside this one the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    os.chmod(path, 0o600)
    version = _inspect(path, current)
    connection = connect_writer(path)
    try:
        if version is None:
            _create(connection, current)
        elif version < current.version:
            _migrate(connection, path, version, current)
        # A process that was killed may leave a commit written but not yet synced: synced now, before it is read.
        move_log(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def move_log(connection: sqlite3.Connection) -> None:
    """Move the log into the database, both synced, and empty it. Raises sqlite3.Error."""
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("another program is using the file")


def connect_writer(path: Path) -> sqlite3.Connection:
    """A connection for the only one that writes to the store at `path`."""
    return _connect(
        path,
        "synchronous = FULL",  # in WAL mode: the log is synced by each commit
        "secure_delete = OFF",  # on in Debian's build
        "cache_size = -8192",  # KiB; a batch is seldom more
        "wal_autocheckpoint = 0",  # the writer chooses the moment
        "journal_size_limit = 67108864",  # bytes: what a burst leaves of the log
    )


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that can't write to the store at `path`."""
    return _connect(path, "query_only = ON")


def _connect(path: Path, *pragmas: str) -> sqlite3.Connection:
    # Each is used by one thread at a time, though not always by the one that made it.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5, cached_statements=256)
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _inspect(path: Path, current: Format) -> int | None:
    with closing(connect_reader(path)) as connection:
        return inspect(connection, path, current)


def inspect(connection: sqlite3.Connection, path: Path, current: Format = CURRENT) -> int | None:
    """The format of the file at `path`, None if it is empty; changes nothing. Raises ForeignFile or NewerFormat."""
    try:
        application_id = _pragma(connection, "application_id")
        version = _pragma(connection, "user_version")
        empty = not _pragma(connection, "schema_version")
    except sqlite3.OperationalError:
        raise  # what can't be read now
    except sqlite3.DatabaseError as exc:
        raise ForeignFile(f"{path} can't be read as a store ({exc}); move it away, or use another directory") from exc
    if empty:
        return None
    if application_id != _APPLICATION_ID:
        raise ForeignFile(f"{path} is a database of another program; move it away, or use another directory")
    if version > current.version:
        raise NewerFormat(
            f"{path} has format {version}, but this release reads formats up to {current.version}: start the newer "
            f"release again, or put back the backup that it made, {_backup_path(path, current.version).name}"
        )
    return version


def _create(connection: sqlite3.Connection, current: Format) -> None:
    # Both before anything is written. Pages of 8 KiB hold five values of 1.5 KB, where two of 4 KiB hold four.
    connection.execute("PRAGMA page_size = 8192")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.executescript(
        f"BEGIN IMMEDIATE; {current.tables} PRAGMA application_id = {_APPLICATION_ID};"
        f" PRAGMA user_version = {current.version}; COMMIT;"
    )


def _migrate(connection: sqlite3.Connection, path: Path, version: int, current: Format) -> None:
    backup = _backup_path(path, version)
    _back_up(connection, backup)
    log.info("%s: migrating from format %d to %d; the old one is kept as %s", path, version, current.version, backup)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in range(version, current.version):
            current.migrations[step](connection)
        connection.execute(f"PRAGMA user_version = {current.version}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _back_up(connection: sqlite3.Connection, target: Path) -> None:
    unfinished = target.with_name(target.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with closing(sqlite3.connect(unfinished)) as copy:
            connection.backup(copy)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    unfinished.replace(target)
    sync_directory(target.parent)


def _backup_path(path: Path, version: int) -> Path:
    return path.with_name(f"{path.name}.format-{version}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
