"""The key space in memory, for tests and for servers that need not outlive their process."""

from __future__ import annotations

import asyncio
import heapq
from bisect import bisect_left, bisect_right
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from hyperkube_machinery.storage.expiry import sweeping
from hyperkube_machinery.storage.feed import Feed
from hyperkube_machinery.storage.interface import (
    Change,
    Changes,
    Compacted,
    Entry,
    FutureRevision,
    Page,
    Revision,
    StaleRevision,
    Unavailable,
)
from hyperkube_machinery.storage.memoryviews import MemoryView, MemoryWritingView
from hyperkube_machinery.storage.writes import FIRST_REVISION, Write, after_prefix, decide

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from hyperkube_machinery.clock import Clock
    from hyperkube_machinery.storage.views import View, WritingView

__all__ = ["MemoryStore"]

T = TypeVar("T")

_REPLAY_CHANGES = 512


class MemoryStore:
    """A Store that ends with its process. Made by `open`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._live: dict[str, Entry] = {}
        self._keys: list[str] = []  # of _live, sorted
        self._log: list[Change] = []  # the changes of every revision above _oldest, in order
        self._last_taken: list[Change] = []  # those of the revision that history begins after
        self.kept_leases: dict[int, int] = {}
        self._oldest = Revision(0)
        self._expiring: list[tuple[float, Revision, str]] = []  # a heap
        self._feed = Feed(FIRST_REVISION, self._history)
        self._closed = False

    @classmethod
    @asynccontextmanager
    async def open(cls, *, clock: Clock) -> AsyncIterator[MemoryStore]:
        """An empty store for the length of the block."""
        store = cls(clock)
        try:
            async with sweeping(clock, store._delete_expired):
                yield store
        finally:
            store._closed = True
            store._feed.end("the store is closed")

    async def revision(self) -> Revision:
        self._check_open()
        return self._feed.revision

    async def get(self, key: str) -> Entry | None:
        self._check_open()
        return self._live.get(key)

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, revision: Revision | None = None) -> Page:
        self._check_open()
        start = max(prefix, after + "\0" if after else "")
        entries, count = self.span(start, after_prefix(prefix), limit, revision)
        return Page(entries, self._feed.revision if revision is None else revision, count - len(entries))

    def span(self, start: str, end: str | None, limit: int, revision: Revision | None) -> tuple[list[Entry], int]:
        """What lived from `start` up to `end`, and how many; `limit`: see View.range."""
        if revision is None or revision == self._feed.revision:
            live, keys = self._live, self._keys
        else:
            self._check_revision(revision)
            live = self._state_at(revision)
            keys = sorted(live)
        first = bisect_left(keys, start)
        last = max(first, len(keys) if end is None else bisect_left(keys, end))
        stop = last if limit == 0 else min(last, first + max(0, limit))
        return [live[key] for key in keys[first:stop]], last - first

    async def read(self, function: Callable[[View], T]) -> T:
        return await self.read_here(function)

    async def read_here(self, function: Callable[[View], T]) -> T:
        self._check_open()
        return function(MemoryView(self))

    async def transact(self, function: Callable[[WritingView], T], *, adds: bool = True) -> T:
        self._check_open()
        view = MemoryWritingView(self)
        result = function(view)
        self.kept_leases = view.kept_leases
        if view.changes:
            for change in view.changes:
                self._take(change)
            self._feed.publish(tuple(view.changes), view.changes[-1].revision)
        await asyncio.sleep(0)
        return result

    async def size(self) -> tuple[int, int]:
        size = sum(len(entry.key) + len(entry.value) for entry in self._live.values())
        return size, size

    @property
    def newest(self) -> Revision:
        return self._feed.revision

    @property
    def oldest(self) -> Revision:
        return self._oldest

    def kept_changes(self, revision: Revision) -> list[Change]:
        """What is left of the changes of one revision."""
        if revision == self._oldest:
            return self._last_taken
        return self._log[self._index(Revision(revision - 1)) : self._index(revision)]

    def living(self, key: str) -> Entry | None:
        return self._live.get(key)

    async def create(self, key: str, value: bytes, *, ttl_seconds: float | None = None) -> Entry:
        return await self._put(Write.lasting(key, value, None, ttl_seconds=ttl_seconds, now=self._clock.now()))

    async def update(self, key: str, value: bytes, *, expected: Revision, ttl_seconds: float | None = None) -> Entry:
        return await self._put(Write.lasting(key, value, expected, ttl_seconds=ttl_seconds, now=self._clock.now()))

    async def delete(self, key: str, *, expected: Revision) -> Revision:
        change = self._commit(Write(key, None, expected))
        await asyncio.sleep(0)
        return change.revision

    def watch(self, prefix: str, *, after: Revision) -> AsyncGenerator[Changes, None]:
        return self._feed.watch(prefix, after_prefix(prefix), after)

    def follow(self, start: str, end: str | None, *, after: Revision) -> AsyncGenerator[Changes, None]:
        return self._feed.watch(start, end, after)

    async def is_stale(self, key: str) -> bool:
        return False

    async def check(self) -> None:
        self._check_open()

    async def compact(self, revision: Revision) -> None:
        self._check_open()
        if revision <= self._oldest:
            raise Compacted(revision, self._oldest)
        self._check_revision(revision)
        self._last_taken = self.kept_changes(revision)
        del self._log[: self._index(revision)]
        self._oldest = revision

    async def _put(self, write: Write) -> Entry:
        entry = self._commit(write).entry
        assert entry is not None
        await asyncio.sleep(0)  # as any store does: others get their turn before the answer
        return entry

    def _commit(self, write: Write) -> Change:
        self._check_open()
        change = decide(write, self._live.get(write.key), Revision(self._feed.revision + 1))
        self._take(change)
        if write.expires is not None:
            heapq.heappush(self._expiring, (write.expires, change.revision, write.key))
        self._feed.publish((change,), change.revision)
        return change

    def _take(self, change: Change) -> None:
        if change.entry is None:
            del self._live[change.key]
            del self._keys[bisect_left(self._keys, change.key)]
        else:
            if change.previous is None:
                self._keys.insert(bisect_left(self._keys, change.key), change.key)
            self._live[change.key] = change.entry
        self._log.append(change)

    def _state_at(self, revision: Revision) -> dict[str, Entry]:
        """What lived at `revision`, found by undoing what came later."""
        live = dict(self._live)
        for change in reversed(self._log[self._index(revision) :]):
            if change.previous is None:
                del live[change.key]
            else:
                live[change.key] = change.previous
        return live

    async def _history(self, start: str, end: str | None, after: Revision, upto: Revision) -> Changes:
        self._check_open()
        if after < self._oldest:
            raise Compacted(after, self._oldest)
        changes: list[Change] = []
        for change in self._log[self._index(after) : self._index(upto)]:
            if change.key < start or (end is not None and change.key >= end):
                continue
            if len(changes) >= _REPLAY_CHANGES and change.revision > changes[-1].revision:
                return Changes(changes, changes[-1].revision)
            changes.append(change)
        return Changes(changes, upto)

    def _index(self, revision: Revision) -> int:
        """How many changes of the log are at or before `revision`."""
        return bisect_right(self._log, revision, key=lambda change: change.revision)

    def _check_revision(self, revision: Revision) -> None:
        if revision < self._oldest:
            raise Compacted(revision, self._oldest)
        if revision > self._feed.revision:
            raise FutureRevision(revision, self._feed.revision)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")

    async def _delete_expired(self, now: float) -> None:
        while self._expiring and self._expiring[0][0] <= now:
            _, revision, key = heapq.heappop(self._expiring)
            with suppress(StaleRevision):  # written since: lives on by its new terms
                await self.delete(key, expected=revision)
