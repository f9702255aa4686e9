"""The key space that the API server stores in. It is etcd's: every backend behaves like etcd where they meet.

Keys are text. Whoever has bytes for keys takes them for Latin-1, which keeps their order and loses nothing.

One counter of revisions orders all writes. A key's entry knows the revision that created it, the one that last wrote
it, and how many writes it has seen since. History is kept until it is compacted: ranges can be read, and watches
begun, at any revision since.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

__all__ = [
    "Change",
    "Changes",
    "Compacted",
    "Entry",
    "FutureRevision",
    "KeyExists",
    "NoSpace",
    "Page",
    "Revision",
    "StaleRevision",
    "Store",
    "StoreError",
    "Unavailable",
]

Revision = NewType("Revision", int)


class StoreError(Exception):
    """The store did not do what it was asked."""


class KeyExists(StoreError):
    """Something lives at the key already."""

    def __init__(self, key: str) -> None:
        super().__init__(f"key exists: {key}")
        self.key = key


class StaleRevision(StoreError):
    """The key was written, or deleted, since the revision that the write expected; `current` is what lives there."""

    def __init__(self, key: str, current: Entry | None) -> None:
        super().__init__(f"key changed: {key}")
        self.key = key
        self.current = current


class Compacted(StoreError):
    """History as far back as `revision` is gone; it begins after `oldest`."""

    def __init__(self, revision: Revision, oldest: Revision) -> None:
        super().__init__(f"revision {revision} was compacted; history begins after {oldest}")
        self.revision = revision
        self.oldest = oldest


class FutureRevision(StoreError):
    """Nothing was written at `revision` yet; the newest is `current`."""

    def __init__(self, revision: Revision, current: Revision) -> None:
        super().__init__(f"revision {revision} is in the future; the newest is {current}")
        self.revision = revision
        self.current = current


class Unavailable(StoreError):
    """The store can't write or read now (a broken disk); whether a write took place is in its message."""


class NoSpace(Unavailable):
    """There is no room for more: nothing was written, and until there is room, keys can only be deleted."""

    def __init__(self) -> None:
        super().__init__("etcdserver: mvcc: database space exceeded")  # as clients know it


@dataclass(frozen=True, slots=True)
class Entry:
    """What lives at a key."""

    key: str
    value: bytes
    create_revision: Revision
    mod_revision: Revision
    version: int  # 1 when created
    lease: int = 0  # that it ends with; 0 for none


@dataclass(frozen=True, slots=True)
class Change:
    """One write: a put has an entry, a deletion has none; `previous` is what lived there before."""

    key: str
    revision: Revision
    entry: Entry | None
    previous: Entry | None


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes in order of revision, and how far they tell: no later change is at or below `revision`."""

    changes: Sequence[Change]
    revision: Revision


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in order of their keys (bytewise), as they were at `revision`."""

    entries: Sequence[Entry]
    revision: Revision
    remaining: int  # how many of the range follow those


class Store(Protocol):
    """The key space. Every method may raise Unavailable."""

    async def revision(self) -> Revision:
        """The revision of the newest durable write."""

    async def get(self, key: str) -> Entry | None:
        """What lives at `key`, as of the newest durable write."""

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, revision: Revision | None = None) -> Page:
        """The entries whose key begins with `prefix` and is greater than `after`, at most `limit` of them (0: all).

        At `revision`, or as of the newest durable write. Raises Compacted or FutureRevision. A long range is one
        answer: who wants little memory asks for pages.
        """

    async def create(self, key: str, value: bytes, *, ttl_seconds: float | None = None) -> Entry:
        """Write `value` at a key nothing lives at, or raise KeyExists. Durable when it returns.

        After `ttl_seconds` (above 0) the store deletes the key by itself, which watchers see as any deletion. Whoever
        gives up waiting for a write, of any kind, does not learn whether it took place.
        """

    async def update(self, key: str, value: bytes, *, expected: Revision, ttl_seconds: float | None = None) -> Entry:
        """Write `value` at a key last written at `expected`, or raise StaleRevision. Durable when it returns."""

    async def delete(self, key: str, *, expected: Revision) -> Revision:
        """Delete a key last written at `expected`, or raise StaleRevision. Durable when it returns: its revision."""

    def watch(self, prefix: str, *, after: Revision) -> AsyncGenerator[Changes, None]:
        """Every change under `prefix` later than `after`, durable, in order, for ever.

        What was committed together comes together, to those who keep up; now and then comes an empty batch, for its
        revision only: one comes at the latest when history has been replayed, so that a reader knows that it has seen
        all of it. A slow reader costs no memory: it reads on from history.
        Raises Compacted if history that far back is gone.
        """

    async def is_stale(self, key: str) -> bool:
        """Whether what lives at `key` is to be written again, changed or not: it would be stored otherwise now."""

    async def check(self) -> None:
        """Raise Unavailable, or NoSpace, if writes would be refused now."""

    async def compact(self, revision: Revision) -> None:
        """Forget history at and before `revision`; what lives stays. Raises Compacted or FutureRevision."""
