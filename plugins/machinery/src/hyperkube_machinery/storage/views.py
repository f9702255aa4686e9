"""Reading, and writing, several keys at once: functions that are called with a view of the store.

    store.read(function)       called on one state of the store, which may be a past one by the time it is
    store.transact(function)   called on the newest, between two writes; what it writes has one revision, or none of it
                               is written where it raises

A function is called in a thread that is not the event loop's, and should be quick.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from hyperkube_machinery.storage.interface import Change, Changes, Entry, Revision, Store

__all__ = ["Done", "EmbeddedStore", "Found", "View", "Work", "WritingView"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found:
    """Entries in order of their keys, of how many."""

    entries: Sequence[Entry]
    count: int


class View(Protocol):
    """One state of the store."""

    @property
    def revision(self) -> Revision:
        """Of the newest write, not counting those of the function itself."""

    @property
    def oldest(self) -> Revision:
        """Where history begins."""

    def get(self, key: str) -> Entry | None:
        """What lives at a key."""

    def range(
        self, start: str, end: str | None, *, limit: int = 0, revision: Revision | None = None, values: bool = True
    ) -> Found:
        """What lives from `start` up to `end`, None for the end of all; without `values`, those are empty.

        `limit` 0 is none, below 0 counts only. Raises Compacted or FutureRevision.
        """

    def kept_at(self, revision: Revision, start: str, end: str | None) -> Sequence[Change]:
        """What is left of the changes of one revision, which compaction may have left of the last one it took."""

    def ttl(self, lease: int) -> int | None:
        """For how many seconds a lease was granted; None where there is none."""

    def leases(self) -> Sequence[tuple[int, int]]:
        """The leases and their times to live, in seconds."""

    def leased(self) -> Sequence[tuple[str, int]]:
        """The keys of the entries that live by a lease, and which."""


class WritingView(View, Protocol):
    """The newest state, which sees what the function itself has written."""

    @property
    def changes(self) -> Sequence[Change]:
        """What was written so far."""

    def put(self, key: str, value: bytes, *, lease: int = 0) -> Change:
        """Write `value` at a key, whatever lives there. Each key is written once."""

    def delete(self, key: str) -> Change | None:
        """Delete what lives at a key; None where nothing does."""

    def grant(self, lease: int, ttl_seconds: int) -> None:
        """Keep a lease."""

    def revoke(self, lease: int) -> None:
        """Forget a lease. Its keys are the function's affair."""


@dataclass(frozen=True, slots=True)
class Work:
    """A function to be called between two writes."""

    function: Callable[[WritingView], Any]
    adds: bool  # whether it may take room: on a full disk, it is refused then


@dataclass(frozen=True, slots=True)
class Done:
    """What a function returned, and wrote."""

    result: Any
    changes: Sequence[Change]


class EmbeddedStore(Store, Protocol):
    """A store in this process, of which more can be asked than of any."""

    async def read(self, function: Callable[[View], T]) -> T:
        """What `function` returns."""

    async def read_here(self, function: Callable[[View], T]) -> T:
        """The same, called on the event loop: for what takes microseconds."""

    async def transact(self, function: Callable[[WritingView], T], *, adds: bool = True) -> T:
        """What `function` returns, once all that it wrote is durable. Raises what it raises, and Unavailable."""

    def follow(self, start: str, end: str | None, *, after: Revision) -> AsyncGenerator[Changes, None]:
        """As `watch`, from `start` up to `end`. The changes of one revision come together."""

    async def size(self) -> tuple[int, int]:
        """Bytes that the store takes, and those of them that are in use."""
