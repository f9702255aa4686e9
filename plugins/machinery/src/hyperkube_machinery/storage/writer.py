"""The thread that writes: one commit for all the writes that arrived during the last one.

    event loop                            writer thread
    ──────────                            ─────────────
    write ┐
    write ├─ one hand-over a turn ──────▶ batch: guards, rows, COMMIT (synced)
    write ┘                                 │
    publish to watchers  ◀── one call ──────┘
    resolve the writers' futures

A commit that fails fails its own writes and publishes nothing. What the file holds then is not known: a commit that
was written but not synced may yet turn out durable. So the connection is opened again and its log is moved into the
database, synced, before anything else is written; until that works every write is refused.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, overload

from hyperkube_machinery.storage.interface import Change, NoSpace, Revision, StoreError, Unavailable
from hyperkube_machinery.storage.queries import newest
from hyperkube_machinery.storage.reserve import Reserve, explain, is_full
from hyperkube_machinery.storage.schema import connect_writer, move_log
from hyperkube_machinery.storage.transaction import apply, follow_log
from hyperkube_machinery.storage.views import Done, Work
from hyperkube_machinery.storage.writes import Write

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Slices", "Writer"]

log = logging.getLogger(__name__)

# Writes a commit: bounds how long the event loop is held by the answers to one.
_MOST_WRITES = 256

# The log is moved into the database when it holds about this much, in bytes.
_LOG_BYTES = 16 * 1024 * 1024
_WRITE_BYTES = 12 * 1024  # of a write in the log, besides its value: a page of keys, half a page of values
_JOB_BYTES = 1024 * 1024  # of a slice of a job

# Seconds. A thread that waits for Python's lock asks for it only after this long, and starts to count anew each time
# the lock was free for a moment. A busy event loop frees it for moments more often than every 5 ms, the default,
# and then starves the writer for seconds (measured: 99th percentile of a write 2.6 s, with this 13 ms).
_SWITCH_INTERVAL = 2e-5

Slices = Callable[[sqlite3.Connection], Iterator[None]]  # work of which a slice is done between two batches
_Pending = tuple[Write | Work, "asyncio.Future[Any]"]


@dataclass(slots=True)
class _Job:
    slices: Slices
    future: asyncio.Future[None]
    iterator: Iterator[None] | None = None  # once begun


_NOTHING_WRITTEN = "nothing was written"


class _Nothing(Enum):
    NOTHING = 0


_NOTHING = _Nothing.NOTHING
_Item = list[_Pending] | _Job | None | Literal[_Nothing.NOTHING]  # None ends the thread


class Writer:
    """The only one that writes to the file. Its methods are the event loop's; `close` it to end the thread."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        reserve: Reserve,
        *,
        publish: Callable[[Sequence[Change], Revision], None],
        advance: Callable[[Revision], None],
    ) -> None:
        """Takes over the connection. `publish` and `advance` are called on the running loop, as Feed's methods."""
        follow_log(connection)
        self._connection = connection
        self._path = path
        self._reserve = reserve
        self._publish = publish
        self._advance = advance
        self._loop = asyncio.get_running_loop()
        self._arrived: list[_Pending] = []  # in this turn of the loop
        self._handed_over: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._closing = False
        # The thread's own:
        self._revision = newest(connection)
        self._sound = True  # the file holds what was acknowledged and nothing else
        self._did_not_fit = False  # why it may not: the disk was full before the last commit was in the log
        self._log_bytes = 0
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_INTERVAL))
        context = copy_context()  # whose log lines these are
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="store writer", daemon=True)
        self._thread.start()

    @overload
    def submit(self, write: Write) -> asyncio.Future[Change]: ...
    @overload
    def submit(self, write: Work) -> asyncio.Future[Any]: ...
    def submit(self, write: Write | Work) -> asyncio.Future[Any]:
        """Do a write; its change, or what a function returned, or why it was refused, once that is durable.

        Cancelling it takes nothing back.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._closing:
            future.set_exception(Unavailable("the store is closed; nothing was written"))
            return future
        if not self._arrived:
            self._loop.call_soon(self._hand_over)
        self._arrived.append((write, future))
        return future

    def run(self, slices: Slices) -> asyncio.Future[None]:
        """Do a long work in slices between the batches of writes; done when the future is."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self._closing:
            future.set_exception(Unavailable("the store is closed"))
        else:
            self._handed_over.put(_Job(slices, future))
        return future

    async def check(self) -> None:
        """Raise Unavailable if a write would be refused now; one that could be done again is let be."""
        await self.run(self._checking)
        if self._reserve.full:
            raise NoSpace

    async def close(self) -> None:
        """Finish the writes that were submitted, then close the connection."""
        if not self._closing:
            self._hand_over()
            self._closing = True
            self._handed_over.put(None)
        await asyncio.shield(self._closed)
        self._thread.join()

    def _hand_over(self) -> None:
        if self._arrived:
            arrived, self._arrived = self._arrived, []
            self._handed_over.put(arrived)

    def _settle(
        self, batch: Sequence[_Pending], outcomes: Sequence[Change | Done | Exception], changes: Sequence[Change]
    ) -> None:
        """On the loop: watchers first, then those who wait for their answers."""
        if changes:
            self._publish(changes, changes[-1].revision)
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():  # cancelled
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome.result if isinstance(outcome, Done) else outcome)

    def _run(self) -> None:
        writes: deque[_Pending] = deque()
        jobs: deque[_Job] = deque()
        closing = False
        while writes or jobs or not closing:
            item = self._take(block=not writes and not jobs)
            while item is not _NOTHING:
                if item is None:
                    closing = True
                elif isinstance(item, _Job):
                    jobs.append(item)
                else:
                    writes.extend(item)
                item = self._take(block=False)
            if writes:
                self._commit([writes.popleft() for _ in range(min(len(writes), _MOST_WRITES))])
            if jobs and closing:
                self._call(_fail, jobs.popleft().future, Unavailable("the store was closed meanwhile"))
            elif jobs and self._advance_job(jobs[0]):
                jobs.popleft()
            if self._log_bytes >= self._most_log_bytes:
                self._move_log()
        with suppress(sqlite3.Error):  # what can't be moved into the database now stays in the log
            self._connection.close()
        self._call(_succeed, self._closed)

    def _take(self, *, block: bool) -> _Item:
        try:
            return self._handed_over.get(block)
        except queue.Empty:
            return _NOTHING

    def _commit(self, batch: list[_Pending], *, again: bool = False) -> None:
        try:
            self._ensure_sound()
        except Exception as exc:
            failure = Unavailable(f"can't write to {self._path}: {explain(exc, self._path)}; nothing was written")
            self._call(self._settle, batch, [failure] * len(batch), ())
            return
        if self._reserve.full and not self._reserve.hold() and not (batch := self._without_additions(batch)):
            return
        try:
            outcomes = apply(self._connection, [write for write, _ in batch], self._revision)
        except Exception as exc:  # whatever it is, none of the batch may wait for ever
            self._did_not_fit = full = is_full(exc)
            if full:
                self._reserve.give_up()
            fate = self._fate_of_failed()
            if full and fate == _NOTHING_WRITTEN and not again:
                self._commit(batch, again=True)  # with the room that there is now, some of it can be done
                return
            failure = Unavailable(f"can't write to {self._path}: {explain(exc, self._path)}; {fate}")
            self._call(self._settle, batch, [failure] * len(batch), ())
            return
        changes = list(_changes_of(outcomes))
        if changes:
            self._revision = changes[-1].revision
            self._log_bytes += sum(
                _WRITE_BYTES + (len(change.entry.value) if change.entry else 0) for change in changes
            )
        self._call(self._settle, batch, outcomes, changes)

    def _without_additions(self, batch: list[_Pending]) -> list[_Pending]:
        """The deletions of a batch; all else is refused."""
        refused = [pending for pending in batch if _adds(pending[0])]
        if refused:
            self._call(self._settle, refused, [NoSpace()] * len(refused), ())
        return [pending for pending in batch if not _adds(pending[0])]

    def _fate_of_failed(self) -> str:
        self._sound = False
        before = self._revision
        try:
            self._ensure_sound()
        except Exception as exc:
            why = explain(exc, self._path)
            log.error("%s can't be written to, every write is refused until it can be: %s", self._path, why)
            return "it may or may not have been written"
        return _NOTHING_WRITTEN if self._revision == before else "it was written all the same"

    def _ensure_sound(self) -> None:
        """After a failure: find out what the file holds. Raises sqlite3.Error while that can't be done."""
        if self._sound:
            return
        with suppress(sqlite3.Error):
            self._connection.close()
        self._connection = connect_writer(self._path)
        follow_log(self._connection)
        # What the failed commit left in the log is either part of it or overwritten, and what is part of it is synced.
        try:
            move_log(self._connection)
        except sqlite3.OperationalError as exc:
            # A commit that did not fit into the log is no part of it, so what is in the log was synced before.
            if not (self._did_not_fit and is_full(exc)):
                raise
        revision = newest(self._connection)
        if revision > self._revision:
            self._revision = revision
            self._call(self._advance, revision)
        self._log_bytes = 0
        self._sound = True
        if not self._reserve.full:
            log.warning("%s could not be written to for a while; now it can", self._path)

    def _advance_job(self, job: _Job) -> bool:
        """Do a slice; whether it was the last."""
        try:
            self._ensure_sound()
            if job.iterator is None:
                job.iterator = job.slices(self._connection)
            next(job.iterator)
        except StopIteration:
            self._call(_succeed, job.future)
        except StoreError as exc:
            self._call(_fail, job.future, exc)
        except Exception as exc:
            self._sound = False
            self._did_not_fit = is_full(exc)
            if self._did_not_fit:
                self._reserve.give_up()
            self._call(_fail, job.future, Unavailable(f"can't write to {self._path}: {explain(exc, self._path)}"))
        else:
            self._log_bytes += _JOB_BYTES
            return False
        return True

    def _checking(self, connection: sqlite3.Connection) -> Iterator[None]:
        """A job that does nothing but what precedes all: it finds out whether the file can be written to again."""
        if self._reserve.full:
            self._reserve.hold()
        return iter(())

    @property
    def _most_log_bytes(self) -> int:
        """What the log may hold: no more than there is room kept back for."""
        return min(_LOG_BYTES, self._reserve.size // 2)

    def _move_log(self) -> None:
        try:
            _, frames, moved = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as exc:
            if is_full(exc):
                self._reserve.give_up()
            log.warning("%s: can't move the log into the database, trying again: %s", self._path, exc)
            moved = frames = None
        # Where a reader still needed a part, or the disk was full, most of the way is left to the next try.
        self._log_bytes = 0 if moved is not None and moved == frames else self._most_log_bytes * 3 // 4

    def _call(self, function: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(function, *args)


def _adds(write: Write | Work) -> bool:
    return write.adds if isinstance(write, Work) else write.value is not None


def _changes_of(outcomes: Iterable[Change | Done | Exception]) -> Iterator[Change]:
    for outcome in outcomes:
        if isinstance(outcome, Change):
            yield outcome
        elif isinstance(outcome, Done):
            yield from outcome.changes


def _succeed(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: StoreError) -> None:
    if not future.done():
        future.set_exception(error)
