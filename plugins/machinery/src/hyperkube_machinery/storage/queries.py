"""What readers ask of the tables. Each function reads one snapshot, and leaves no transaction open."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hyperkube_machinery.storage.interface import (
    Change,
    Changes,
    Compacted,
    Entry,
    FutureRevision,
    Page,
    Revision,
)
from hyperkube_machinery.storage.writes import FIRST_REVISION, after_prefix

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

__all__ = ["Expired", "expired", "get", "history", "newest", "read_range"]

# A replay comes in slices of this size, so that a slow watcher holds neither the snapshot nor much memory.
_REPLAY_CHANGES = 512
_REPLAY_BYTES = 2 * 1024 * 1024

_ENTRY = "log.key, log.value, log.created, log.revision, log.version"

# A blob sorts after every text.
_NO_END = b""

_NOW = "SELECT key, revision FROM live WHERE key >= :start AND key < :end"

# What has lived on since, and what the first later write to its key replaced.
_THEN = (
    f"{_NOW} AND revision <= :at UNION ALL SELECT key, previous FROM log"
    " WHERE revision > :at AND previous BETWEEN 1 AND :at AND key >= :start AND key < :end"
)

Expired = tuple[float, Revision, str | None]  # the key is None where a later write, compacted since, replaced it


def newest(connection: sqlite3.Connection) -> Revision:
    """The revision of the newest write; compaction may have taken its row, if that was a deletion."""
    rows = connection.execute("SELECT compacted, (SELECT max(revision) FROM log) FROM meta").fetchall()
    compacted, revision = rows[0]
    return Revision(max(FIRST_REVISION, compacted, revision or 0))


def get(connection: sqlite3.Connection, key: str) -> Entry | None:
    rows = connection.execute(
        f"SELECT {_ENTRY} FROM live JOIN log USING (revision) WHERE live.key = ?", (key,)
    ).fetchall()
    return Entry(*rows[0]) if rows else None


def read_range(connection: sqlite3.Connection, prefix: str, after: str, limit: int, revision: Revision | None) -> Page:
    """See Store.range."""
    bounds: dict[str, object] = {
        "start": max(prefix, after + "\0" if after else ""),
        "end": after_prefix(prefix) or _NO_END,
        "limit": limit or -1,
    }
    with _snapshot(connection) as (oldest, current):
        if revision is None:
            revision = current
        elif revision < oldest:
            raise Compacted(revision, oldest)
        elif revision > current:
            raise FutureRevision(revision, current)
        found = _NOW if revision == current else _THEN
        bounds["at"] = revision
        entries = [
            Entry(*row)
            for row in connection.execute(
                # CROSS JOIN: SQLite's word for "in this order", keys first.
                f"SELECT {_ENTRY} FROM ({found}) AS found CROSS JOIN log ON log.revision = found.revision"
                " ORDER BY found.key LIMIT :limit",
                bounds,
            )
        ]
        remaining = 0
        if limit and len(entries) == limit:
            bounds["start"] = entries[-1].key + "\0"
            (remaining,) = connection.execute(f"SELECT count(*) FROM ({found})", bounds).fetchone()
    return Page(entries, revision, remaining)


def history(connection: sqlite3.Connection, prefix: str, after: Revision, upto: Revision) -> Changes:
    """The first changes under `prefix` later than `after`, none later than `upto`, and how far they tell."""
    changes: list[Change] = []
    size = 0
    with _snapshot(connection) as (oldest, _):
        if after < oldest:
            raise Compacted(after, oldest)
        rows = connection.execute(
            f"SELECT {_ENTRY}, old.value, old.created, old.revision, old.version"
            " FROM log LEFT JOIN log AS old ON old.revision = log.previous"
            " WHERE log.revision > ? AND log.revision <= ? AND log.key >= ? AND log.key < ? ORDER BY log.revision",
            (after, upto, prefix, after_prefix(prefix) or _NO_END),
        )
        for key, value, created, revision, version, *old in rows:
            entry = None if value is None else Entry(key, value, created, revision, version)
            previous = None if old[0] is None else Entry(key, *old)
            changes.append(Change(key, revision, entry, previous))
            size += len(value or b"") + len(old[0] or b"")
            if len(changes) == _REPLAY_CHANGES or size >= _REPLAY_BYTES:
                upto = revision
                break
    return Changes(changes, upto)


def expired(connection: sqlite3.Connection, now: float, limit: int) -> Sequence[Expired]:
    """What should have been deleted by `now`, the oldest first."""
    return connection.execute(
        "SELECT expiring.at, expiring.revision, log.key FROM expiring LEFT JOIN log USING (revision)"
        " WHERE expiring.at <= ? ORDER BY expiring.at, expiring.revision LIMIT ?",
        (now, limit),
    ).fetchall()


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[tuple[Revision, Revision]]:
    """Read one state of the tables in the block; gives where history begins, and the newest revision."""
    connection.execute("BEGIN")
    try:
        (compacted,) = connection.execute("SELECT compacted FROM meta").fetchone()
        yield Revision(compacted), newest(connection)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")  # of nothing; unlike COMMIT it ends statements left half read
