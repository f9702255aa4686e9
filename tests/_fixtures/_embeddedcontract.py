"""What is asked of a store that is in this process, besides StoreContract: several keys in one transaction, leases."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial

import pytest
from _storecontract import changes_upto, keys

from hyperkube_machinery.storage.interface import Change, Compacted, Entry, FutureRevision, Revision, StoreError
from hyperkube_machinery.storage.views import EmbeddedStore, Found, View, WritingView

__all__ = ["EmbeddedContract"]


def _all(view: View, revision: Revision | None) -> Found:
    return view.range("/", "0", revision=revision)


class EmbeddedContract:
    """A subclass has the fixture `store`."""

    pytestmark = pytest.mark.anyio

    async def test_what_is_written_together_has_one_revision(self, store: EmbeddedStore) -> None:
        old = await store.create("/b", b"old")

        def write(view: WritingView) -> list[int]:
            assert view.revision == 2
            view.put("/a", b"1")
            view.put("/b", b"2", lease=7)
            assert view.delete("/none") is None
            return [change.revision for change in view.changes]

        assert await store.transact(write) == [3, 3]
        a = Entry("/a", b"1", Revision(3), Revision(3), 1)
        b = Entry("/b", b"2", Revision(2), Revision(3), 2, 7)
        assert (await store.range("/")).entries == [a, b]
        assert await store.revision() == 3
        assert (await store.create("/c", b"")).mod_revision == 4
        assert (await store.range("/", revision=Revision(2))).entries == [old]
        async with aclosing(store.watch("/", after=Revision(2))) as watch:
            first = await anext(watch)
        assert list(first.changes)[:2] == [Change("/a", Revision(3), a, None), Change("/b", Revision(3), b, old)]

    async def test_a_function_sees_what_it_has_written(self, store: EmbeddedStore) -> None:
        await store.create("/a", b"1")
        await store.create("/z", b"1")

        def work(view: WritingView) -> list[object]:
            view.put("/b", b"2")
            view.delete("/a")
            found = view.range("/", "0")
            return [view.get("/a"), keys(found.entries), found.count, keys(view.range("/", "0", limit=1).entries)]

        assert await store.transact(work) == [None, ["/b", "/z"], 2, ["/b"]]

    async def test_a_function_that_raises_has_written_nothing_and_disturbs_no_other(self, store: EmbeddedStore) -> None:
        class Refusal(StoreError):
            pass

        def fail(view: WritingView) -> None:
            view.put("/a", b"")
            view.grant(1, 10)
            raise Refusal

        outcomes = await asyncio.gather(
            store.create("/before", b""),
            store.transact(fail),
            store.transact(lambda view: view.put("/good", b"").revision),
            store.create("/after", b""),
            return_exceptions=True,
        )
        assert isinstance(outcomes[1], Refusal)
        assert keys((await store.range("/")).entries) == ["/after", "/before", "/good"]
        assert await store.revision() == 4
        assert await store.read(lambda view: list(view.leases())) == []

    async def test_functions_and_writes_follow_one_another(self, store: EmbeddedStore) -> None:
        def add(view: WritingView) -> int:
            entry = view.get("/sum")
            total = int(entry.value) + 1 if entry is not None else 1
            view.put("/sum", b"%d" % total)
            return total

        totals = await asyncio.gather(*(store.transact(add) for _ in range(100)))
        assert sorted(totals) == list(range(1, 101))
        assert (await store.revision()) == 101

    async def test_what_was_deleted_together_is_told_together_however_much_it_is(self, store: EmbeddedStore) -> None:
        def fill(view: WritingView) -> None:
            for number in range(2000):
                view.put(f"/{number:04}", b"x" * 10)

        def clear(view: WritingView) -> int:
            return sum(view.delete(entry.key) is not None for entry in view.range("/", "0").entries)

        await store.transact(fill)
        assert await store.transact(clear) == 2000
        async with aclosing(store.follow("/", "0", after=Revision(2))) as watch:
            batch = await anext(watch)
        assert [len(batch.changes), batch.revision] == [2000, 3]
        async with aclosing(store.follow("/", "0", after=Revision(1))) as watch:
            told = await changes_upto(watch, Revision(3))
        assert [change.revision for change in told] == [2] * 2000 + [3] * 2000
        await store.compact(Revision(3))
        assert (await store.range("/")).entries == []

    async def test_a_watch_follows_any_range(self, store: EmbeddedStore) -> None:
        async with aclosing(store.follow("/b", "/c", after=Revision(1))) as watch:
            for key in ("/a", "/b", "/bb", "/c"):
                await store.create(key, b"")
            assert [change.key for change in await changes_upto(watch, Revision(5))] == ["/b", "/bb"]
        async with aclosing(store.follow("/bb", None, after=Revision(1))) as watch:
            assert [change.key for change in await changes_upto(watch, Revision(5))] == ["/bb", "/c"]

    async def test_a_view_reads_any_revision_there_is(self, store: EmbeddedStore) -> None:
        first = await store.create("/a", b"1")
        second = await store.update("/a", b"2", expected=first.mod_revision)
        for revision, found in ((2, [first]), (3, [second]), (None, [second])):
            at = None if revision is None else Revision(revision)
            assert (await store.read(partial(_all, revision=at))).entries == found
        counted = await store.read(lambda view: view.range("/", "0", limit=-1))
        assert (list(counted.entries), counted.count) == ([], 1)
        bare = await store.read(lambda view: view.range("/", "0", values=False))
        assert [entry.value for entry in bare.entries] == [b""]
        with pytest.raises(FutureRevision):
            await store.read(lambda view: view.range("/", "0", revision=Revision(4)))
        await store.compact(Revision(3))
        with pytest.raises(Compacted):
            await store.read_here(lambda view: view.range("/", "0", revision=Revision(2)))

    async def test_leases_are_kept_and_told_with_their_keys(self, store: EmbeddedStore) -> None:
        def grant(view: WritingView) -> None:
            view.grant(5, 60)
            view.grant(-(1 << 62), 9)
            view.put("/a", b"", lease=5)
            view.put("/b", b"")

        await store.transact(grant)
        assert sorted(await store.read(lambda view: view.leases())) == [(-(1 << 62), 9), (5, 60)]
        assert list(await store.read(lambda view: view.leased())) == [("/a", 5)]
        await store.transact(lambda view: view.revoke(5))
        assert list(await store.read(lambda view: view.leases())) == [(-(1 << 62), 9)]

    async def test_bytes_that_are_no_text_are_keys_too(self, store: EmbeddedStore) -> None:
        names = [bytes([byte, other]).decode("latin-1") for byte in (0, 47, 127, 128, 255) for other in (0, 200, 255)]
        for name in reversed(names):
            await store.create(name, b"")
        assert keys((await store.range("")).entries) == names
        found = await store.read(lambda view: view.range("\x80", "\xff\xff"))
        assert keys(found.entries) == [name for name in names if "\x80" <= name < "\xff\xff"]
