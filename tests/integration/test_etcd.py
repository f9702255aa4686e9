"""etcd both ways: the API server's store on hk's etcd, several API servers on one etcd, and what outlives kill -9."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from _etcds import Etcd, program, running_etcd
from _storecontract import Opening, StoreContract, changes_upto

from hyperkube_apiserver.storage.etcd.compaction import claim
from hyperkube_apiserver.storage.etcd.connecting import connect
from hyperkube_apiserver.storage.etcd.store import EtcdStore
from hyperkube_etcd.endpoints import Endpoints
from hyperkube_etcd.member import Member
from hyperkube_etcd.services import handlers
from hyperkube_etcd.watch import watch_handler
from hyperkube_machinery import tls
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.grpc import Channel, Endpoint
from hyperkube_machinery.grpc.server import Conduct, GRPCServer
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.listener import bind
from hyperkube_machinery.storage.interface import Compacted, Entry, Revision, Store, StoreError
from hyperkube_machinery.storage.sqlite import SQLiteStore
from hyperkube_machinery.testing.waiting import until

pytestmark = pytest.mark.anyio

HK = [shutil.which("hk") or str(Path(sys.executable).with_name("hk")), "etcd"]


@asynccontextmanager
async def etcd_of(kind: str, folder: Path, *more: str, scheme: str = "http") -> AsyncIterator[Etcd]:
    flags = ("--max-request-bytes=20000000", *more)
    if kind == "hk":
        async with running_etcd(folder, *flags, scheme=scheme, command=HK) as etcd:
            yield etcd
    else:
        async with running_etcd(folder, *flags, "--log-level=error", scheme=scheme) as etcd:
            yield etcd


def store_on(etcd: Etcd) -> AbstractAsyncContextManager[EtcdStore]:
    return store_at(etcd.port)


@asynccontextmanager
async def store_at(port: int) -> AsyncIterator[EtcdStore]:
    channel = Channel(Endpoint(host="127.0.0.1", port=port), SystemClock(), largest=1 << 30)
    async with EtcdStore.open(channel, SystemClock()) as store:
        await store.ask_version()
        yield store


@asynccontextmanager
async def serving_etcd() -> AsyncIterator[int]:
    """hk's etcd in this process; its port."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="hk-etcd-") as folder:
        async with SQLiteStore.open(Path(folder, "hk.db"), clock=clock) as store, AsyncExitStack() as stack:
            member = Member(store, clock, largest_request=20_000_000, shortest_lease_seconds=1)
            methods = handlers(member, None)
            methods["/etcdserverpb.Watch/Watch"] = watch_handler(member, notify_seconds=600)
            http = HTTPServer(Endpoints(member), clock=clock)
            server = GRPCServer(methods, http, clock, conduct=Conduct(largest_message=20_000_000))
            stack.push_async_callback(server.close)
            sockets = await bind("127.0.0.1", 0, backlog=10)
            await server.start(sockets)
            await stack.enter_async_context(companions(expire(member)))
            yield int(sockets[0].getsockname()[1])


async def expire(member: Member) -> NoReturn:
    while True:
        await asyncio.sleep(0.1)
        await member.expire()


class TestOurEtcd(StoreContract):
    """The shared contract, on an etcd of hk's."""

    @pytest.fixture
    def opening(self) -> Opening:
        @asynccontextmanager
        async def open_empty() -> AsyncIterator[Store]:
            async with serving_etcd() as port, store_at(port) as store:
                yield store

        return open_empty

    # etcd's clock is its own, and so are its watchers.

    async def test_a_key_is_deleted_when_its_time_has_come(self, store: Store) -> None:  # type: ignore[override]
        entry = await store.create("/short", b"", ttl_seconds=1)
        async with aclosing(store.watch("/", after=Revision(2))) as watch:
            (change,) = await changes_upto(watch, Revision(3))
        assert (change.key, change.entry, change.previous) == ("/short", None, entry)

    async def test_an_update_sets_the_time_to_live_anew_or_ends_it(self, store: Store) -> None:  # type: ignore[override]
        a = await store.create("/a", b"", ttl_seconds=1)
        await store.create("/c", b"", ttl_seconds=1)
        await store.update("/a", b"", expected=a.mod_revision)
        async with aclosing(store.watch("/", after=Revision(4))) as watch:
            assert [change.key for change in await changes_upto(watch, Revision(5))] == ["/c"]
        assert [kept.key for kept in (await store.range("/")).entries] == ["/a"]

    async def test_a_key_created_again_has_nothing_of_its_former_life(  # type: ignore[override]
        self, store: Store
    ) -> None:
        entry = await store.create("/a", b"", ttl_seconds=1)
        await store.delete("/a", expected=entry.mod_revision)
        again = await store.create("/a", b"")
        await store.create("/b", b"", ttl_seconds=1)
        async with aclosing(store.watch("/", after=Revision(5))) as watch:
            assert [change.key for change in await changes_upto(watch, Revision(6))] == ["/b"]
        assert await store.get("/a") == again

    async def test_watchers_are_told_before_the_write_is_answered(self, store: Store) -> None:
        async with aclosing(store.watch("/", after=Revision(1))) as watch:
            for number in range(5):
                entry = await store.create(f"/{number}", b"")
                assert (await changes_upto(watch, entry.mod_revision))[-1].entry == entry


@pytest.mark.parametrize("kind", ["hk", "etcd"])
async def test_two_servers_on_one_etcd_see_one_history(kind: str, tmp_path: Path) -> None:
    async with etcd_of(kind, tmp_path) as etcd, store_on(etcd) as one, store_on(etcd) as other:
        async with aclosing(other.watch("/", after=await other.revision())) as watch:
            for number in range(20):
                entry = await one.create(f"/{number}", b"%d" % number)
                assert await other.get(f"/{number}") == entry  # at once
                newest = await other.revision()
                assert newest >= entry.mod_revision
                told = await changes_upto(watch, newest)  # be the newest write another's
                assert [change.entry for change in told] == [entry]
                await other.client.ask("KV", "Put", {"key": b"elsewhere", "value": b""})
        outcomes = await asyncio.gather(
            *(store.create("/contended", b"") for store in (one, other) * 10), return_exceptions=True
        )
        assert sum(isinstance(outcome, Entry) for outcome in outcomes) == 1
        # Of two that compact, one does.
        claims = [await claim(store.client, 0, Revision(5)) for store in (one, other)]
        assert [claim_[0] for claim_ in claims] == [True, False]
        assert claims[1][1] == 1


@pytest.mark.parametrize("kind", ["hk", "etcd"])
async def test_nothing_acknowledged_is_lost_when_etcd_is_killed_and_watches_go_on(kind: str, tmp_path: Path) -> None:
    async with etcd_of(kind, tmp_path) as etcd, store_on(etcd) as store:
        acknowledged: dict[str, int] = {}
        told: dict[str, int] = {}

        async def write(worker: int) -> None:
            number = 0
            while len(acknowledged) < 600:
                key = f"/{worker}/{number}"
                number += 1
                try:
                    acknowledged[key] = (await store.create(key, b"x" * 100)).mod_revision
                except StoreError:
                    await asyncio.sleep(0.02)

        async def follow() -> None:
            async with aclosing(store.watch("/", after=Revision(1))) as watch:
                async for batch in watch:
                    for change in batch.changes:
                        assert change.key not in told
                        told[change.key] = change.revision
                    if "/end" in told:
                        return

        following = asyncio.create_task(follow())
        writing = [asyncio.create_task(write(worker)) for worker in range(8)]
        for goal in (150, 350):
            await until(lambda goal=goal: len(acknowledged) >= goal)  # type: ignore[misc]
            await etcd.kill()
            await etcd.start_again()
        await asyncio.gather(*writing)
        await store.create("/end", b"")
        await following
        found = {entry.key: entry.mod_revision for entry in (await store.range("/")).entries}
        assert acknowledged.items() <= found.items()
        assert acknowledged.items() <= told.items()


async def test_etcdctl_works_unchanged(tmp_path: Path) -> None:
    async with etcd_of("hk", tmp_path) as etcd:

        def ctl(*words: str, given: str = "") -> str:
            command = [str(program("etcdctl")), f"--endpoints={etcd.url}", *words]
            environment = {"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"}
            answer = subprocess.run(
                command, input=given, capture_output=True, text=True, check=True, timeout=60, env=environment
            )
            return answer.stdout

        def walk() -> None:
            assert ctl("put", "a", "1") == "OK\n"
            assert ctl("get", "a") == "a\n1\n"
            assert "SUCCESS\n\nOK\n\nOK\n" in ctl("txn", given='mod("a") > "0"\n\nput b 2\nput c 3\n\nput d 4\n\n')
            (kv, *_) = json.loads(ctl("get", "b", "-w", "json"))["kvs"]
            assert kv["mod_revision"] == 3
            assert ctl("del", "a") == "1\n"
            lease = ctl("lease", "grant", "60").split()[1]
            ctl("put", "e", "5", f"--lease={lease}")
            assert "attached keys([e])" in ctl("lease", "timetolive", lease, "--keys")
            ctl("lease", "revoke", lease)
            assert ctl("get", "--prefix", "", "--keys-only").split() == ["b", "c"]
            assert "compacted revision 3" in ctl("compact", "3")
            assert "Finished defragmenting" in ctl("defrag")
            assert ctl("alarm", "list") == ""
            assert "started" in ctl("member", "list")
            assert "3.5." in ctl("endpoint", "status")
            assert "Snapshot saved" in ctl("snapshot", "save", str(tmp_path / "copy"))

        await asyncio.to_thread(walk)
        assert (tmp_path / "copy").stat().st_size > 10_000


async def test_a_snapshot_is_put_back_by_hk_and_refused_by_etcdutl(tmp_path: Path) -> None:
    async with etcd_of("hk", tmp_path / "one") as etcd:
        async with store_on(etcd) as store:
            kept = [await store.create(f"/{number}", b"x" * 1000) for number in range(100)]
        url = f"--endpoints={etcd.url}"
        done = await run(program("etcdctl"), url, "snapshot", "save", "copy", folder=tmp_path)
        assert done.returncode == 0, done.stderr
    done = await run(program("etcdutl"), "snapshot", "status", "copy", folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, "Error: invalid database\n")
    data = tmp_path / "two" / "data"
    done = await run(*HK, "restore", "copy", f"--data-dir={data}", folder=tmp_path)
    assert done.stdout.startswith(f"{data}: 100 keys; revisions go on after 1000000"), done.stderr
    async with etcd_of("hk", tmp_path / "two") as etcd, store_on(etcd) as store:
        found = (await store.range("/")).entries
        assert [(one.key, one.value) for one in found] == sorted((one.key, one.value) for one in kept)
        with pytest.raises(Compacted):
            async with aclosing(store.watch("/", after=kept[-1].mod_revision)) as watch:
                await anext(watch)


async def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"}
    return await asyncio.to_thread(
        subprocess.run, command, cwd=folder, capture_output=True, text=True, timeout=60, env=environment
    )


async def test_etcdctl_and_an_api_servers_store_show_their_certificates(tmp_path: Path) -> None:
    now = time.time()
    authority = tls.create_ca("etcd", now=now)
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    for name, pair in (
        ("server", tls.issue_serving_certificate(authority, "etcd", ["127.0.0.1"], now=now)),
        ("client", tls.issue_client_certificate(authority, "apiserver", now=now)),
    ):
        tls.save(pair, tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
    ca, certificate, key = tmp_path / "ca.crt", tmp_path / "client.crt", tmp_path / "client.key"
    flags = [
        f"--cert-file={tmp_path / 'server.crt'}",
        f"--key-file={tmp_path / 'server.key'}",
        f"--trusted-ca-file={ca}",
        "--client-cert-auth",
    ]
    async with etcd_of("hk", tmp_path / "etcd", *flags, scheme="https") as etcd:

        def ctl(*words: str) -> subprocess.CompletedProcess[str]:
            command = [str(program("etcdctl")), f"--endpoints={etcd.url}", f"--cacert={ca}", *words]
            return subprocess.run(
                command, capture_output=True, text=True, timeout=60, env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"}
            )

        shown = (f"--cert={certificate}", f"--key={key}")
        done = await asyncio.to_thread(ctl, *shown, "put", "/registry/a", "1")
        assert (done.stdout, done.returncode) == ("OK\n", 0)
        done = await asyncio.to_thread(ctl, "--dial-timeout=1s", "--command-timeout=1s", "get", "/registry/a")
        assert (done.stdout, done.returncode) == ("", 1)
        clock = SystemClock()
        async with EtcdStore.open(connect([etcd.url], clock, ca, certificate, key), clock) as store:
            found = await store.get("/registry/a")
            assert found is not None
            assert found.value == b"1"
