"""The hub: one watch on the store that keeps every watch cache equal to it."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from time import perf_counter
from typing import Any, NoReturn

from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_apiserver.watchcache.item import Event
from hyperkube_apiserver.watchcache.watcher import Watcher
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.storage.interface import Change, Compacted, Revision, Store

__all__ = ["Hub", "SendBookmarks"]

log = logging.getLogger(__name__)

ROOT = "/registry/"
SWEEP_SECONDS = 1.0
SLICE_SECONDS = 0.1
HELD_SECONDS = 0.002
"""How long changes are taken over before others have their turn: what one costs depends on who watches, and how."""
SendBookmarks = Callable[[WatchCache, int, Sequence[Watcher]], None]
"""Tells watchers of a cache that they have come to a revision."""
PAGE_ENTRIES = 500
"""How many objects are read at a time when the caches are filled."""


class Hub:
    """Feeds the caches of all resources from one watch, so that one revision says how far all of them are."""

    def __init__(
        self,
        store: Store,
        caches: Iterable[WatchCache],
        clock: Clock,
        *,
        stopwatch: Callable[[], float] = perf_counter,
    ) -> None:
        """`stopwatch` measures how long the event loop is held, which no other clock than the machine's knows."""
        self.store = store
        self.revision = Revision(0)
        self._caches = list(caches)
        self._clock = clock
        self._stopwatch = stopwatch
        self._by_segment: dict[str, list[tuple[str, WatchCache]]] = {}
        self._filling: dict[WatchCache, list[Change]] = {}  # with what happened since their filling began
        self._opening: dict[WatchCache, asyncio.Future[None]] = {}
        for cache in self._caches:
            self._route(cache)
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tickets = 0
        self.ending = False  # whether watches end as soon as they have begun
        self._bookmark: SendBookmarks = lambda cache, revision, watchers: None

    @property
    def caches(self) -> Sequence[WatchCache]:
        """Those that are kept up to date, or filled to be."""
        return self._caches

    async def open(self, cache: WatchCache) -> None:
        """Fill a cache while the hub runs, unless it is, and keep it up to date from now on until `drop`.

        The cache shows what lived at a revision that this waits for, so that it agrees with `revision` as all do.
        """
        if cache.live:
            return
        opening = self._opening.get(cache)
        if opening is None:
            self._route(cache)
            self._filling[cache] = []
            opening = self._opening[cache] = asyncio.ensure_future(self._open(cache))
            opening.add_done_callback(lambda done: self._opening.pop(cache, None))
        await asyncio.shield(opening)

    async def _open(self, cache: WatchCache) -> None:
        try:
            prefix = cache.kind.storage_prefix + "/"
            page = await self.store.range(prefix, limit=PAGE_ENTRIES)
            while True:
                for entry in page.entries:
                    cache.load(entry)
                if not page.remaining:
                    break
                last = page.entries[-1].key
                page = await self.store.range(prefix, after=last, limit=PAGE_ENTRIES, revision=page.revision)
            await self.reached(page.revision)
        except BaseException:
            self._unroute(cache)
            self._filling.pop(cache, None)
            raise
        if cache not in self._filling:  # it was dropped meanwhile
            return
        # From here on nothing is awaited: what comes next meets a cache that shows all before it.
        cache.start(page.revision)
        for change in self._filling.pop(cache):
            if change.revision > page.revision:
                cache.apply(change)
        self._caches.append(cache)

    def drop(self, cache: WatchCache) -> None:
        """Keep a cache up to date no longer; its watches end."""
        self._filling.pop(cache, None)
        self._caches = [one for one in self._caches if one is not cache]
        self._unroute(cache)
        cache.live = False
        for watcher in cache.watchers:
            watcher.finish()

    def _route(self, cache: WatchCache) -> None:
        prefix = cache.kind.storage_prefix + "/"
        self._by_segment.setdefault(prefix.split("/", 3)[2], []).append((prefix, cache))

    def _unroute(self, cache: WatchCache) -> None:
        segment = cache.kind.storage_prefix.split("/", 3)[2]
        left = [one for one in self._by_segment.get(segment, ()) if one[1] is not cache]
        if left:
            self._by_segment[segment] = left
        else:
            self._by_segment.pop(segment, None)

    def on_bookmark(self, send: SendBookmarks) -> None:
        """Call `send` whenever bookmarks are due."""
        self._bookmark = send

    @asynccontextmanager
    async def running(self, *beside: Callable[[], Coroutine[Any, Any, NoReturn]]) -> AsyncIterator[None]:
        """Fill the caches, then keep them up to date for the length of the block, and run `beside` as long.

        The block is cancelled, and the error raised, should the store's watch fail, for a cache that stands still
        must not be served from; or should anything of `beside`.
        """
        await self._fill()
        try:
            async with asyncio.TaskGroup() as tasks:
                follow = tasks.create_task(self._follow(), name="watch cache")
                sweep = tasks.create_task(self._sweep(), name="watch deadlines")
                companions = [tasks.create_task(start()) for start in beside]
                try:
                    yield
                finally:
                    for task in (follow, sweep, *companions):
                        task.cancel()
                    self.finish_watchers()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # whatever failed first made the others end

    async def fresh(self) -> None:
        """Return once the caches show every write that was durable when this was called."""
        newest = await self.store.revision()
        if self.revision < newest:
            await self.reached(newest)

    async def reached(self, revision: int) -> None:
        """Return once the caches have come to `revision`."""
        if self.revision >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tickets += 1
        place = (revision, self._tickets, future)
        insort(self._waiting, place)
        try:
            await future
        except asyncio.CancelledError:  # what it waits for may never come
            at = bisect_left(self._waiting, place)
            if self._waiting[at : at + 1] == [place]:
                del self._waiting[at]
            raise

    async def reached_within(self, revision: int, seconds: float) -> bool:
        """Whether the caches have come to `revision`, after waiting up to `seconds` for it."""
        if self.revision >= revision:
            return True
        reached = asyncio.ensure_future(self.reached(revision))
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((reached, timer), return_when=asyncio.FIRST_COMPLETED)
            return reached.done()
        finally:
            reached.cancel()
            timer.cancel()

    def finish_watchers(self) -> None:
        """End every watch, and those still to come, as the server stops."""
        self.ending = True
        for watcher in self._watchers():
            watcher.finish()

    async def finish_watchers_over(self, seconds: float, *, per_second: float) -> None:
        """End every watch one after another, over at most `seconds`, though not fewer than `per_second`."""
        self.ending = True
        watchers = self._watchers()
        if seconds > 0:
            at_once = max(1, round(max(per_second, len(watchers) / seconds) * SLICE_SECONDS))
            for start in range(0, len(watchers), at_once):
                for watcher in watchers[start : start + at_once]:
                    watcher.finish()
                await self._clock.sleep(SLICE_SECONDS)
        self.finish_watchers()

    def _watchers(self) -> list[Watcher]:
        return [watcher for cache in self._caches for watcher in cache.watchers]

    async def history(self, cache: WatchCache, *, after: int, until: int) -> list[Event]:
        """The events of one resource later than `after`, up to `until`, from the store's history.

        Raises Compacted if it does not go back so far.
        """
        events: list[Event] = []
        if after >= until:
            return events
        prefix = cache.kind.storage_prefix + "/"
        async with aclosing(self.store.watch(prefix, after=Revision(after))) as changes:
            async for batch in changes:
                events += [cache.event_of(change) for change in batch.changes if change.revision <= until]
                if batch.revision >= until:
                    break
        return events

    async def _fill(self) -> None:
        page = await self.store.range(ROOT, limit=PAGE_ENTRIES)
        while True:
            for entry in page.entries:
                cache = self._cache_of(entry.key)
                if cache is not None:
                    cache.load(entry)
            if not page.remaining:
                break
            last = page.entries[-1].key
            page = await self.store.range(ROOT, after=last, limit=PAGE_ENTRIES, revision=page.revision)
        for cache in self._caches:
            cache.start(page.revision)
        self.revision = page.revision

    def _cache_of(self, key: str) -> WatchCache | None:
        segment = key.split("/", 3)[2] if key.startswith(ROOT) else ""
        for prefix, cache in self._by_segment.get(segment, ()):
            if key.startswith(prefix):
                return cache
        return None

    async def _follow(self) -> None:
        try:
            held = 0.0  # the loop, since others had their turn
            async for batch in self.store.watch(ROOT, after=self.revision):
                since = self._stopwatch() - held
                for change in batch.changes:
                    cache = self._cache_of(change.key)
                    if cache is not None:
                        waiting = self._filling.get(cache) if self._filling else None
                        if waiting is None:
                            cache.apply(change)
                        else:
                            waiting.append(change)
                    held = self._stopwatch() - since
                    if held >= HELD_SECONDS:
                        self._come_to(change.revision)
                        await asyncio.sleep(0)
                        since, held = self._stopwatch(), 0.0
                self._come_to(batch.revision)
        except Compacted as exc:
            raise RuntimeError("the watch cache fell behind the store's history") from exc

    def _come_to(self, revision: Revision) -> None:
        """Tell that the caches show all up to `revision`."""
        self.revision = revision
        while self._waiting and self._waiting[0][0] <= revision:
            future = self._waiting.pop(0)[2]
            if not future.done():
                future.set_result(None)

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            now = self._clock.monotonic()
            for cache in self._caches:
                due = []
                for watcher in cache.watchers:
                    if watcher.expires <= now:
                        watcher.finish()
                    elif watcher.bookmark_at <= now and watcher.live:
                        watcher.bookmarked(now)
                        due.append(watcher)
                if due:
                    self._bookmark(cache, self.revision, due)
                    await asyncio.sleep(0)
