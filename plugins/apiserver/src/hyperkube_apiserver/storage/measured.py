"""A store whose writes are timed: how long each took, and which failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyperkube_machinery.storage.interface import KeyExists, StaleRevision, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from hyperkube_machinery.serving.metrics import Counter, Histogram
    from hyperkube_machinery.storage.interface import Entry, Revision, Store

    T = TypeVar("T")

__all__ = ["MeasuredStore", "Operation"]


class Operation:
    """What is measured of one kind of write to one resource."""

    __slots__ = ("durations", "errors")

    def __init__(self, durations: Histogram, errors: Counter) -> None:
        self.durations = durations
        self.errors = errors


class MeasuredStore:
    """One resource's view of a Store: writes are timed, all else is passed on as it is."""

    def __init__(
        self,
        store: Store,
        *,
        create: Operation,
        update: Operation,
        delete: Operation,
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._create = create
        self._update = update
        self._delete = delete
        self._monotonic = monotonic
        self.revision = store.revision
        self.get = store.get
        self.range = store.range
        self.watch = store.watch
        self.compact = store.compact
        self.check = store.check
        self.is_stale = store.is_stale

    async def create(self, key: str, value: bytes, *, ttl_seconds: float | None = None) -> Entry:
        return await self._timed(self._create, self._store.create(key, value, ttl_seconds=ttl_seconds))

    async def update(self, key: str, value: bytes, *, expected: Revision, ttl_seconds: float | None = None) -> Entry:
        write = self._store.update(key, value, expected=expected, ttl_seconds=ttl_seconds)
        return await self._timed(self._update, write)

    async def delete(self, key: str, *, expected: Revision) -> Revision:
        return await self._timed(self._delete, self._store.delete(key, expected=expected))

    async def _timed(self, operation: Operation, write: Awaitable[T]) -> T:
        began = self._monotonic()
        try:
            return await write
        except (KeyExists, StaleRevision):  # an answer like any other
            raise
        except StoreError:
            operation.errors.inc()
            raise
        finally:
            operation.durations.observe(self._monotonic() - began)
