"""The key space in memory, for tests and for servers that need not outlive their process."""

from __future__ import annotations

import asyncio
import heapq
from bisect import bisect_left
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING

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
from hyperkube_machinery.storage.writes import FIRST_REVISION, Write, after_prefix, decide

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from hyperkube_machinery.clock import Clock

__all__ = ["MemoryStore"]

_REPLAY_CHANGES = 512


class MemoryStore:
    """A Store that ends with its process. Made by `open`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._live: dict[str, Entry] = {}
        self._keys: list[str] = []  # of _live, sorted
        self._log: list[Change] = []  # the change of every revision above _oldest, in order
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
        current = self._feed.revision
        if revision is None or revision == current:
            live, keys, revision = self._live, self._keys, current
        else:
            self._check_revision(revision)
            live = self._state_at(revision)
            keys = sorted(live)
        end = after_prefix(prefix)
        first = bisect_left(keys, max(prefix, after + "\0" if after else ""))
        last = len(keys) if end is None else bisect_left(keys, end)
        last = max(first, last)
        stop = min(last, first + limit) if limit else last
        return Page([live[key] for key in keys[first:stop]], revision, last - stop)

    async def create(self, key: str, value: bytes, *, ttl_seconds: float | None = None) -> Entry:
        return await self._put(Write.lasting(key, value, None, ttl_seconds=ttl_seconds, now=self._clock.now()))

    async def update(self, key: str, value: bytes, *, expected: Revision, ttl_seconds: float | None = None) -> Entry:
        return await self._put(Write.lasting(key, value, expected, ttl_seconds=ttl_seconds, now=self._clock.now()))

    async def delete(self, key: str, *, expected: Revision) -> Revision:
        change = self._commit(Write(key, None, expected))
        await asyncio.sleep(0)
        return change.revision

    def watch(self, prefix: str, *, after: Revision) -> AsyncGenerator[Changes, None]:
        return self._feed.watch(prefix, after)

    async def check(self) -> None:
        self._check_open()

    async def compact(self, revision: Revision) -> None:
        self._check_open()
        if revision <= self._oldest:
            raise Compacted(revision, self._oldest)
        self._check_revision(revision)
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
        if change.entry is None:
            del self._live[write.key]
            del self._keys[bisect_left(self._keys, write.key)]
        else:
            if change.previous is None:
                self._keys.insert(bisect_left(self._keys, write.key), write.key)
            self._live[write.key] = change.entry
        if write.expires is not None:
            heapq.heappush(self._expiring, (write.expires, change.revision, write.key))
        self._log.append(change)
        self._feed.publish((change,), change.revision)
        return change

    def _state_at(self, revision: Revision) -> dict[str, Entry]:
        """What lived at `revision`, found by undoing what came later."""
        live = dict(self._live)
        for change in reversed(self._log[self._index(revision) :]):
            if change.previous is None:
                del live[change.key]
            else:
                live[change.key] = change.previous
        return live

    async def _history(self, prefix: str, after: Revision, upto: Revision) -> Changes:
        self._check_open()
        if after < self._oldest:
            raise Compacted(after, self._oldest)
        later = self._log[self._index(after) : self._index(upto)]
        changes = list(islice((change for change in later if change.key.startswith(prefix)), _REPLAY_CHANGES))
        return Changes(changes, changes[-1].revision if len(changes) == _REPLAY_CHANGES else upto)

    def _index(self, revision: Revision) -> int:
        """How many changes of the log are at or before `revision`."""
        return max(0, revision - max(self._oldest, FIRST_REVISION))

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
