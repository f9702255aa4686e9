"""What the API server relies on; every Store passes all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing

import pytest
from _storemodel import Model, Step, plans
from hypothesis import HealthCheck, given, settings

from hyperkube_machinery.storage.expiry import SWEEP_SECONDS
from hyperkube_machinery.storage.interface import (
    Change,
    Changes,
    Compacted,
    Entry,
    FutureRevision,
    KeyExists,
    Revision,
    StaleRevision,
    Store,
    Unavailable,
)
from hyperkube_machinery.testing.clock import VirtualClock

Opening = Callable[[], AbstractAsyncContextManager[Store]]
"""Opens a store that is empty, and another one each time."""


async def changes_upto(watch: AsyncGenerator[Changes, None], revision: Revision) -> list[Change]:
    """The changes that the watch tells until it has told of `revision`."""
    found: list[Change] = []
    async for batch in watch:
        found.extend(batch.changes)
        if batch.revision >= revision:
            break
    return found


async def all_changes(store: Store, prefix: str, *, after: Revision) -> list[Change]:
    async with aclosing(store.watch(prefix, after=after)) as watch:
        return await changes_upto(watch, await store.revision())


def keys(entries: Sequence[Entry]) -> list[str]:
    return [entry.key for entry in entries]


class StoreContract:
    """A subclass has the fixture `opening`."""

    others_write = False  # so that revisions are skipped now and then

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    async def store(self, opening: Opening) -> AsyncIterator[Store]:
        async with opening() as store:
            yield store

    # Writes

    async def test_an_empty_store_is_at_a_revision_above_zero(self, store: Store) -> None:
        assert await store.revision() == 1
        assert await store.get("/a") is None
        page = await store.range("")
        assert (page.entries, page.revision, page.remaining) == ([], 1, 0)

    async def test_what_was_created_is_found(self, store: Store) -> None:
        entry = await store.create("/pods/a", b"1")
        assert entry == Entry("/pods/a", b"1", Revision(2), Revision(2), 1)
        assert await store.get("/pods/a") == entry
        assert await store.revision() == 2

    async def test_a_key_is_created_once(self, store: Store) -> None:
        first = await store.create("/a", b"1")
        with pytest.raises(KeyExists) as raised:
            await store.create("/a", b"2")
        assert raised.value.key == "/a"
        assert await store.get("/a") == first
        assert await store.revision() == first.mod_revision

    async def test_an_update_counts_versions_and_keeps_the_revision_of_creation(self, store: Store) -> None:
        first = await store.create("/a", b"1")
        await store.create("/b", b"1")
        second = await store.update("/a", b"2", expected=first.mod_revision)
        assert second == Entry("/a", b"2", first.create_revision, Revision(4), 2)
        assert await store.get("/a") == second

    async def test_an_update_of_what_changed_meanwhile_is_refused_and_told_what_lives(self, store: Store) -> None:
        first = await store.create("/a", b"1")
        second = await store.update("/a", b"2", expected=first.mod_revision)
        with pytest.raises(StaleRevision) as raised:
            await store.update("/a", b"3", expected=first.mod_revision)
        assert raised.value.current == second
        assert await store.revision() == second.mod_revision

    @pytest.mark.parametrize("expected", [0, 1, 2, 99])
    async def test_what_does_not_live_is_neither_updated_nor_deleted(self, store: Store, expected: int) -> None:
        with pytest.raises(StaleRevision) as raised:
            await store.update("/a", b"1", expected=Revision(expected))
        assert raised.value.current is None
        with pytest.raises(StaleRevision):
            await store.delete("/a", expected=Revision(expected))
        assert await store.get("/a") is None

    async def test_what_was_deleted_is_gone_and_begins_anew_when_created_again(self, store: Store) -> None:
        first = await store.create("/a", b"1")
        await store.update("/a", b"2", expected=first.mod_revision)
        with pytest.raises(StaleRevision):
            await store.delete("/a", expected=first.mod_revision)
        assert await store.delete("/a", expected=Revision(3)) == 4
        assert await store.get("/a") is None
        assert await store.create("/a", b"3") == Entry("/a", b"3", Revision(5), Revision(5), 1)

    async def test_of_many_who_create_one_key_one_succeeds(self, store: Store) -> None:
        outcomes = await asyncio.gather(
            *(store.create("/a", b"%d" % number) for number in range(50)), return_exceptions=True
        )
        winners = [outcome for outcome in outcomes if isinstance(outcome, Entry)]
        assert len(winners) == 1
        assert sum(isinstance(outcome, KeyExists) for outcome in outcomes) == 49
        assert await store.get("/a") == winners[0]

    async def test_of_many_who_update_one_revision_one_succeeds(self, store: Store) -> None:
        first = await store.create("/a", b"")
        outcomes = await asyncio.gather(
            *(store.update("/a", b"%d" % number, expected=first.mod_revision) for number in range(50)),
            return_exceptions=True,
        )
        winners = [outcome for outcome in outcomes if isinstance(outcome, Entry)]
        assert len(winners) == 1
        refusals = [outcome for outcome in outcomes if isinstance(outcome, StaleRevision)]
        assert {refusal.current for refusal in refusals} == {winners[0]}

    async def test_every_write_has_a_revision_of_its_own(self, store: Store) -> None:
        entries = await asyncio.gather(*(store.create(f"/{number:03}", b"") for number in range(300)))
        assert sorted(entry.mod_revision for entry in entries) == list(range(2, 302))

    async def test_a_write_whose_caller_gave_up_disturbs_no_other(self, store: Store) -> None:
        given_up = asyncio.create_task(store.create("/given-up", b""))
        others = [asyncio.create_task(store.create(f"/{number}", b"")) for number in range(10)]
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(*others)
        assert len((await store.range("/")).entries) >= 10

    @pytest.mark.parametrize("value", [b"", bytes(range(256)), b"x" * 3_000_000], ids=["empty", "binary", "large"])
    async def test_values_come_back_as_they_were(self, store: Store, value: bytes) -> None:
        entry = await store.create("/a", value)
        await store.delete("/a", expected=entry.mod_revision)
        assert (await all_changes(store, "/", after=Revision(1)))[0].entry == Entry(
            "/a", value, entry.mod_revision, entry.mod_revision, 1
        )

    @pytest.mark.parametrize("key", ["", "/\ud800"])
    async def test_what_is_no_key_is_refused(self, store: Store, key: str) -> None:
        with pytest.raises(ValueError, match=r"key|surrogates"):
            await store.create(key, b"")
        assert await store.revision() == 1

    # Ranges

    async def test_keys_are_in_order_of_their_bytes(self, store: Store) -> None:
        names = ["A", "B", "a", "a\0", "a\0b", "a ", "aa", "z", "é", "ퟻ", "\ue000", "\uffff", "\U00010000", "\U0010ffff"]
        for name in reversed(names):
            await store.create(f"/{name}", b"")
        assert keys((await store.range("/")).entries) == sorted((f"/{name}" for name in names), key=str.encode)

    async def test_a_range_has_what_begins_with_the_prefix(self, store: Store) -> None:
        for key in ["/pod", "/pods/a", "/pods/b", "/pods0", "/podsets/a", "/q", "/\U0010ffff", "/\U0010ffff\U0010ffff"]:
            await store.create(key, b"")
        assert keys((await store.range("/pods/")).entries) == ["/pods/a", "/pods/b"]
        assert keys((await store.range("/pods")).entries) == ["/pods/a", "/pods/b", "/pods0", "/podsets/a"]
        assert keys((await store.range("/\U0010ffff")).entries) == ["/\U0010ffff", "/\U0010ffff\U0010ffff"]
        assert len((await store.range("")).entries) == 8
        await store.create("\ud7ff", b"")  # the last code point before the surrogates, which have no UTF-8
        assert keys((await store.range("\ud7ff")).entries) == ["\ud7ff"]
        assert keys((await store.range("/pods/a")).entries) == ["/pods/a"]

    async def test_a_limited_range_says_how_many_remain(self, store: Store) -> None:
        for number in range(10):
            await store.create(f"/{number}", b"")
        await store.create("0", b"")
        page = await store.range("/", limit=4)
        assert (keys(page.entries), page.remaining) == (["/0", "/1", "/2", "/3"], 6)
        page = await store.range("/", after="/3", limit=4)
        assert (keys(page.entries), page.remaining) == (["/4", "/5", "/6", "/7"], 2)
        page = await store.range("/", after="/7", limit=4)
        assert (keys(page.entries), page.remaining) == (["/8", "/9"], 0)
        page = await store.range("/", after="/6", limit=3)
        assert (keys(page.entries), page.remaining) == (["/7", "/8", "/9"], 0)

    async def test_a_range_begins_after_a_key_that_need_not_live_nor_be_in_it(self, store: Store) -> None:
        for key in ["/b/1", "/b/2", "/b/3"]:
            await store.create(key, b"")
        assert keys((await store.range("/b/", after="/a")).entries) == ["/b/1", "/b/2", "/b/3"]
        assert keys((await store.range("/b/", after="/b/11")).entries) == ["/b/2", "/b/3"]
        page = await store.range("/b/", after="/c", limit=1)
        assert (page.entries, page.remaining) == ([], 0)

    async def test_pages_of_one_revision_fit_together_whatever_is_written_meanwhile(self, store: Store) -> None:
        entries = [await store.create(f"/{number}", b"old") for number in range(6)]
        first = await store.range("/", limit=2)
        await store.delete("/2", expected=entries[2].mod_revision)
        await store.update("/4", b"new", expected=entries[4].mod_revision)
        await store.create("/25", b"new")
        second = await store.range("/", after="/1", limit=2, revision=first.revision)
        third = await store.range("/", after="/3", limit=2, revision=first.revision)
        assert [*first.entries, *second.entries, *third.entries] == entries
        assert [page.remaining for page in (first, second, third)] == [4, 2, 0]
        assert {page.revision for page in (first, second, third)} == {first.revision}

    async def test_every_revision_can_be_read_as_it_was(self, store: Store) -> None:
        a1 = await store.create("/a", b"1")
        b = await store.create("/b", b"1")
        a2 = await store.update("/a", b"2", expected=a1.mod_revision)
        a3 = await store.update("/a", b"3", expected=a2.mod_revision)
        await store.delete("/b", expected=b.mod_revision)
        await store.delete("/a", expected=a3.mod_revision)
        a4 = await store.create("/a", b"4")
        states = [(await store.range("/", revision=Revision(revision))).entries for revision in range(1, 9)]
        assert states == [[], [a1], [a1, b], [a2, b], [a3, b], [a3], [], [a4]]

    async def test_a_revision_to_come_can_not_be_read(self, store: Store) -> None:
        with pytest.raises(FutureRevision) as raised:
            await store.range("/", revision=Revision(2))
        assert (raised.value.revision, raised.value.current) == (2, 1)

    # Watches

    async def test_watch_replays_changes_made_before_it_began(self, store: Store) -> None:
        first = await store.create("/pods/a", b"1")
        second = await store.create("/pods/b", b"2")
        assert await all_changes(store, "/pods/", after=first.mod_revision) == [
            Change("/pods/b", second.mod_revision, second, None)
        ]

    async def test_a_change_has_what_lived_there_before(self, store: Store) -> None:
        first = await store.create("/a", b"1")
        second = await store.update("/a", b"2", expected=first.mod_revision)
        third = await store.delete("/a", expected=second.mod_revision)
        fourth = await store.create("/a", b"4")
        expected = [
            Change("/a", first.mod_revision, first, None),
            Change("/a", second.mod_revision, second, first),
            Change("/a", third, None, second),
            Change("/a", fourth.mod_revision, fourth, None),
        ]
        assert await all_changes(store, "/", after=Revision(1)) == expected

    async def test_changes_made_while_watching_are_told_as_those_replayed(self, store: Store) -> None:
        async with aclosing(store.watch("/", after=Revision(1))) as watch:
            assert (await anext(watch)).changes == ()
            first = await store.create("/a", b"1")
            second = await store.update("/a", b"2", expected=first.mod_revision)
            third = await store.delete("/a", expected=second.mod_revision)
            live = await changes_upto(watch, third)
        assert live == await all_changes(store, "/", after=Revision(1))
        assert live[2] == Change("/a", third, None, second)

    async def test_a_watch_that_has_nothing_to_replay_says_so_at_once(self, store: Store) -> None:
        await store.create("/other/a", b"1")
        for after in (1, 2):
            async with aclosing(store.watch("/pods/", after=Revision(after))) as watch:
                batch = await anext(watch)
                assert not batch.changes
                assert batch.revision >= 2 if self.others_write else batch.revision == 2

    async def test_a_watch_tells_of_its_prefix_only_yet_how_far_it_is(self, store: Store) -> None:
        async with aclosing(store.watch("/pods/", after=Revision(1))) as watch:
            await store.create("/pods/a", b"")
            await store.create("/podsets/a", b"")
            last = await store.create("/services/a", b"")
            assert [change.key for change in await changes_upto(watch, last.mod_revision)] == ["/pods/a"]

    async def test_a_watch_after_a_revision_to_come_begins_there(self, store: Store) -> None:
        async with aclosing(store.watch("/", after=Revision(3))) as watch:
            told = asyncio.create_task(changes_upto(watch, Revision(5)))
            for number in range(4):
                await store.create(f"/{number}", b"")
            assert [change.revision for change in await told] == [4, 5]

    async def test_watches_begun_at_any_moment_of_a_load_miss_and_repeat_nothing(self, store: Store) -> None:
        total = 400
        written: list[Revision] = []
        followed: list[tuple[Revision, list[Revision]]] = []

        async def write(worker: int) -> None:
            for number in range(total // 8):
                written.append((await store.create(f"/{worker}/{number}", b"x" * 100)).mod_revision)

        async def follow(after: Revision) -> None:
            told: list[Change] = []
            async with aclosing(store.watch("/", after=after)) as watch:
                async for batch in watch:
                    told.extend(batch.changes)
                    if told and told[-1].key == "/end":
                        break
            followed.append((after, [change.revision for change in told]))

        async with asyncio.TaskGroup() as tasks:
            writers = [tasks.create_task(write(worker)) for worker in range(8)]
            while not all(writer.done() for writer in writers):
                tasks.create_task(follow(await store.revision()))
                tasks.create_task(follow(Revision(1)))
                await store.range("/", limit=1)
                await asyncio.sleep(0)
            written.append((await store.create("/end", b"")).mod_revision)
        for after, revisions in followed:
            assert revisions == sorted(revision for revision in written if revision > after)

    async def test_a_slow_watcher_is_told_all_and_others_do_not_wait_for_it(self, store: Store) -> None:
        value = b"x" * 200_000
        async with aclosing(store.watch("/", after=Revision(1))) as slow:
            await anext(slow)
            async with aclosing(store.watch("/", after=Revision(1))) as quick:
                entry = await store.create("/a", value)
                written = [entry.mod_revision]
                for _ in range(60):  # more than a store keeps at hand
                    entry = await store.update("/a", value, expected=entry.mod_revision)
                    written.append(entry.mod_revision)
                    assert (await changes_upto(quick, entry.mod_revision))[-1].entry == entry
            told = await changes_upto(slow, entry.mod_revision)
        assert [change.revision for change in told] == written

    async def test_a_watcher_that_gives_up_leaves_the_others(self, store: Store) -> None:
        async with (
            aclosing(store.watch("/", after=Revision(1))) as leaving,
            aclosing(store.watch("/", after=Revision(1))) as staying,
        ):
            await anext(staying)
            task = asyncio.create_task(changes_upto(leaving, Revision(99)))
            await anext(store.watch("/", after=Revision(1)))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            entry = await store.create("/a", b"")
            assert len(await changes_upto(staying, entry.mod_revision)) == 1

    async def test_watchers_are_told_before_the_write_is_answered(self, store: Store) -> None:
        told: list[str] = []

        async def follow() -> None:
            async with aclosing(store.watch("/", after=Revision(1))) as watch:
                async for batch in watch:
                    told.extend(change.key for change in batch.changes)
                    ready.set()

        ready = asyncio.Event()
        following = asyncio.create_task(follow())
        await ready.wait()
        for number in range(5):
            await store.create(f"/{number}", b"")
            assert told[-1] == f"/{number}"
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following

    # Compaction

    async def test_compaction_forgets_history_and_keeps_what_lives(self, store: Store) -> None:
        first = await store.create("/a", b"1")
        gone = await store.create("/gone", b"")
        await store.delete("/gone", expected=gone.mod_revision)
        second = await store.update("/a", b"2", expected=first.mod_revision)
        third = await store.update("/a", b"3", expected=second.mod_revision)
        await store.compact(second.mod_revision)
        assert (await store.range("/")).entries == [third]
        assert (await store.range("/", revision=second.mod_revision)).entries == [second]
        with pytest.raises(Compacted) as raised:
            await store.range("/", revision=Revision(second.mod_revision - 1))
        assert (raised.value.revision, raised.value.oldest) == (second.mod_revision - 1, second.mod_revision)
        assert await store.revision() == third.mod_revision

    async def test_a_watch_begins_after_what_was_compacted_or_is_refused(self, store: Store) -> None:
        entry = await store.create("/a", b"1")
        for _ in range(3):
            entry = await store.update("/a", b"2", expected=entry.mod_revision)
        await store.compact(Revision(4))
        with pytest.raises(Compacted):
            await anext(store.watch("/", after=Revision(3)))
        (change,) = await all_changes(store, "/", after=Revision(4))
        assert change.previous is not None
        assert (change.revision, change.previous.mod_revision) == (5, 4)

    async def test_a_watch_that_was_overtaken_by_compaction_is_told_so_or_told_all(self, store: Store) -> None:
        entry = await store.create("/a", b"x" * 100_000)
        async with aclosing(store.watch("/", after=Revision(1))) as watch:
            seen = [change.revision for change in (await anext(watch)).changes]
            written = [entry.mod_revision]
            for _ in range(100):
                entry = await store.update("/a", b"x" * 100_000, expected=entry.mod_revision)
                written.append(entry.mod_revision)
            await store.compact(entry.mod_revision)
            try:
                seen += [change.revision for change in await changes_upto(watch, entry.mod_revision)]
            except Compacted:
                assert seen == written[:1]
            else:
                assert seen == written

    async def test_revisions_go_on_after_everything_was_deleted_and_compacted(self, store: Store) -> None:
        entry = await store.create("/a", b"1")
        revision = await store.delete("/a", expected=entry.mod_revision)
        await store.compact(revision)
        assert await store.revision() == revision
        assert (await store.create("/a", b"2")).mod_revision == revision + 1

    async def test_history_is_compacted_forwards_only_and_not_beyond_now(self, store: Store) -> None:
        for number in range(4):
            await store.create(f"/{number}", b"")
        await store.compact(Revision(3))
        for revision in (2, 3):
            with pytest.raises(Compacted):
                await store.compact(Revision(revision))
        with pytest.raises(FutureRevision):
            await store.compact(Revision(await store.revision() + 100))
        await store.compact(Revision(5))

    async def test_writes_and_watches_go_on_during_compaction(self, store: Store) -> None:
        entry = await store.create("/a", b"")
        for _ in range(200):
            entry = await store.update("/a", b"", expected=entry.mod_revision)
        async with aclosing(store.watch("/", after=entry.mod_revision)) as watch:
            compaction = asyncio.create_task(store.compact(entry.mod_revision))
            created = [await store.create(f"/{number}", b"") for number in range(20)]
            await compaction
            told = await changes_upto(watch, created[-1].mod_revision)
        assert [change.entry for change in told] == created

    # Time to live

    async def pass_time(self, clock: VirtualClock, seconds: float) -> None:
        """Let time pass, and a little more for the store to notice. A backend with a clock of its own waits instead."""
        for step in (seconds, SWEEP_SECONDS):
            await clock.until_sleeping(SWEEP_SECONDS)
            await clock.advance(step)

    async def test_a_key_is_deleted_when_its_time_has_come(self, store: Store, clock: VirtualClock) -> None:
        entry = await store.create("/short", b"", ttl_seconds=60)
        await store.create("/lasting", b"")
        async with aclosing(store.watch("/", after=Revision(3))) as watch:
            await self.pass_time(clock, 58)
            await clock.until_sleeping(SWEEP_SECONDS)
            assert await store.get("/short") == entry
            await self.pass_time(clock, 2)
            (change,) = await changes_upto(watch, Revision(4))
        assert (change.key, change.entry, change.previous) == ("/short", None, entry)
        assert keys((await store.range("/")).entries) == ["/lasting"]

    async def test_an_update_sets_the_time_to_live_anew_or_ends_it(self, store: Store, clock: VirtualClock) -> None:
        a = await store.create("/a", b"", ttl_seconds=10)
        b = await store.create("/b", b"", ttl_seconds=10)
        await store.create("/c", b"", ttl_seconds=10)
        await store.update("/a", b"", expected=a.mod_revision)
        await store.update("/b", b"", expected=b.mod_revision, ttl_seconds=100)
        async with aclosing(store.watch("/", after=Revision(6))) as watch:
            await self.pass_time(clock, 20)
            assert [change.key for change in await changes_upto(watch, Revision(7))] == ["/c"]
            assert keys((await store.range("/")).entries) == ["/a", "/b"]
            await self.pass_time(clock, 100)
            assert [change.key for change in await changes_upto(watch, Revision(8))] == ["/b"]

    async def test_a_key_created_again_has_nothing_of_its_former_life(self, store: Store, clock: VirtualClock) -> None:
        entry = await store.create("/a", b"", ttl_seconds=10)
        await store.delete("/a", expected=entry.mod_revision)
        await store.compact(Revision(3))
        again = await store.create("/a", b"")
        await store.create("/b", b"", ttl_seconds=10)
        async with aclosing(store.watch("/", after=Revision(5))) as watch:
            await self.pass_time(clock, 20)
            assert [change.key for change in await changes_upto(watch, Revision(6))] == ["/b"]
        assert await store.get("/a") == again

    @pytest.mark.parametrize("seconds", [0, -1, float("nan")])
    async def test_a_time_to_live_is_above_zero(self, store: Store, seconds: float) -> None:
        with pytest.raises(ValueError, match="time to live"):
            await store.create("/a", b"", ttl_seconds=seconds)

    # The end

    async def test_a_closed_store_refuses_and_ends_its_watches(self, opening: Opening) -> None:
        async with opening() as store:
            entry = await store.create("/a", b"")
            watch = store.watch("/", after=Revision(2))
            await anext(watch)
            waiting = asyncio.create_task(changes_upto(watch, Revision(99)))
            await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await waiting
        for refused in (
            store.get("/a"),
            store.revision(),
            store.range("/"),
            store.create("/b", b""),
            store.update("/a", b"", expected=entry.mod_revision),
            store.delete("/a", expected=entry.mod_revision),
            store.compact(Revision(2)),
        ):
            with pytest.raises(Unavailable):
                await refused

    async def test_writes_under_way_are_finished_before_the_store_closes(self, opening: Opening) -> None:
        async with opening() as store:
            writes = [asyncio.create_task(store.create(f"/{number}", b"")) for number in range(100)]
            await asyncio.sleep(0)
        assert len(await asyncio.gather(*writes)) == 100

    # Everything at once

    def test_a_store_behaves_as_its_model(self, opening: Opening) -> None:
        async def follow(plan: list[Step]) -> None:
            async with opening() as store:
                await Model(store, skips=self.others_write).follow(plan)

        @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
        @given(plans)
        def check(plan: list[Step]) -> None:
            asyncio.run(follow(plan))

        check()
