"""What the writer does to the tables: batches of writes, each batch one transaction.

A usual batch takes two statements, however many writes it has: one reads what lives at its keys, the other adds rows
to the log, and is a transaction by itself. Python's lock is given up at each statement, and must be won back from a
busy event loop: that takes longer than most statements do. What lives follows from the log by triggers, which are the
writer's own connection's.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from hyperkube_machinery.storage.interface import Change, Entry, Revision, StoreError
from hyperkube_machinery.storage.writes import Write, decide

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

__all__ = ["apply", "follow_log"]

# Rows a statement. SQLite before 3.32 takes 999 parameters, and a row of the log has six.
_MOST_ROWS = 128
_ANY_ROWS = 16  # up to so many rows go into one statement; above, into some whose sizes are powers of two


_TRIGGERS = """
PRAGMA temp_store = MEMORY;
CREATE TEMP TRIGGER put AFTER INSERT ON main.log WHEN new.value IS NOT NULL BEGIN
    INSERT INTO live VALUES (new.key, new.revision) ON CONFLICT (key) DO UPDATE SET revision = excluded.revision;
END;
CREATE TEMP TRIGGER deleted AFTER INSERT ON main.log WHEN new.value IS NULL BEGIN
    DELETE FROM live WHERE key = new.key;
END;
"""


def follow_log(connection: sqlite3.Connection) -> None:
    """Keep `live` what the log says, from now on and for what this connection writes."""
    connection.executescript(_TRIGGERS)


def apply(connection: sqlite3.Connection, writes: Sequence[Write], revision: Revision) -> list[Change | StoreError]:
    """Do the writes in order, the first that succeeds at the revision after `revision`, and say what came of each.

    They are durable when it returns; when it raises, nothing is known of them. A write sees those before it; one that
    is refused does nothing. The connection is the only one that writes, and follows its log.
    """
    current = _living(connection, list({write.key for write in writes}))
    outcomes: list[Change | StoreError] = []
    changes: list[Change] = []
    expiring: list[tuple[float, int]] = []
    for write in writes:
        try:
            change = decide(write, current.get(write.key), Revision(revision + 1))
        except StoreError as refusal:
            outcomes.append(refusal)
            continue
        revision = change.revision
        current[write.key] = change.entry
        outcomes.append(change)
        changes.append(change)
        if write.expires is not None:
            expiring.append((write.expires, revision))
    statements = [
        *_insertions("INSERT INTO log VALUES", [_row(change) for change in changes]),
        *_insertions("INSERT INTO expiring VALUES", expiring),
    ]
    if len(statements) > 1:
        statements = [("BEGIN IMMEDIATE", ()), *statements, ("COMMIT", ())]
    for statement, values in statements:
        connection.execute(statement, values)
    return outcomes


def _living(connection: sqlite3.Connection, keys: list[str]) -> dict[str, Entry | None]:
    found: dict[str, Entry | None] = {}
    for some in _padded(keys):
        rows = connection.execute(
            "SELECT live.key, log.value, log.created, log.revision, log.version"
            f" FROM live JOIN log USING (revision) WHERE live.key IN ({_marks(len(some))})",
            some,
        ).fetchall()
        for row in rows:
            found[row[0]] = Entry(*row)
    return found


def _row(change: Change) -> tuple[Any, ...]:
    previous = change.previous.mod_revision if change.previous is not None else 0
    entry = change.entry
    if entry is None:
        return (change.revision, change.key, previous, 0, 0, None)
    return (change.revision, change.key, previous, entry.create_revision, entry.version, entry.value)


def _insertions(into: str, rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Statements of 1 to 16, 32, 64 … rows, so that few texts have to be compiled and kept."""
    done = 0
    while done < len(rows):
        left = len(rows) - done
        size = left if left <= _ANY_ROWS else min(_MOST_ROWS, 1 << (left.bit_length() - 1))
        some = rows[done : done + size]
        values = ",".join([f"({_marks(len(some[0]))})"] * size)
        yield f"{into} {values}", tuple(chain.from_iterable(some))
        done += size


def _padded(keys: list[str]) -> list[list[str]]:
    """The keys in lists of 1, 2, 4 … , the last key repeated where it takes that: harmless in an IN (…)."""
    lists = []
    for start in range(0, len(keys), _MOST_ROWS):
        some = keys[start : start + _MOST_ROWS]
        size = 1 << (len(some) - 1).bit_length()
        lists.append(some + [some[-1]] * (size - len(some)))
    return lists


def _marks(count: int) -> str:
    return ",".join("?" * count)
