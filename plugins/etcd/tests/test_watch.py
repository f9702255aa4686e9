"""Watch: replay, filters, progress, cancellation."""

from __future__ import annotations

import asyncio

import pytest

from hyperkube_machinery.testing.clock import VirtualClock

from .conftest import Client, serving

pytestmark = pytest.mark.anyio

ALL = b"\0"
NOBODY = -1


async def test_a_watch_tells_what_happens_from_now_on(etcd: Client) -> None:
    await etcd.put(b"before")
    async with etcd.watching(key=b"a", range_end=b"b") as watch:
        await etcd.put(b"a", b"1")
        await etcd.put(b"c", b"1")
        await etcd.ask("KV/DeleteRange", key=b"a")
        assert await watch.events(2) == [(0, b"a", 3), (1, b"a", 5)]


async def test_a_watch_tells_what_happened_since_a_revision_with_what_was_before(etcd: Client) -> None:
    for value in (b"1", b"2", b"3"):
        await etcd.put(b"a", value)
    async with etcd.watching(key=b"a", start_revision=3, prev_kv=True) as watch:
        events = (await watch.next())["events"]
    assert [(event["kv"]["value"], event["prev_kv"]["value"]) for event in events] == [(b"2", b"1"), (b"3", b"2")]


@pytest.mark.parametrize(("filters", "told"), [([0], [(1, b"a", 3)]), ([1], [(0, b"a", 2), (0, b"b", 4)])])
async def test_filters(etcd: Client, filters: list[int], told: list[tuple[int, bytes, int]]) -> None:
    async with etcd.watching(key=ALL, range_end=ALL, filters=filters) as watch:
        await etcd.put(b"a")
        await etcd.ask("KV/DeleteRange", key=b"a")
        await etcd.put(b"b")
        assert await watch.events(len(told)) == told


async def test_a_watch_of_what_was_compacted_is_canceled(etcd: Client) -> None:
    for _ in range(5):
        await etcd.put(b"a")
    await etcd.ask("KV/Compact", "Compaction", revision=4)
    async with etcd.watching(key=b"a", start_revision=3) as watch:
        answer = await watch.next()
    assert (answer["canceled"], answer["compact_revision"]) == (True, 4)
    async with etcd.watching(key=b"a", start_revision=4) as watch:
        assert await watch.events(3) == [(0, b"a", 4), (0, b"a", 5), (0, b"a", 6)]


async def test_a_deletion_that_compaction_ends_with_is_told(etcd: Client) -> None:
    await etcd.put(b"a")
    await etcd.ask("KV/DeleteRange", key=b"a")
    await etcd.ask("KV/Compact", "Compaction", revision=3)
    async with etcd.watching(key=b"a", start_revision=3) as watch:
        assert await watch.events(1) == [(1, b"a", 3)]


async def test_watches_of_one_stream_have_numbers_and_are_canceled_by_them(etcd: Client) -> None:
    async with etcd.watching(key=b"a") as watch:
        await watch.ask(create_request={"key": b"b", "watch_id": 7})
        answer = await watch.next()
        assert (answer["watch_id"], answer["created"]) == (7, True)
        await watch.ask(create_request={"key": b"b", "watch_id": 7})
        answer = await watch.next()
        assert (answer["watch_id"], answer["canceled"]) == (NOBODY, True)
        assert answer["cancel_reason"] == "mvcc: duplicate watch ID provided on the WatchStream"
        await watch.ask(cancel_request={"watch_id": 0})
        answer = await watch.next()
        assert (answer["watch_id"], answer["canceled"], answer["created"]) == (0, True, False)
        await etcd.put(b"a")
        await etcd.put(b"b")
        answer = await watch.next()
        assert (answer["watch_id"], answer["events"][0]["kv"]["key"]) == (7, b"b")


async def test_an_empty_range_is_not_watched(etcd: Client) -> None:
    async with etcd.watching() as watch:
        await watch.ask(create_request={"key": b"b", "range_end": b"a"})
        answer = await watch.next()
    assert (answer["canceled"], answer["cancel_reason"]) == (True, "mvcc: watcher range is empty")


async def test_who_asks_is_told_how_far_all_watches_are_behind_their_events(etcd: Client) -> None:
    async with etcd.watching(key=b"a") as watch:
        for _ in range(20):
            await etcd.put(b"a")
            revision = await etcd.put(b"elsewhere")
            await watch.ask(progress_request={})
            told: list[int] = []
            while True:
                answer = await watch.next()
                if answer["watch_id"] == NOBODY:
                    break
                told += [event["kv"]["mod_revision"] for event in answer["events"]]
            assert answer["header"]["revision"] >= revision
            assert told == [revision - 1]


async def test_silent_watches_that_ask_for_it_are_told_how_far_they_are(etcd: Client, clock: VirtualClock) -> None:
    async with etcd.watching(key=b"a", progress_notify=True) as watch:
        revision = await etcd.put(b"elsewhere")
        await clock.until_sleeping(600)
        await clock.advance(600)
        answer = await watch.next()
    assert (answer["watch_id"], answer["events"], answer["header"]["revision"]) == (0, [], revision)


async def test_a_large_answer_comes_in_fragments_to_those_who_ask_for_them(clock: VirtualClock) -> None:
    async with serving(clock, largest_request=10_000) as etcd:
        for number in range(6):
            await etcd.put(b"%d" % number, b"x" * 4000)
        async with etcd.watching(key=ALL, range_end=ALL, start_revision=1, fragment=True) as watch:
            parts = [await watch.next() for _ in range(3)]
        assert [len(part["events"]) for part in parts] == [2, 2, 2]
        assert [part["fragment"] for part in parts] == [True, True, False]
        async with etcd.watching(key=ALL, range_end=ALL, start_revision=1) as watch:
            assert len((await watch.next())["events"]) == 6


async def test_many_watches_are_told_of_the_same(etcd: Client) -> None:
    async with etcd.watching() as watch:
        for number in range(100):
            await watch.ask(create_request={"key": b"a", "watch_id": number + 1})
        for _ in range(100):
            assert (await watch.next())["created"]
        put = asyncio.create_task(etcd.put(b"a"))
        told = {(await watch.next())["watch_id"] for _ in range(100)}
        await put
    assert told == set(range(1, 101))
