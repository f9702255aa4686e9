"""From commit to watchers: the newest changes in memory, everything older from history.

A watcher has no buffer, only a position. It reads the shared tail of newest changes while it keeps up; one that falls
behind reads history until it has caught up. So no number of slow watchers costs more memory than the tail, and while
all of them have seen everything there is none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from hyperkube_machinery.storage.interface import Change, Changes, Revision, Unavailable

__all__ = ["TAIL_BYTES", "Feed", "History"]

# (start, end, after, upto): the first changes from `start` up to `end` that are later than `after`, and how far they
# tell: `upto` or less. Raises Compacted.
History = Callable[[str, str | None, Revision, Revision], Awaitable[Changes]]

TAIL_BYTES = 4 * 1024 * 1024
_CHANGE_BYTES = 300  # of a change besides its values, roughly


class Feed:
    """Tells watchers of durable changes, in order. Used by one event loop."""

    def __init__(self, revision: Revision, history: History) -> None:
        self.revision = revision  # published so far
        self._history = history
        self._tail: deque[tuple[Changes, int]] = deque()  # with the bytes that each holds
        self._tail_after = revision  # the tail tells everything later than this
        self.held_bytes = 0  # by the tail, of values
        self._watching = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._ended: str | None = None

    def publish(self, changes: Sequence[Change], revision: Revision) -> None:
        """Tell of what was committed together; `revision` is that of the last."""
        self.revision = revision
        if not self._watching:
            self._forget_tail()
            return
        size = sum(map(_size, changes))
        self._tail.append((Changes(changes, revision), size))
        self.held_bytes += size
        while self.held_bytes > TAIL_BYTES and len(self._tail) > 1:
            dropped, size = self._tail.popleft()
            self._tail_after = dropped.revision
            self.held_bytes -= size
        self._wake()

    def advance(self, revision: Revision) -> None:
        """Tell that history goes up to `revision` now, without having its changes at hand."""
        if revision > self.revision:
            self.revision = revision
            self._forget_tail()
            self._wake()

    def end(self, why: str) -> None:
        """Watchers get Unavailable from now on."""
        self._ended = why
        self._wake()

    async def watch(self, start: str, end: str | None, after: Revision) -> AsyncGenerator[Changes, None]:
        """See Store.watch, of the keys from `start` up to `end`."""
        position = after
        replayed = False  # whether it was told of everything there was, once
        self._watching += 1
        try:
            if position <= self.revision:
                await self._history(start, end, position, position)  # for Compacted, which the tail knows nothing of
            while True:
                if self._ended is not None:
                    raise Unavailable(self._ended)
                # A reader may know of a revision that is durable and not yet published: it waits for that here.
                if position > self.revision or (position == self.revision and replayed):
                    if len(self._waiting) + 1 == self._watching:  # nobody is left to tell of what there was
                        self._forget_tail()
                    await self._changed()
                    continue
                if position == self.revision:
                    batch = Changes((), position)
                elif position >= self._tail_after:
                    batch = self._from_tail(start, end, position)
                else:
                    batch = await self._history(start, end, position, self.revision)
                position = batch.revision
                replayed = replayed or position >= self.revision
                yield batch
        finally:
            self._watching -= 1
            if not self._watching:
                self._forget_tail()

    def _from_tail(self, start: str, end: str | None, after: Revision) -> Changes:
        missed = []
        for batch, _ in reversed(self._tail):
            if batch.revision <= after:
                break
            missed.append(batch)
        missed.reverse()
        return Changes(
            [
                change
                for batch in missed
                for change in batch.changes
                if change.revision > after and change.key >= start and (end is None or change.key < end)
            ],
            self.revision,
        )

    async def _changed(self) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            raise

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _forget_tail(self) -> None:
        self._tail.clear()
        self.held_bytes = 0
        self._tail_after = self.revision


def _size(change: Change) -> int:
    size = _CHANGE_BYTES
    if change.entry is not None:
        size += len(change.entry.value)
    if change.previous is not None:
        size += len(change.previous.value)
    return size
