"""Leases: granted, kept alive, revoked, expired, and kept by the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperkube_etcd.member import Member
from hyperkube_machinery.etcdapi import ETCD
from hyperkube_machinery.grpc import CallFailed
from hyperkube_machinery.storage.sqlite import SQLiteStore
from hyperkube_machinery.storage.views import WritingView
from hyperkube_machinery.testing.clock import VirtualClock

from .conftest import Client

pytestmark = pytest.mark.anyio

ALL = b"\0"


async def test_a_lease_takes_its_keys_along_when_it_is_revoked_all_at_once(etcd: Client) -> None:
    number = (await etcd.ask("Lease/LeaseGrant", TTL=60))["ID"]
    for key in (b"a", b"b", b"c", b"d"):
        await etcd.put(key, lease=number)
    await etcd.put(b"c")  # which takes it off
    await etcd.ask("KV/DeleteRange", key=b"d")
    answer = await etcd.ask("Lease/LeaseTimeToLive", ID=number, keys=True)
    assert (answer["TTL"], answer["grantedTTL"], answer["keys"]) == (60, 60, [b"a", b"b"])
    async with etcd.watching(key=ALL, range_end=ALL) as watch:
        revoked = await etcd.ask("Lease/LeaseRevoke", ID=number)
        assert await watch.events(2) == [(1, b"a", 8), (1, b"b", 8)]
    assert revoked["header"]["revision"] == 8
    assert await etcd.keys(ALL, ALL) == [b"c"]
    assert (await etcd.ask("Lease/LeaseTimeToLive", ID=number))["TTL"] == -1
    assert (await etcd.ask("Lease/LeaseLeases"))["leases"] == []


async def test_a_lease_has_the_number_that_was_asked_for_and_lasts_long_enough(etcd: Client) -> None:
    answer = await etcd.ask("Lease/LeaseGrant", TTL=1, ID=-7)
    assert (answer["ID"], answer["TTL"]) == (-7, 2)
    with pytest.raises(CallFailed, match="lease already exists"):
        await etcd.ask("Lease/LeaseGrant", TTL=1, ID=-7)
    assert [one["ID"] for one in (await etcd.ask("Lease/LeaseLeases"))["leases"]] == [-7]


async def test_a_lease_that_is_kept_alive_lasts_and_one_that_is_not_ends(etcd: Client, clock: VirtualClock) -> None:
    for number in (1, 2):
        await etcd.ask("Lease/LeaseGrant", TTL=10, ID=number)
        await etcd.put(b"%d" % number, lease=number)
    async with etcd.channel.open("/etcdserverpb.Lease/LeaseKeepAlive") as call:
        await clock.advance(8)
        for number, ttl in ((1, 10), (9, 0)):
            await call.send(ETCD.encode("LeaseKeepAliveRequest", {"ID": number}))
            message = await call.next()
            assert message is not None
            answer = ETCD.decode("LeaseKeepAliveResponse", message)
            assert (answer["ID"], answer["TTL"]) == (number, ttl)
    await clock.advance(5)
    await etcd.member.expire()
    assert await etcd.keys(ALL, ALL) == [b"1"]
    assert (await etcd.ask("Lease/LeaseTimeToLive", ID=1))["TTL"] == 5


async def test_leases_outlive_the_server_and_begin_anew(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "hk.db"
    async with SQLiteStore.open(path, clock=clock) as store:
        member = Member(store, clock)
        await member.open()

        def write(view: WritingView) -> None:
            view.grant(3, 60)
            view.put("a", b"", lease=3)

        await member.write(write, adds=True)
    await clock.advance(50)
    async with SQLiteStore.open(path, clock=clock) as store:
        member = Member(store, clock)
        await member.open()
        await clock.advance(59)
        await member.expire()
        assert await store.get("a") is not None
        await clock.advance(2)
        await member.expire()
        assert await store.get("a") is None
        assert list(member.leases) == []
