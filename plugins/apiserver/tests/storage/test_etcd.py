"""The store in a real etcd."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from _etcds import running_etcd
from _storecontract import Opening, StoreContract, changes_upto

from hyperkube_apiserver.storage.etcd.connecting import connect
from hyperkube_apiserver.storage.etcd.store import EtcdStore
from hyperkube_machinery import tls
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.grpc import Channel, Endpoint
from hyperkube_machinery.storage.interface import Revision, Store, Unavailable

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


async def test_etcd_is_spoken_to_over_tls_with_a_certificate(tmp_path: Path) -> None:
    authority, now = tls.create_ca("etcd", now=time.time()), time.time()
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    serving = tls.issue_serving_certificate(authority, "etcd", ["127.0.0.1"], now=now)
    tls.save(serving, tmp_path / "server.crt", tmp_path / "server.key")
    client = tls.issue_client_certificate(authority, "apiserver", now=now)
    tls.save(client, tmp_path / "client.crt", tmp_path / "client.key")
    flags = (
        f"--cert-file={tmp_path / 'server.crt'}",
        f"--key-file={tmp_path / 'server.key'}",
        f"--trusted-ca-file={tmp_path / 'ca.crt'}",
        "--client-cert-auth",
    )
    async with running_etcd(tmp_path / "etcd", *QUICK, *flags, scheme="https") as etcd:
        clock = SystemClock()
        shown = tmp_path / "client.crt", tmp_path / "client.key"
        async with EtcdStore.open(connect([etcd.url], clock, tmp_path / "ca.crt", *shown), clock) as store:
            await store.ask_version()
            entry = await store.create("/a", b"x" * 1_000_000)
            assert await store.get("/a") == entry
        async with EtcdStore.open(connect([etcd.url], clock, tmp_path / "ca.crt", None, None), clock) as store:
            with pytest.raises(Unavailable):
                await store.get("/a")


async def test_keys_are_laid_out_under_the_prefix(tmp_path: Path) -> None:
    async with (
        running_etcd(tmp_path, *QUICK) as etcd,
        EtcdStore.open(channel(etcd.port), SystemClock(), inner="/registry", outer="/other") as store,
        EtcdStore.open(channel(etcd.port), SystemClock()) as raw,
    ):
        await store.ask_version()
        entry = await store.create("/registry/pods/a", b"1")
        found = await raw.get("/other/pods/a")
        assert found is not None
        assert (entry.key, found.value) == ("/registry/pods/a", b"1")
        assert [one.key for one in (await store.range("/registry/")).entries] == ["/registry/pods/a"]
        async with aclosing(store.watch("/registry/pods/", after=Revision(1))) as watch:
            assert [change.key for change in await changes_upto(watch, entry.mod_revision)] == ["/registry/pods/a"]
