"""Forgetting history, in slices small enough to go between two batches of writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyperkube_machinery.storage.interface import Compacted, FutureRevision, Revision
from hyperkube_machinery.storage.queries import newest
from hyperkube_machinery.storage.schema import PART_BITS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

__all__ = ["compact", "free"]

_SLICE_REVISIONS = 1000
_SLICE_PAGES = 128

# Of the file: what stays free for the writes to come, so that it doesn't shrink and grow all the time.
_FREE_SHARE = 0.2


def compact(connection: sqlite3.Connection, revision: Revision) -> Iterator[None]:
    """Forget history at and before `revision`; durable, and seen by readers, from the first slice on."""
    (compacted,) = connection.execute("SELECT compacted FROM meta").fetchone()
    if revision <= compacted:
        raise Compacted(revision, compacted)
    if revision > (current := newest(connection)):
        raise FutureRevision(revision, current)
    connection.execute("UPDATE meta SET compacted = ?", (revision,))
    yield
    yield from free(connection)


def free(connection: sqlite3.Connection) -> Iterator[None]:
    """Free what compaction so far has made useless; also where a process that died left off."""
    compacted, swept = connection.execute("SELECT compacted, swept FROM meta").fetchone()
    while swept < compacted:
        upto = min(compacted, swept + _SLICE_REVISIONS)
        bounds = ((swept + 1) << PART_BITS, (upto + 1) << PART_BITS)
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(
                "DELETE FROM log WHERE position IN"
                " (SELECT previous FROM log WHERE position >= ? AND position < ? AND previous > 0)",
                bounds,
            )
            # Deletions of the last revision are kept until the next time: a watch may begin there.
            gone = (swept << PART_BITS, (upto if upto == compacted else upto + 1) << PART_BITS)
            connection.execute("DELETE FROM log WHERE position >= ? AND position < ? AND value IS NULL", gone)
            connection.execute("UPDATE meta SET swept = ?", (upto,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        swept = upto
        yield
    while True:
        pages, unused = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count")
        )
        if unused <= max(_SLICE_PAGES, pages * _FREE_SHARE):
            return
        connection.execute(f"PRAGMA incremental_vacuum({_SLICE_PAGES})").fetchall()
        yield
