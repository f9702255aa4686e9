"""Copies of a store: taken while a server writes to it, or none does, and put back.

    back_up(store, file)      one revision of the store, in a file of its own
    restore(file, directory)  a store made of such a file, whose revisions are later than any that clients have seen

A killed process leaves files named `….unfinished` at most, which the next call removes.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from hyperkube_machinery.storage.backends import FILE_NAME
from hyperkube_machinery.storage.datadir import claim, sync_directory
from hyperkube_machinery.storage.interface import Revision
from hyperkube_machinery.storage.queries import newest
from hyperkube_machinery.storage.schema import CURRENT, ForeignFile, NewerFormat, connect_writer, inspect, move_log

__all__ = ["BUMP", "BackupError", "Copied", "back_up", "restore"]

BUMP = 1_000_000_000
"""Revisions skipped by a restore: far more than can have been given out since the backup. As etcd's guide advises."""

_SUFFIX = ".unfinished"
_REPLACED = FILE_NAME + ".replaced"
_SIDE_FILES = ("-wal", "-shm", "-journal")


class BackupError(Exception):
    """A backup can't be made, or can't be put back; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied."""

    path: Path
    revision: Revision
    objects: int
    size: int  # bytes


def back_up(store: Path, target: Path) -> Copied:
    """Copy the store at `store`, whether a server runs on it or not, to the new file `target`.

    The copy is of one revision, durable when this returns, and readable by its owner alone: it holds every secret.
    Raises BackupError, also where there is something at `target`.
    """
    _check_store(store)
    if os.path.lexists(target):
        raise BackupError(f"{target} is there already; name another file, or move it away")
    with _translated(f"can't back up {store} to {target}"), _unfinished(target) as unfinished:
        # Read only: else closing it, as the last one, would write to a file that a server may be about to open.
        with closing(_read(store, "mode=ro")) as source, closing(sqlite3.connect(unfinished)) as copy:
            source.backup(copy, pages=-1)  # in one step, so of one revision; the server writes on meanwhile
        copied = _describe(unfinished, target)
        _sync(unfinished)
        os.link(unfinished, target)  # which, unlike a rename, never takes the place of a file
        sync_directory(target.parent)
    return copied


def restore(source: Path, directory: Path, *, bump: int = BUMP, replace: bool = False) -> Copied:
    """Make the store of the data directory `directory`, in which no server runs, of the backup `source`.

    Its newest revision is `bump` above those of the backup and of the store that was there, and all history before it
    is gone: so clients that watched before are told to list anew, and no revision means two things.
    A store that is there is refused, or, with `replace`, kept beside the new one.
    Raises BackupError and DataDirectoryError.
    """
    if bump < 1:
        raise BackupError(f"revisions must go up, not by {bump}")
    _check_backup(source)
    with claim(directory) as claimed, _translated(f"can't restore {source} into {directory}"):
        store = claimed / FILE_NAME
        least = _newest_in(store) if store.exists() else 0
        if store.exists() and not replace:
            raise BackupError(
                f"{store} is there already; restore into another folder, or with --replace,"
                f" which keeps it as {_REPLACED}"
            )
        with _unfinished(store) as unfinished:
            with closing(_read(source, "immutable=1")) as origin, closing(sqlite3.connect(unfinished)) as copy:
                origin.backup(copy, pages=-1)
            with closing(connect_writer(unfinished)) as copy:
                _skip_revisions(copy, bump, least)
                copy.execute("PRAGMA journal_mode = WAL").fetchall()
                move_log(copy)
            copied = _describe(unfinished, store)
            _sync(unfinished)
            if store.exists():
                _put_aside(store)
            os.replace(unfinished, store)
            sync_directory(claimed)
    return copied


def _skip_revisions(connection: sqlite3.Connection, bump: int, least: int) -> None:
    """Have the next write come `bump` after all that were, and forget all but what lives."""
    revision = max(newest(connection), least) + bump
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM log WHERE position NOT IN (SELECT position FROM live)")
    connection.execute("DELETE FROM expiring WHERE position NOT IN (SELECT position FROM live)")
    connection.execute("UPDATE meta SET compacted = ?, swept = ?", (revision, revision))
    connection.execute("COMMIT")


def _check_store(store: Path) -> None:
    try:
        found = store.stat()
    except OSError as exc:
        raise BackupError(
            f"there is no store at {store} ({exc.strerror}); name the server's folder with --data-dir. A server with "
            "--storage-backend=memory keeps nothing that could be backed up"
        ) from exc
    if not stat.S_ISREG(found.st_mode):
        raise BackupError(f"{store} is not a file")


def _check_backup(source: Path) -> None:
    """Raise BackupError unless `source` is a whole store of ours."""
    try:
        with open(source, "rb"):
            pass
    except OSError as exc:
        raise BackupError(f"can't read the backup {source}: {exc.strerror}") from exc
    try:
        with closing(_read(source, "immutable=1")) as connection:
            if inspect(connection, source, CURRENT) is None:
                raise BackupError(f"{source} is empty; it is no backup")
            (verdict, *_), *_ = connection.execute("PRAGMA integrity_check(1)").fetchall()
            if verdict != "ok":
                raise BackupError(f"the backup {source} is damaged ({verdict}); use another one")
            missing = connection.execute(
                "SELECT count(*) FROM live LEFT JOIN log USING (position) WHERE log.value IS NULL"
            ).fetchone()[0]
            if missing:
                raise BackupError(f"the backup {source} is damaged (it lacks {missing} objects); use another one")
    except NewerFormat as exc:
        raise BackupError(f"the backup {source} was made by a newer release: restore it with that one") from exc
    except ForeignFile as exc:
        raise BackupError(f"{source} is no backup of a store, or damaged; use another one") from exc
    except sqlite3.Error as exc:
        raise BackupError(f"the backup {source} can't be read ({exc}); use another one") from exc


def _newest_in(store: Path) -> int:
    """The newest revision of the store that is to be replaced; 0 if it can't be read, as may be why it is."""
    with suppress(sqlite3.Error), closing(_read(store, "mode=rw")) as connection:
        return newest(connection)
    return 0


def _put_aside(store: Path) -> None:
    """Keep a store under another name; up to the replacement that follows, it stays under its own as well."""
    with suppress(sqlite3.Error), closing(connect_writer(store)) as connection:
        move_log(connection)
    kept = store.with_name(_REPLACED)
    count = 1
    while os.path.lexists(kept):
        count += 1
        kept = store.with_name(f"{_REPLACED}-{count}")
    os.link(store, kept)
    for suffix in _SIDE_FILES:  # empty by now, or of a store that can't be read; they must not meet the new one
        beside = store.with_name(store.name + suffix)
        if beside.exists():
            beside.rename(kept.with_name(kept.name + suffix))
    sync_directory(store.parent)


def _describe(copy: Path, path: Path) -> Copied:
    with closing(_read(copy, "mode=ro")) as connection:
        (objects,) = connection.execute("SELECT count(*) FROM live").fetchone()
        return Copied(path, newest(connection), objects, copy.stat().st_size)


def _read(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(os.path.abspath(path))}?{mode}", uri=True, isolation_level=None, timeout=30)


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A new file beside `target`, for its owner alone, for the length of the block."""
    path = target.with_name(target.name + _SUFFIX)
    _remove(path)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    try:
        yield path
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    for suffix in ("", *_SIDE_FILES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise BackupError(f"{doing}: {exc}") from exc
    except OSError as exc:
        raise BackupError(f"{doing}: {exc.strerror or exc}") from exc
