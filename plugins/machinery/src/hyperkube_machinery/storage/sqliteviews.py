"""Views of the tables: see `views`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyperkube_machinery.storage import queries
from hyperkube_machinery.storage.interface import Change, Entry, Revision
from hyperkube_machinery.storage.schema import PART_BITS
from hyperkube_machinery.storage.views import Found

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = ["SQLiteView", "SQLiteWritingView"]

_ROW = "INSERT INTO log VALUES (?,?,?,?,?,?,?)"


class SQLiteView:
    """A View of what a connection reads, for as long as its transaction."""

    def __init__(self, connection: sqlite3.Connection, revision: Revision) -> None:
        self._connection = connection
        self.revision = revision
        (self._oldest,) = connection.execute("SELECT compacted FROM meta").fetchone()

    @property
    def oldest(self) -> Revision:
        return Revision(self._oldest)

    def get(self, key: str) -> Entry | None:
        return queries.get(self._connection, key)

    def range(
        self, start: str, end: str | None, *, limit: int = 0, revision: Revision | None = None, values: bool = True
    ) -> Found:
        newest = self._newest
        queries.check_revision(revision, self.oldest, newest)
        at = revision if revision is not None else newest
        entries, count = queries.span(self._connection, start, end, limit, at, now=at == newest, values=values)
        return Found(entries, count)

    @property
    def _newest(self) -> Revision:
        return self.revision

    def kept_at(self, revision: Revision, start: str, end: str | None) -> Sequence[Change]:
        return queries.changes_between(self._connection, start, end, revision, Revision(revision + 1))

    def ttl(self, lease: int) -> int | None:
        rows = self._connection.execute("SELECT ttl FROM leases WHERE id = ?", (lease,)).fetchall()
        return rows[0][0] if rows else None

    def leases(self) -> Sequence[tuple[int, int]]:
        return self._connection.execute("SELECT id, ttl FROM leases").fetchall()

    def leased(self) -> Sequence[tuple[str, int]]:
        return self._connection.execute(
            "SELECT live.key, log.lease FROM live JOIN log USING (position) WHERE log.lease <> 0"
        ).fetchall()


class SQLiteWritingView(SQLiteView):
    """A WritingView: the writer's own, within its transaction."""

    def __init__(self, connection: sqlite3.Connection, revision: Revision) -> None:
        super().__init__(connection, revision)
        self.changes: list[Change] = []
        self._positions: dict[str, int] = {}

    @property
    def _newest(self) -> Revision:
        return Revision(self.revision + 1) if self.changes else self.revision

    def put(self, key: str, value: bytes, *, lease: int = 0) -> Change:
        previous, position = self._living(key)
        revision = Revision(self.revision + 1)
        created = previous.create_revision if previous is not None else revision
        version = previous.version + 1 if previous is not None else 1
        entry = Entry(key, value, created, revision, version, lease)
        row = (position, created, version, lease, value)
        return self._write(key, row, Change(key, revision, entry, previous))

    def delete(self, key: str) -> Change | None:
        previous, position = self._living(key)
        if previous is None:
            return None
        return self._write(key, (position, 0, 0, 0, None), Change(key, Revision(self.revision + 1), None, previous))

    def grant(self, lease: int, ttl_seconds: int) -> None:
        self._connection.execute("INSERT INTO leases VALUES (?, ?)", (lease, ttl_seconds))

    def revoke(self, lease: int) -> None:
        self._connection.execute("DELETE FROM leases WHERE id = ?", (lease,))

    def _living(self, key: str) -> tuple[Entry | None, int]:
        """What lives at a key, and its position."""
        found = queries.get_with_position(self._connection, key)
        return (None, 0) if found is None else found

    def _write(self, key: str, row: tuple[int, int, int, int, bytes | None], change: Change) -> Change:
        position = (change.revision << PART_BITS) | len(self.changes)
        self._connection.execute(_ROW, (position, key, *row))
        self.changes.append(change)
        return change
