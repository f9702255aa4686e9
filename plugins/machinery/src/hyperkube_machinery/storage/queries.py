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
from hyperkube_machinery.storage.schema import PART_BITS
from hyperkube_machinery.storage.writes import FIRST_REVISION, after_prefix

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

__all__ = [
    "Expired",
    "changes_between",
    "check_revision",
    "expired",
    "get",
    "get_with_position",
    "history",
    "newest",
    "read_range",
    "snapshot",
    "span",
]

# A replay comes in slices of this size, so that a slow watcher holds neither the snapshot nor much memory.
_REPLAY_CHANGES = 512
_REPLAY_BYTES = 2 * 1024 * 1024

_REVISION = f"log.position >> {PART_BITS}"
_ENTRY = f"log.key, log.value, log.created, {_REVISION}, log.version, log.lease"
_WITHOUT_VALUE = f"log.key, x'', log.created, {_REVISION}, log.version, log.lease"

# A blob sorts after every text.
_NO_END = b""

_NOW = "SELECT key, position FROM live WHERE key >= :start AND key < :end"

# What has lived on since, and what the first later write to its key replaced; `at` is the first later position.
_THEN = (
    f"{_NOW} AND position < :at UNION ALL SELECT key, previous FROM log"
    " WHERE position >= :at AND previous BETWEEN 1 AND :at - 1 AND key >= :start AND key < :end"
)

Expired = tuple[float, int, str | None]  # the key is None where a later write, compacted since, replaced it


def newest(connection: sqlite3.Connection) -> Revision:
    """The revision of the newest write; compaction may have taken its row, if that was a deletion."""
    rows = connection.execute("SELECT compacted, (SELECT max(position) FROM log) FROM meta").fetchall()
    compacted, position = rows[0]
    return Revision(max(FIRST_REVISION, compacted, (position or 0) >> PART_BITS))


def get(connection: sqlite3.Connection, key: str) -> Entry | None:
    rows = connection.execute(
        f"SELECT {_ENTRY} FROM live JOIN log USING (position) WHERE live.key = ?", (key,)
    ).fetchall()
    return Entry(*rows[0]) if rows else None


def get_with_position(connection: sqlite3.Connection, key: str) -> tuple[Entry, int] | None:
    rows = connection.execute(
        f"SELECT position, {_ENTRY} FROM live JOIN log USING (position) WHERE live.key = ?", (key,)
    ).fetchall()
    return (Entry(*rows[0][1:]), rows[0][0]) if rows else None


def check_revision(revision: Revision | None, oldest: Revision, newest: Revision) -> None:
    """Raise Compacted or FutureRevision for a revision that can't be read."""
    if revision is not None and revision < oldest:
        raise Compacted(revision, oldest)
    if revision is not None and revision > newest:
        raise FutureRevision(revision, newest)


def read_range(connection: sqlite3.Connection, prefix: str, after: str, limit: int, revision: Revision | None) -> Page:
    """See Store.range."""
    start, end = max(prefix, after + "\0" if after else ""), after_prefix(prefix)
    with snapshot(connection) as (oldest, current):
        check_revision(revision, oldest, current)
        at = current if revision is None else revision
        entries, count = span(connection, start, end, limit, at, now=at == current)
    return Page(entries, at, count - len(entries))


def span(
    connection: sqlite3.Connection,
    start: str,
    end: str | None,
    limit: int,
    revision: Revision,
    *,
    now: bool,
    values: bool = True,
) -> tuple[list[Entry], int]:
    """What lived at `revision`, which is `now`, from `start` up to `end`, and how many; `limit`: see View.range."""
    bounds: dict[str, object] = {
        "start": start,
        "end": _NO_END if end is None else end,
        "limit": limit or -1,
        "at": (revision + 1) << PART_BITS,
    }
    found = _NOW if now else _THEN
    entries = []
    if limit >= 0:
        columns = _ENTRY if values else _WITHOUT_VALUE
        entries = [
            Entry(*row)
            for row in connection.execute(
                # CROSS JOIN: SQLite's word for "in this order", keys first.
                f"SELECT {columns} FROM ({found}) AS found CROSS JOIN log ON log.position = found.position"
                " ORDER BY found.key LIMIT :limit",
                bounds,
            )
        ]
        if not limit or len(entries) < limit:
            return entries, len(entries)
        bounds["start"] = entries[-1].key + "\0"
    (further,) = connection.execute(f"SELECT count(*) FROM ({found})", bounds).fetchone()
    return entries, len(entries) + further


def history(connection: sqlite3.Connection, start: str, end: str | None, after: Revision, upto: Revision) -> Changes:
    """The first changes from `start` up to `end` that are later than `after`, none later than `upto`.

    All of a revision, or none of it.
    """
    changes: list[Change] = []
    size = 0
    with snapshot(connection) as (oldest, _):
        if after < oldest:
            raise Compacted(after, oldest)
        for change in _changes(connection, start, end, Revision(after + 1), Revision(upto + 1)):
            if (len(changes) >= _REPLAY_CHANGES or size >= _REPLAY_BYTES) and change.revision > changes[-1].revision:
                upto = changes[-1].revision
                break
            changes.append(change)
            size += sum(len(one.value) for one in (change.entry, change.previous) if one is not None)
    return Changes(changes, upto)


def changes_between(
    connection: sqlite3.Connection, start: str, end: str | None, first: Revision, last: Revision
) -> list[Change]:
    """What is left of the changes from the revision `first` up to `last`."""
    return list(_changes(connection, start, end, first, last))


def _changes(
    connection: sqlite3.Connection, start: str, end: str | None, first: Revision, last: Revision
) -> Iterator[Change]:
    rows = connection.execute(
        f"SELECT {_ENTRY}, old.value, old.created, old.position >> {PART_BITS}, old.version, old.lease"
        " FROM log LEFT JOIN log AS old ON old.position = log.previous"
        " WHERE log.position >= ? AND log.position < ? AND log.key >= ? AND log.key < ? ORDER BY log.position",
        (first << PART_BITS, last << PART_BITS, start, _NO_END if end is None else end),
    )
    for key, value, created, revision, version, lease, *old in rows:
        entry = None if value is None else Entry(key, value, created, revision, version, lease)
        previous = None if old[0] is None else Entry(key, *old)
        yield Change(key, revision, entry, previous)


def expired(connection: sqlite3.Connection, now: float, limit: int) -> Sequence[Expired]:
    """What should have been deleted by `now`, the oldest first."""
    return connection.execute(
        "SELECT expiring.at, expiring.position, log.key FROM expiring LEFT JOIN log USING (position)"
        " WHERE expiring.at <= ? ORDER BY expiring.at, expiring.position LIMIT ?",
        (now, limit),
    ).fetchall()


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[tuple[Revision, Revision]]:
    """Read one state of the tables in the block; gives where history begins, and the newest revision."""
    connection.execute("BEGIN")
    try:
        (compacted,) = connection.execute("SELECT compacted FROM meta").fetchone()
        yield Revision(compacted), newest(connection)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")  # of nothing; unlike COMMIT it ends statements left half read
