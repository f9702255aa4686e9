"""Writes of one kind's objects to the store: the cache is told of them beforehand, reservations share their end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hyperkube_apiserver.registry.strategy import NO_RESERVATION, Reservation
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery.storage.interface import Entry, Revision, Store

__all__ = ["Commits"]

Tree = dict[str, Any]


class Commits:
    """Creates and replaces what `cache` shows."""

    def __init__(self, store: Store, cache: WatchCache, ttl_seconds: float | None) -> None:
        """What is written lives for `ttl_seconds`, if that is given."""
        self._store = store
        self._cache = cache
        self._ttl_seconds = ttl_seconds
        self._running: set[asyncio.Future[Entry]] = set()

    async def create(self, key: str, stored: bytes, tree: Tree, reservation: Reservation) -> Revision:
        """Write `stored`, which `tree` was encoded to. Raises KeyExists."""
        write = self._store.create(key, stored, ttl_seconds=self._ttl_seconds)
        return (await self._carried_out(key, stored, tree, write, reservation)).mod_revision

    async def replace(self, item: Item, stored: bytes, tree: Tree, reservation: Reservation) -> Revision:
        """Write it in the place of `item`. Raises StaleRevision."""
        write = self._store.update(item.key, stored, expected=Revision(item.revision), ttl_seconds=self._ttl_seconds)
        return (await self._carried_out(item.key, stored, tree, write, reservation)).mod_revision

    async def _carried_out(
        self, key: str, stored: bytes, tree: Tree, write: Coroutine[Any, Any, Entry], reservation: Reservation
    ) -> Entry:
        """The outcome of a write.

        A write can't be called back. Where something is reserved, it is waited for even if the caller goes away, so
        that nothing is given up which the store has.
        """
        self._cache.announce(key, stored, tree)
        try:
            if reservation is NO_RESERVATION:
                return await write
            task = asyncio.ensure_future(write)
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            task.add_done_callback(lambda done: _settle(reservation, done))
            return await asyncio.shield(task)
        except BaseException:
            self._cache.withdraw(key)
            raise


def _settle(reservation: Reservation, write: asyncio.Future[Entry]) -> None:
    if write.cancelled() or write.exception() is not None:
        reservation.release()
    else:
        reservation.commit()
