"""What watchers are told, and what it costs that they are slow."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from hyperkube_machinery.storage.feed import TAIL_BYTES, Feed
from hyperkube_machinery.storage.interface import Change, Changes, Entry, Revision

pytestmark = pytest.mark.anyio


def put(revision: int, size: int = 1) -> Change:
    at = Revision(revision)
    return Change("/a", at, Entry("/a", b"x" * size, at, at, 1), None)


class History:
    """A store's history that counts how often it is read."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.reads: list[tuple[int, int]] = []

    async def __call__(self, start: str, end: str | None, after: Revision, upto: Revision) -> Changes:
        self.reads.append((after, upto))
        return Changes([change for change in self.changes if after < change.revision <= upto], upto)


@pytest.fixture
def history() -> History:
    return History()


@pytest.fixture
def feed(history: History) -> Feed:
    return Feed(Revision(1), history)


def publish(feed: Feed, history: History, *changes: Change) -> None:
    history.changes.extend(changes)
    feed.publish(changes, changes[-1].revision)


async def test_who_keeps_up_never_reads_history(feed: Feed, history: History) -> None:
    async with aclosing(feed.watch("/", "0", Revision(1))) as watch:
        await anext(watch)
        history.reads.clear()
        for revision in range(2, 50):
            publish(feed, history, put(revision))
            assert [change.revision for change in (await anext(watch)).changes] == [revision]
    assert history.reads == []


async def test_who_is_a_little_behind_gets_what_was_missed_at_once(feed: Feed, history: History) -> None:
    async with aclosing(feed.watch("/", "0", Revision(1))) as watch:
        await anext(watch)
        history.reads.clear()
        for revision in range(2, 50):
            publish(feed, history, put(revision))
        batch = await anext(watch)
    assert ([change.revision for change in batch.changes], batch.revision) == (list(range(2, 50)), 49)
    assert history.reads == []


async def test_a_watch_that_begins_within_what_was_committed_together_gets_the_rest(
    feed: Feed, history: History
) -> None:
    async with (
        aclosing(feed.watch("/", "0", Revision(1))) as other,
        aclosing(feed.watch("/", "0", Revision(3))) as watch,
    ):
        await anext(other)
        told = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        publish(feed, history, put(2), put(3), put(4), put(5))
        assert [change.revision for change in (await told).changes] == [4, 5]


async def test_who_is_far_behind_reads_history_and_keeps_nothing_in_memory(feed: Feed, history: History) -> None:
    size = TAIL_BYTES // 10
    async with aclosing(feed.watch("/", "0", Revision(1))) as watch:
        await anext(watch)
        for revision in range(2, 100):
            publish(feed, history, put(revision, size))
            assert feed.held_bytes <= TAIL_BYTES
        history.reads.clear()
        batch = await anext(watch)
        assert [change.revision for change in batch.changes] == list(range(2, 100))
        assert history.reads == [(1, 99)]
        publish(feed, history, put(100))
        assert [change.revision for change in (await anext(watch)).changes] == [100]
        assert len(history.reads) == 1
    assert feed.held_bytes == 0


async def test_nothing_is_held_while_nobody_watches(feed: Feed, history: History) -> None:
    publish(feed, history, put(2, 1000))
    assert feed.held_bytes == 0


async def test_what_was_durable_before_it_was_published_is_waited_for(feed: Feed, history: History) -> None:
    async with aclosing(feed.watch("/", "0", Revision(3))) as watch:
        told = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        assert not told.done()
        publish(feed, history, put(2), put(3))
        assert await told == Changes((), Revision(3))


async def test_what_came_to_be_known_by_its_revision_only_is_read_from_history(feed: Feed, history: History) -> None:
    async with aclosing(feed.watch("/", "0", Revision(1))) as watch:
        await anext(watch)
        history.changes.append(put(2))
        feed.advance(Revision(2))
        assert [change.revision for change in (await anext(watch)).changes] == [2]
        publish(feed, history, put(3))
        assert [change.revision for change in (await anext(watch)).changes] == [3]


async def test_nothing_is_held_while_everybody_has_seen_everything(feed: Feed, history: History) -> None:
    async with (
        aclosing(feed.watch("/", "0", Revision(1))) as quick,
        aclosing(feed.watch("/", "0", Revision(1))) as slow,
    ):
        for watch in (quick, slow):
            await anext(watch)
        publish(feed, history, put(2, size=100))
        await anext(quick)
        waiting = [asyncio.ensure_future(anext(quick))]
        await asyncio.sleep(0)
        assert feed.held_bytes > 0  # for the slow one
        await anext(slow)
        waiting.append(asyncio.ensure_future(anext(slow)))
        await asyncio.sleep(0)
        assert feed.held_bytes == 0
        history.reads.clear()
        publish(feed, history, put(3))
        told = await asyncio.gather(*waiting)
    assert [[change.revision for change in batch.changes] for batch in told] == [[3], [3]]
    assert history.reads == []
