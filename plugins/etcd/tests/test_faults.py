"""A full disk, watchers that lag, a thousand watches, leases after a restart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from _disks import small_disk

from hyperkube_machinery.grpc import CallFailed, Code
from hyperkube_machinery.testing.clock import VirtualClock

from .conftest import Client, serving

pytestmark = pytest.mark.anyio

ALL = b"\0"


async def test_a_full_disk_is_told_in_etcds_words_takes_deletions_and_passes(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, megabytes=40):
        async with serving(VirtualClock(), disk / "hk.db") as etcd:
            written = [await etcd.put(b"%d" % number, b"x" * 1000) for number in range(20)]
            ballast = disk / "ballast"
            with ballast.open("wb") as file:
                free = os.fstatvfs(file.fileno())
                os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
            with pytest.raises(CallFailed) as failed:  # noqa: PT012 -- which one fails is not known
                for number in range(200):
                    written.append(await etcd.put(b"more-%d" % number, b"x" * 1_000_000))
            assert (failed.value.code, failed.value.message) == (
                Code.RESOURCE_EXHAUSTED,
                "etcdserver: mvcc: database space exceeded",
            )
            assert (await etcd.ask("KV/DeleteRange", key=b"0"))["deleted"] == 1
            assert (await etcd.range(ALL, ALL, count_only=True))["count"] == len(written) - 1
            ballast.unlink()
            assert await etcd.put(b"after", b"x" * 1000) == written[-1] + 2


async def test_a_watcher_that_lags_is_told_all_or_that_it_was_compacted(etcd: Client) -> None:
    async with etcd.watching(key=ALL, range_end=ALL, start_revision=2) as watch:
        for _ in range(60):  # more than fits into what waits to be sent
            newest = await etcd.put(b"a", b"x" * 500_000)
        await etcd.ask("KV/Compact", kind="Compaction", revision=newest)
        told: list[int] = []
        while not (answer := await watch.next())["canceled"]:
            told += [event["kv"]["mod_revision"] for event in answer["events"]]
    assert told == list(range(2, 2 + len(told)))  # nothing left out before the end
    assert 0 < len(told) < 60
    assert answer["compact_revision"] == newest


async def test_each_of_a_thousand_watches_is_told_of_its_own_key(etcd: Client) -> None:
    async with etcd.watching() as watch:
        for number in range(1000):
            key = b"k%d" % number
            await watch.ask(create_request={"key": key, "watch_id": number + 1})
        for _ in range(1000):
            assert (await watch.next())["created"]
        for number in range(0, 1000, 100):
            await etcd.put(b"k%d" % number)
        for number in range(0, 1000, 100):
            answer = await watch.next()
            (event,) = answer["events"]
            assert (answer["watch_id"], event["kv"]["key"]) == (number + 1, b"k%d" % number)


async def test_keys_whose_lease_ends_after_a_restart_go_then(tmp_path: Path) -> None:
    clock, file = VirtualClock(), tmp_path / "hk.db"
    async with serving(clock, file) as etcd:
        number = (await etcd.ask("Lease/LeaseGrant", TTL=60))["ID"]
        await etcd.put(b"a", lease=number)
        await clock.advance(50)
    async with serving(clock, file) as etcd:
        await clock.advance(50)  # it has its whole time once more
        await etcd.member.expire()
        assert await etcd.keys(ALL, ALL) == [b"a"]
        async with etcd.watching(key=ALL, range_end=ALL) as watch:
            await clock.advance(11)
            await etcd.member.expire()
            assert await watch.events(1) == [(1, b"a", 3)]
        assert await etcd.keys(ALL, ALL) == []
    async with serving(clock, file) as etcd:
        assert await etcd.keys(ALL, ALL) == []
        assert (await etcd.ask("Lease/LeaseLeases"))["leases"] == []
