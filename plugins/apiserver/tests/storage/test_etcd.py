"""The store in a real etcd."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from _etcds import running_etcd
from _storecontract import Opening, StoreContract, changes_upto

from hyperkube_apiserver.storage.etcd.store import EtcdStore
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.grpc import Channel, Endpoint
from hyperkube_machinery.storage.interface import Revision, Store

pytestmark = pytest.mark.anyio

QUICK = ("--unsafe-no-fsync", "--max-request-bytes=20000000", "--log-level=error")


def channel(port: int) -> Channel:
    return Channel(Endpoint(host="127.0.0.1", port=port), SystemClock(), largest=1 << 30)


class TestEtcdStore(StoreContract):
    others_write = True  # the markers of an etcd that can't be asked how far watches are

    @pytest.fixture
    def opening(self) -> Opening:
        @asynccontextmanager
        async def open_empty() -> AsyncIterator[Store]:
            with tempfile.TemporaryDirectory(prefix="hk-etcd-") as folder:
                async with (
                    running_etcd(Path(folder), *QUICK) as etcd,
                    EtcdStore.open(channel(etcd.port), SystemClock()) as store,
                ):
                    await store.ask_version()
                    yield store

        return open_empty

    # etcd's clock is its own, and so are its watchers.

    async def test_a_key_is_deleted_when_its_time_has_come(self, store: Store) -> None:  # type: ignore[override]
        entry = await store.create("/short", b"", ttl_seconds=1)
        await store.create("/lasting", b"")
        async with aclosing(store.watch("/", after=Revision(3))) as watch:
            (change,) = await changes_upto(watch, Revision(4))
        assert (change.key, change.entry, change.previous) == ("/short", None, entry)
        assert [kept.key for kept in (await store.range("/")).entries] == ["/lasting"]

    async def test_an_update_sets_the_time_to_live_anew_or_ends_it(self, store: Store) -> None:  # type: ignore[override]
        a = await store.create("/a", b"", ttl_seconds=1)
        b = await store.create("/b", b"", ttl_seconds=1)
        await store.create("/c", b"", ttl_seconds=1)
        await store.update("/a", b"", expected=a.mod_revision)
        await store.update("/b", b"", expected=b.mod_revision, ttl_seconds=100)
        async with aclosing(store.watch("/", after=Revision(6))) as watch:
            assert [change.key for change in await changes_upto(watch, Revision(7))] == ["/c"]
        assert [kept.key for kept in (await store.range("/")).entries] == ["/a", "/b"]

    async def test_a_key_created_again_has_nothing_of_its_former_life(  # type: ignore[override]
        self, store: Store
    ) -> None:
        entry = await store.create("/a", b"", ttl_seconds=1)
        await store.delete("/a", expected=entry.mod_revision)
        await store.compact(Revision(3))
        again = await store.create("/a", b"")
        await store.create("/b", b"", ttl_seconds=1)
        async with aclosing(store.watch("/", after=Revision(5))) as watch:
            assert [change.key for change in await changes_upto(watch, Revision(6))] == ["/b"]
        assert await store.get("/a") == again

    async def test_watchers_are_told_before_the_write_is_answered(self, store: Store) -> None:
        """They are told of it at once, at least: etcd answers the one, and tells the others."""
        async with aclosing(store.watch("/", after=Revision(1))) as watch:
            for number in range(5):
                entry = await store.create(f"/{number}", b"")
                assert (await changes_upto(watch, entry.mod_revision))[-1].entry == entry
