"""The key space in a SQLite file: the embedded store."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from hyperkube_machinery.storage import queries
from hyperkube_machinery.storage.compaction import compact, free
from hyperkube_machinery.storage.datadir import DataDirectoryError
from hyperkube_machinery.storage.expiry import sweeping
from hyperkube_machinery.storage.feed import Feed
from hyperkube_machinery.storage.interface import (
    Changes,
    Entry,
    Page,
    Revision,
    StaleRevision,
    Unavailable,
)
from hyperkube_machinery.storage.reserve import Reserve, explain, is_read_only
from hyperkube_machinery.storage.schema import PART_BITS, connect_reader, open_file
from hyperkube_machinery.storage.sqliteviews import SQLiteView
from hyperkube_machinery.storage.views import Work
from hyperkube_machinery.storage.writer import Writer
from hyperkube_machinery.storage.writes import Write, after_prefix

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
    from pathlib import Path

    from hyperkube_machinery.clock import Clock
    from hyperkube_machinery.storage.views import View, WritingView

__all__ = ["SQLiteStore"]

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_READERS = 2
_EXPIRED_AT_ONCE = 256


class SQLiteStore:
    """A Store in a file. Made by `open`, on the loop that uses it."""

    def __init__(
        self,
        path: Path,
        writing: sqlite3.Connection,
        reading: list[sqlite3.Connection],
        reserve: Reserve,
        *,
        clock: Clock,
    ) -> None:
        """Takes over the connections: the writer's, and one for each reading thread besides the loop's."""
        self._path = path
        self._clock = clock
        self._reading, *self._spare = reading
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store reader")
        self._feed = Feed(queries.newest(self._reading), self._history)
        self._writer = Writer(writing, path, reserve, publish=self._feed.publish, advance=self._feed.advance)
        self._closed = False

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, *, clock: Clock) -> AsyncIterator[SQLiteStore]:
        """The store in the file at `path` for the length of the block; a missing file is made.

        Its directory should be one that is claimed (datadir): the file has one user at a time.
        Raises DataDirectoryError if the file can't be used.
        """
        reserve = Reserve(path.with_name(f"{path.name}.reserve"))
        try:
            try:
                store = cls._opened(path, reserve, clock)
            except (sqlite3.Error, OSError):
                # It may lack some pages for the log's index; on a disk that has room this changes nothing.
                reserve.give_up(quietly=True)
                store = cls._opened(path, reserve, clock)
        except (sqlite3.Error, OSError) as exc:
            raise DataDirectoryError(f"can't open the store {path}: {explain(exc, path)}") from exc
        if not reserve.hold():
            log.warning("%s: no room could be kept back for deletions: the disk is nearly full", path.parent)
        store._writer.run(free).add_done_callback(_log_failure)
        try:
            async with sweeping(clock, store._delete_expired):
                yield store
        finally:
            await store._close()

    @classmethod
    def _opened(cls, path: Path, reserve: Reserve, clock: Clock) -> SQLiteStore:
        with ExitStack() as opened:
            writing = opened.enter_context(closing(open_file(path)))
            reading = [opened.enter_context(closing(connect_reader(path))) for _ in range(1 + _READERS)]
            store = cls(path, writing, reading, reserve, clock=clock)
            opened.pop_all()  # the store closes them, in its order
        return store

    async def revision(self) -> Revision:
        # Nobody was told of a commit before the feed was, so the file, whose only user this is, need not be asked.
        if self._closed:
            raise Unavailable("the store is closed")
        return self._feed.revision

    async def get(self, key: str) -> Entry | None:
        return self._read_here(queries.get, key)

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, revision: Revision | None = None) -> Page:
        return await self._read(queries.read_range, prefix, after, limit, revision)

    async def create(self, key: str, value: bytes, *, ttl_seconds: float | None = None) -> Entry:
        return await self._put(Write.lasting(key, value, None, ttl_seconds=ttl_seconds, now=self._clock.now()))

    async def update(self, key: str, value: bytes, *, expected: Revision, ttl_seconds: float | None = None) -> Entry:
        return await self._put(Write.lasting(key, value, expected, ttl_seconds=ttl_seconds, now=self._clock.now()))

    async def delete(self, key: str, *, expected: Revision) -> Revision:
        return (await self._writer.submit(Write(key, None, expected))).revision

    def watch(self, prefix: str, *, after: Revision) -> AsyncGenerator[Changes, None]:
        return self._feed.watch(prefix, after_prefix(prefix), after)

    def follow(self, start: str, end: str | None, *, after: Revision) -> AsyncGenerator[Changes, None]:
        return self._feed.watch(start, end, after)

    async def read(self, function: Callable[[View], T]) -> T:
        return await self._read(_viewed, function)

    async def read_here(self, function: Callable[[View], T]) -> T:
        return self._read_here(_viewed, function)

    async def transact(self, function: Callable[[WritingView], T], *, adds: bool = True) -> T:
        result: T = await self._writer.submit(Work(function, adds))
        return result

    async def size(self) -> tuple[int, int]:
        pages, unused, page = self._read_here(_pages)
        return pages * page, (pages - unused) * page

    async def is_stale(self, key: str) -> bool:
        return False

    async def check(self) -> None:
        if is_read_only(self._path.parent):
            raise Unavailable(f"can't write to {self._path}: {explain(OSError(), self._path)}")
        await self._writer.check()

    async def compact(self, revision: Revision) -> None:
        """See Store.compact. Returns when the space is free too."""
        await self._writer.run(partial(compact, revision=revision))

    async def _put(self, write: Write) -> Entry:
        entry = (await self._writer.submit(write)).entry
        assert entry is not None
        return entry

    async def _history(self, start: str, end: str | None, after: Revision, upto: Revision) -> Changes:
        return await self._read(queries.history, start, end, after, upto)

    async def _delete_expired(self, now: float) -> None:
        while due := await self._read(queries.expired, now, _EXPIRED_AT_ONCE):
            deletions = [
                self._writer.submit(Write(key, None, Revision(position >> PART_BITS)))
                for _, position, key in due
                if key is not None
            ]
            for outcome in await asyncio.gather(*deletions, return_exceptions=True):
                # What was written since lives on by its new terms.
                if isinstance(outcome, BaseException) and not isinstance(outcome, StaleRevision):
                    raise outcome
            await self._writer.run(partial(_forget_expired, upto=due[-1]))

    def _read_here(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """For what takes microseconds: a thread's turn would take more."""
        if self._closed:
            raise Unavailable("the store is closed")
        try:
            return query(self._reading, *args, **kwargs)
        except sqlite3.Error as exc:
            raise Unavailable(f"can't read {self._path}: {exc}") from exc

    async def _read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        def read() -> T:
            connection = self._spare.pop()  # there is one for each thread
            try:
                return query(connection, *args, **kwargs)
            except sqlite3.Error as exc:
                raise Unavailable(f"can't read {self._path}: {exc}") from exc
            finally:
                self._spare.append(connection)

        if self._closed:
            raise Unavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, read)

    async def _close(self) -> None:
        self._closed = True
        self._feed.end("the store is closed")
        # Readers end first: the last connection to close moves the log into the database, which only the writer may.
        await asyncio.to_thread(self._readers.shutdown)
        for connection in (self._reading, *self._spare):
            connection.close()
        await self._writer.close()


def _viewed(connection: sqlite3.Connection, function: Callable[[View], T]) -> T:
    with queries.snapshot(connection) as (_, newest):
        return function(SQLiteView(connection, newest))


def _pages(connection: sqlite3.Connection) -> tuple[int, int, int]:
    pages, unused, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return pages, unused, size


def _log_failure(freeing: asyncio.Future[None]) -> None:
    if not freeing.cancelled() and (failure := freeing.exception()) is not None:
        log.info("what compaction left is not freed yet: %s", failure)


def _forget_expired(connection: sqlite3.Connection, upto: queries.Expired) -> Iterator[None]:
    connection.execute("DELETE FROM expiring WHERE (at, position) <= (?, ?)", upto[:2])
    yield
