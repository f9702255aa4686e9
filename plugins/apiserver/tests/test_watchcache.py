"""What the watch cache keeps of objects beside their bytes."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import orjson
import pytest

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_machinery.storage.interface import Entry, Page, Revision, Unavailable
from hyperkube_machinery.storage.memory import MemoryStore
from hyperkube_machinery.testing.clock import VirtualClock

KIND = load_kinds()["", "v1", "configmaps"]


@pytest.fixture
def cache() -> WatchCache:
    return WatchCache(KIND, lambda tree: {})


def entry(cache: WatchCache, name: str, labels: dict[str, str] | None) -> Entry:
    metadata = {"name": name, "namespace": "ns", "uid": "u", **({"labels": labels} if labels is not None else {})}
    stored = cache.prefix + orjson.dumps({"metadata": metadata})[1:]
    return Entry(KIND.key("ns", name), stored, Revision(1), Revision(1), 1)


def test_objects_with_the_same_labels_share_them(cache: WatchCache) -> None:
    one, same, other, without = (
        cache.item_of(entry(cache, name, labels))
        for name, labels in (("a", {"app": "x"}), ("b", {"app": "x"}), ("c", {"app": "y"}), ("d", None))
    )
    assert one.labels is same.labels
    assert (one.labels, other.labels, without.labels) == ({"app": "x"}, {"app": "y"}, {})


def test_objects_of_a_namespace_share_its_name(cache: WatchCache) -> None:
    one, other = (cache.item_of(entry(cache, name, None)) for name in ("a", "b"))
    assert one.namespace == "ns"
    assert one.namespace is other.namespace
    assert one.fields == {"metadata.name": "a", "metadata.namespace": "ns"}


def test_very_many_different_labels_are_right_and_not_all_remembered(cache: WatchCache) -> None:
    items = [cache.item_of(entry(cache, f"n{number}", {"app": str(number)})) for number in range(1000)]
    assert [item.labels["app"] for item in items] == [str(number) for number in range(1000)]
    assert len(cache._known_labels) < 1000


@pytest.mark.anyio
async def test_changes_that_take_long_let_others_have_their_turn_between_them(cache: WatchCache) -> None:
    clock, readings = VirtualClock(), count()
    store = MemoryStore(clock)
    turns, seen = 0, list[int]()
    cache.observe(lambda event: seen.append(turns))
    async with Hub(store, [cache], clock, stopwatch=lambda: 0.0015 * next(readings)).running():
        names = [f"n{number}" for number in range(20)]
        writes = [store.create(KIND.key("ns", name), entry(cache, name, None).value) for name in names]
        written = asyncio.gather(*writes)
        while len(seen) < len(names):
            turns += 1
            await asyncio.sleep(0)
        await written
    assert max(map(seen.count, seen)) <= 2


class Slow(MemoryStore):
    """Hands out pages when it is told to."""

    gate: asyncio.Event | None = None

    async def range(self, *args: Any, **options: Any) -> Page:
        page = await super().range(*args, **options)
        if self.gate is not None:
            await self.gate.wait()
        return page


@pytest.mark.anyio
async def test_a_cache_that_is_opened_late_misses_nothing_that_happens_meanwhile(cache: WatchCache) -> None:
    clock = VirtualClock()
    store = Slow(clock)

    def write(name: str) -> Any:
        return store.create(KIND.key("ns", name), entry(cache, name, None).value)

    hub = Hub(store, [], clock)
    async with hub.running():
        for name in ("b", "a"):
            await write(name)
        store.gate = asyncio.Event()
        opening = [asyncio.create_task(hub.open(cache)) for _ in range(3)]
        await asyncio.sleep(0)
        await write("c")
        gone = await store.get(KIND.key("ns", "a"))
        assert gone is not None
        await store.delete(gone.key, expected=gone.mod_revision)
        assert not cache.live
        store.gate.set()
        await asyncio.gather(*opening)
        await hub.fresh()
        assert [item.name for item in cache.items()] == ["b", "c"]
        assert (cache.live, list(hub.caches)) == (True, [cache])
        await write("d")
        await hub.fresh()
        assert len(cache) == 3
        hub.drop(cache)
        await write("e")
        await hub.fresh()
        assert (cache.live, list(hub.caches), len(cache)) == (False, [], 3)


@pytest.mark.anyio
async def test_a_cache_that_can_not_be_filled_can_be_filled_later(cache: WatchCache) -> None:
    class Failing(MemoryStore):
        fails = False

        async def range(self, *args: Any, **options: Any) -> Page:
            if self.fails:
                raise Unavailable("no")
            return await super().range(*args, **options)

    clock = VirtualClock()
    store = Failing(clock)
    hub = Hub(store, [], clock)
    async with hub.running():
        await store.create(KIND.key("ns", "a"), entry(cache, "a", None).value)
        store.fails = True
        with pytest.raises(Unavailable):
            await hub.open(cache)
        store.fails = False
        await hub.open(cache)
        assert [item.name for item in cache.items()] == ["a"]
