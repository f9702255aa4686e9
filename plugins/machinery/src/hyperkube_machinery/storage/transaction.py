"""What the writer does to the tables: batches of writes, each batch one transaction.

A usual batch takes two statements, however many writes it has: one reads what lives at its keys, the other adds rows
to the log, and is a transaction by itself. Python's lock is given up at each statement, and must be won back from a
busy event loop: that takes longer than most statements do. What lives follows from the log by triggers, which are the
writer's own connection's. A batch with functions in it (see `views`) takes as many statements as they do.
"""

from __future__ import annotations

import sqlite3
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, cast

from hyperkube_machinery.storage.interface import Change, Entry, Revision, StoreError
from hyperkube_machinery.storage.schema import PART_BITS
from hyperkube_machinery.storage.sqliteviews import SQLiteWritingView
from hyperkube_machinery.storage.views import Done, Work
from hyperkube_machinery.storage.writes import Write, decide

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["apply", "follow_log"]

_Statement = tuple[str, tuple[Any, ...]]

# Rows a statement. SQLite before 3.32 takes 999 parameters, and a row of the log has seven.
_MOST_ROWS = 128
_ANY_ROWS = 16  # up to so many rows go into one statement; above, into some whose sizes are powers of two


_TRIGGERS = """
PRAGMA temp_store = MEMORY;
CREATE TEMP TRIGGER put AFTER INSERT ON main.log WHEN new.value IS NOT NULL BEGIN
    INSERT INTO live VALUES (new.key, new.position) ON CONFLICT (key) DO UPDATE SET position = excluded.position;
END;
CREATE TEMP TRIGGER deleted AFTER INSERT ON main.log WHEN new.value IS NULL BEGIN
    DELETE FROM live WHERE key = new.key;
END;
"""


def follow_log(connection: sqlite3.Connection) -> None:
    """Keep `live` what the log says, from now on and for what this connection writes."""
    connection.executescript(_TRIGGERS)


def apply(
    connection: sqlite3.Connection, batch: Sequence[Write | Work], revision: Revision
) -> list[Change | Done | Exception]:
    """Do the writes in order, the first that succeeds at the revision after `revision`, and say what came of each.

    They are durable when it returns; when it raises, nothing is known of them. A write sees those before it; one that
    is refused does nothing. The connection is the only one that writes, and follows its log.
    """
    if all(isinstance(one, Write) for one in batch):
        outcomes, statements = _decided(connection, cast("Sequence[Write]", batch), revision)
        if len(statements) > 1:
            statements = [("BEGIN IMMEDIATE", ()), *statements, ("COMMIT", ())]
        _execute(connection, statements)
        return outcomes
    connection.execute("BEGIN IMMEDIATE")
    outcomes = []
    for are_writes, some in groupby(batch, lambda one: isinstance(one, Write)):
        if are_writes:
            decided, statements = _decided(connection, cast("Sequence[Write]", list(some)), revision)
            _execute(connection, statements)
            outcomes += decided
            revision = max((done.revision for done in decided if isinstance(done, Change)), default=revision)
            continue
        for work in cast("Iterator[Work]", some):
            outcome = _called(connection, work, revision)
            outcomes.append(outcome)
            if isinstance(outcome, Done) and outcome.changes:
                revision = Revision(revision + 1)
    connection.execute("COMMIT")
    return outcomes


def _called(connection: sqlite3.Connection, work: Work, revision: Revision) -> Done | Exception:
    """What came of a function; nothing that it wrote is left where it raised."""
    connection.execute("SAVEPOINT work")
    view = SQLiteWritingView(connection, revision)
    try:
        result = work.function(view)
    except sqlite3.Error:
        raise
    except Exception as exc:  # whoever asked is told
        connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")
        return exc
    connection.execute("RELEASE work")
    return Done(result, view.changes)


def _execute(connection: sqlite3.Connection, statements: Iterable[_Statement]) -> None:
    for statement, values in statements:
        connection.execute(statement, values)


def _decided(
    connection: sqlite3.Connection, writes: Sequence[Write], revision: Revision
) -> tuple[list[Change | Done | Exception], list[_Statement]]:
    """What comes of the writes, and the statements that make it so."""
    current = _living(connection, list({write.key for write in writes}))
    outcomes: list[Change | Done | Exception] = []
    rows: list[tuple[Any, ...]] = []
    expiring: list[tuple[float, int]] = []
    for write in writes:
        living, position = current.get(write.key, (None, 0))
        try:
            change = decide(write, living, Revision(revision + 1))
        except StoreError as refusal:
            outcomes.append(refusal)
            continue
        revision = change.revision
        current[write.key] = (change.entry, revision << PART_BITS if change.entry is not None else 0)
        outcomes.append(change)
        rows.append(_row(change, position))
        if write.expires is not None:
            expiring.append((write.expires, revision << PART_BITS))
    return outcomes, [
        *_insertions("INSERT INTO log VALUES", rows),
        *_insertions("INSERT INTO expiring VALUES", expiring),
    ]


def _living(connection: sqlite3.Connection, keys: list[str]) -> dict[str, tuple[Entry | None, int]]:
    found: dict[str, tuple[Entry | None, int]] = {}
    for some in _padded(keys):
        rows = connection.execute(
            f"SELECT live.key, log.value, log.created, log.position >> {PART_BITS}, log.version, log.lease, position"
            f" FROM live JOIN log USING (position) WHERE live.key IN ({_marks(len(some))})",
            some,
        ).fetchall()
        for *entry, position in rows:
            found[entry[0]] = (Entry(*entry), position)
    return found


def _row(change: Change, previous: int) -> tuple[Any, ...]:
    """The row of a change that is alone at its revision; `previous` is the position of what it replaces."""
    position, entry = change.revision << PART_BITS, change.entry
    if entry is None:
        return (position, change.key, previous, 0, 0, 0, None)
    return (position, change.key, previous, entry.create_revision, entry.version, entry.lease, entry.value)


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
