"""KV: ranges, writes, transactions, compaction, as etcd answers them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hyperkube_machinery.etcdapi import COMPARE, TARGET
from hyperkube_machinery.grpc import CallFailed, Code

from .conftest import Client, serving

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]
ALL = b"\0"


def is_(key: bytes, target: str, result: str, value: Any, end: bytes = b"") -> Tree:
    field = {"VERSION": "version", "CREATE": "create_revision", "MOD": "mod_revision", "VALUE": "value"}
    compare = {"key": key, "range_end": end, "target": TARGET[target], "result": COMPARE[result]}
    return {**compare, field.get(target, "lease"): value}


def put(key: bytes, value: bytes = b"", **how: Any) -> Tree:
    return {"request_put": {"key": key, "value": value, **how}}


def get(key: bytes, end: bytes = b"", **how: Any) -> Tree:
    return {"request_range": {"key": key, "range_end": end, **how}}


def remove(key: bytes, end: bytes = b"", **how: Any) -> Tree:
    return {"request_delete_range": {"key": key, "range_end": end, **how}}


@pytest.fixture
async def filled(etcd: Client) -> Client:
    """a at revisions 2 and 6, b, c, and d that was deleted."""
    for key, value in ((b"a", b"3"), (b"b", b"2"), (b"c", b"1"), (b"d", b"0"), (b"a", b"4")):
        await etcd.put(key, value)
    await etcd.ask("KV/DeleteRange", key=b"d")
    return etcd


async def test_what_was_put_is_found(etcd: Client) -> None:
    assert await etcd.put(b"a", b"1") == 2
    answer = await etcd.range(b"a")
    kv = {"key": b"a", "value": b"1", "create_revision": 2, "mod_revision": 2, "version": 1, "lease": 0}
    assert (answer["kvs"], answer["count"], answer["more"]) == ([kv], 1, False)
    assert answer["header"]["revision"] == 2
    assert answer["header"]["cluster_id"]
    assert answer["header"]["member_id"]
    assert (await etcd.range(b"none"))["kvs"] == []


@pytest.mark.parametrize(
    ("key", "end", "how", "keys", "count", "more"),
    [
        (b"a", b"c", {}, [b"a", b"b"], 2, False),
        (b"b", ALL, {}, [b"b", b"c"], 2, False),
        (ALL, ALL, {}, [b"a", b"b", b"c"], 3, False),
        (ALL, ALL, {"limit": 2}, [b"a", b"b"], 3, True),
        (ALL, ALL, {"limit": 3}, [b"a", b"b", b"c"], 3, False),
        (ALL, ALL, {"count_only": True}, [], 3, False),
        (ALL, ALL, {"sort_order": 2}, [b"c", b"b", b"a"], 3, False),
        (ALL, ALL, {"sort_order": 2, "limit": 1}, [b"c"], 3, True),
        (ALL, ALL, {"sort_order": 1, "sort_target": 4}, [b"c", b"b", b"a"], 3, False),
        (ALL, ALL, {"sort_target": 4, "keys_only": True}, [b"c", b"b", b"a"], 3, False),
        (ALL, ALL, {"sort_order": 2, "sort_target": 3}, [b"a", b"c", b"b"], 3, False),
        (ALL, ALL, {"sort_order": 1, "sort_target": 2}, [b"a", b"b", b"c"], 3, False),
        (ALL, ALL, {"sort_order": 2, "sort_target": 1, "limit": 1}, [b"a"], 3, True),
        (ALL, ALL, {"min_mod_revision": 4}, [b"a", b"c"], 3, False),
        (ALL, ALL, {"max_mod_revision": 4, "limit": 1}, [b"b"], 3, True),
        (ALL, ALL, {"min_create_revision": 3, "max_create_revision": 3}, [b"b"], 3, False),
        (ALL, ALL, {"revision": 5}, [b"a", b"b", b"c", b"d"], 4, False),
        (b"c", b"a", {}, [], 0, False),
    ],
)
async def test_ranges(
    filled: Client, key: bytes, end: bytes, how: Tree, keys: list[bytes], count: int, more: bool
) -> None:
    answer = await filled.range(key, end, **how)
    assert ([kv["key"] for kv in answer["kvs"]], answer["count"], answer["more"]) == (keys, count, more)
    assert answer["header"]["revision"] == 7


async def test_keys_only_leaves_the_values_out(filled: Client) -> None:
    assert {kv["value"] for kv in (await filled.range(ALL, ALL, keys_only=True))["kvs"]} == {b""}


async def test_a_put_tells_of_what_was_there_and_keeps_what_it_is_told_to(etcd: Client) -> None:
    grant = await etcd.ask("Lease/LeaseGrant", TTL=60, ID=5)
    assert grant["TTL"] == 60
    await etcd.put(b"a", b"1", lease=5)
    answer = await etcd.ask("KV/Put", key=b"a", value=b"2", prev_kv=True, ignore_lease=True)
    assert answer["prev_kv"]["value"] == b"1"
    await etcd.put(b"a", ignore_value=True)
    (kv,) = (await etcd.range(b"a"))["kvs"]
    assert (kv["value"], kv["lease"], kv["version"]) == (b"2", 0, 3)


async def test_a_deletion_tells_how_many_and_which(filled: Client) -> None:
    answer = await filled.ask("KV/DeleteRange", key=b"a", range_end=b"c", prev_kv=True)
    assert (answer["deleted"], [kv["key"] for kv in answer["prev_kvs"]]) == (2, [b"a", b"b"])
    assert answer["header"]["revision"] == 8
    answer = await filled.ask("KV/DeleteRange", key=b"a")
    assert (answer["deleted"], answer["header"]["revision"]) == (0, 8)  # nothing was written


@pytest.mark.parametrize(
    ("compare", "holds"),
    [
        ([], True),
        ([is_(b"a", "VALUE", "EQUAL", b"4")], True),
        ([is_(b"a", "VALUE", "LESS", b"4")], False),
        ([is_(b"a", "VALUE", "GREATER", b"3")], True),
        ([is_(b"a", "MOD", "EQUAL", 6)], True),
        ([is_(b"a", "MOD", "NOT_EQUAL", 6)], False),
        ([is_(b"a", "CREATE", "LESS", 3), is_(b"b", "VERSION", "EQUAL", 1)], True),
        ([is_(b"a", "CREATE", "LESS", 3), is_(b"b", "VERSION", "EQUAL", 2)], False),
        ([is_(b"none", "MOD", "EQUAL", 0)], True),
        ([is_(b"none", "VERSION", "GREATER", 0)], False),
        ([is_(b"none", "VALUE", "NOT_EQUAL", b"x")], False),
        ([is_(b"none", "LEASE", "EQUAL", 0)], True),
        ([is_(b"a", "VERSION", "GREATER", 0, end=b"d")], True),
        ([is_(b"a", "VERSION", "EQUAL", 1, end=b"d")], False),
        ([is_(b"x", "VERSION", "EQUAL", 0, end=b"z")], True),
        ([is_(b"x", "VALUE", "EQUAL", b"", end=b"z")], False),
    ],
)
async def test_comparisons(filled: Client, compare: list[Tree], holds: bool) -> None:
    answer = await filled.txn(compare, [get(b"b")], [get(b"c")])
    assert answer["succeeded"] is holds
    (response,) = answer["responses"]
    assert [kv["key"] for kv in response["response_range"]["kvs"]] == [b"b" if holds else b"c"]


async def test_a_transaction_has_one_revision_and_sees_what_it_writes(filled: Client) -> None:
    nested = {"request_txn": {"compare": [is_(b"x", "VALUE", "EQUAL", b"1")], "success": [put(b"y")], "failure": []}}
    answer = await filled.txn([], [put(b"x", b"1"), get(b"x"), nested, remove(b"b", prev_kv=True), get(ALL, ALL)])
    revision = answer["header"]["revision"]
    assert revision == 8
    first, second, third, fourth, fifth = answer["responses"]
    assert first["response_put"]["header"]["revision"] == revision
    assert second["response_range"]["kvs"][0]["mod_revision"] == revision
    assert third["response_txn"]["succeeded"]
    assert fourth["response_delete_range"]["deleted"] == 1
    assert [kv["key"] for kv in fifth["response_range"]["kvs"]] == [b"a", b"c", b"x", b"y"]
    assert {kv["mod_revision"] for kv in (await filled.range(b"x", ALL))["kvs"]} == {revision}


@pytest.mark.parametrize(
    ("path", "request_", "code", "words"),
    [
        ("KV/Range", {}, Code.INVALID_ARGUMENT, "etcdserver: key is not provided"),
        ("KV/Range", {"key": b"a", "sort_order": 7}, Code.INVALID_ARGUMENT, "etcdserver: invalid sort option"),
        (
            "KV/Range",
            {"key": b"a", "revision": 9},
            Code.OUT_OF_RANGE,
            "etcdserver: mvcc: required revision is a future revision",
        ),
        ("KV/Put", {"value": b"a"}, Code.INVALID_ARGUMENT, "etcdserver: key is not provided"),
        (
            "KV/Put",
            {"key": b"a", "value": b"a", "ignore_value": True},
            Code.INVALID_ARGUMENT,
            "etcdserver: value is provided",
        ),
        (
            "KV/Put",
            {"key": b"a", "lease": 1, "ignore_lease": True},
            Code.INVALID_ARGUMENT,
            "etcdserver: lease is provided",
        ),
        ("KV/Put", {"key": b"z", "ignore_value": True}, Code.INVALID_ARGUMENT, "etcdserver: key not found"),
        ("KV/Put", {"key": b"a", "lease": 1}, Code.NOT_FOUND, "etcdserver: requested lease not found"),
        ("KV/DeleteRange", {}, Code.INVALID_ARGUMENT, "etcdserver: key is not provided"),
        ("KV/Txn", {"success": [put(b"")]}, Code.INVALID_ARGUMENT, "etcdserver: key is not provided"),
        (
            "KV/Txn",
            {"success": [put(b"a"), put(b"a")]},
            Code.INVALID_ARGUMENT,
            "etcdserver: duplicate key given in txn request",
        ),
        (
            "KV/Txn",
            {"failure": [put(b"a"), remove(b"a", b"b")]},
            Code.INVALID_ARGUMENT,
            "etcdserver: duplicate key given in txn request",
        ),
        (
            "KV/Txn",
            {"success": [get(b"a")] * 129},
            Code.INVALID_ARGUMENT,
            "etcdserver: too many operations in txn request",
        ),
        ("Lease/LeaseRevoke", {"ID": 4}, Code.NOT_FOUND, "etcdserver: requested lease not found"),
        ("Lease/LeaseGrant", {"TTL": 9_000_000_001}, Code.OUT_OF_RANGE, "etcdserver: too large lease TTL"),
        ("Auth/Authenticate", {"name": "a"}, Code.FAILED_PRECONDITION, "etcdserver: authentication is not enabled"),
    ],
)
async def test_refusals(filled: Client, path: str, request_: Tree, code: Code, words: str) -> None:
    with pytest.raises(CallFailed) as failed:
        await filled.ask(path, **request_)
    assert (failed.value.code, failed.value.message) == (code, words)
    assert (await filled.range(b"a"))["header"]["revision"] == 7


async def test_a_transaction_that_is_refused_has_written_nothing(filled: Client) -> None:
    with pytest.raises(CallFailed, match="lease not found"):
        await filled.txn([], [put(b"new"), put(b"newer", lease=9)])
    assert await filled.keys(b"new", ALL) == []


async def test_compaction(filled: Client) -> None:
    await filled.ask("KV/Compact", "Compaction", revision=5)
    for revision in (4, 5):
        with pytest.raises(CallFailed, match="required revision has been compacted"):
            await filled.ask("KV/Compact", "Compaction", revision=revision)
    with pytest.raises(CallFailed, match="future revision"):
        await filled.ask("KV/Compact", "Compaction", revision=99)
    with pytest.raises(CallFailed, match="compacted"):
        await filled.range(b"a", revision=4)
    assert (await filled.range(b"a", revision=5))["kvs"][0]["value"] == b"3"


async def test_a_large_value_is_refused(etcd: Client) -> None:
    with pytest.raises(CallFailed) as failed:
        await etcd.put(b"a", b"x" * 1_600_000)
    assert failed.value.message == "etcdserver: request is too large"


async def test_a_full_store_takes_deletions_alone_until_the_alarm_is_disarmed(clock: Any) -> None:
    async with serving(clock, quota_bytes=1000) as etcd:
        await etcd.put(b"a", b"x" * 2000)
        puts = await asyncio.gather(*(etcd.put(b"b") for _ in range(100)), return_exceptions=True)
        failed = next(outcome for outcome in puts if isinstance(outcome, CallFailed))
        assert (failed.code, failed.message) == (
            Code.RESOURCE_EXHAUSTED,
            "etcdserver: mvcc: database space exceeded",
        )
        (alarm,) = (await etcd.ask("Maintenance/Alarm", "Alarm"))["alarms"]
        assert alarm["alarm"] == 1
        assert "NOSPACE" in (await etcd.ask("Maintenance/Status", "Status"))["errors"][0]
        await etcd.ask("KV/DeleteRange", key=b"a")
        await etcd.ask("Maintenance/Alarm", "Alarm", action=2, alarm=1)
        await etcd.put(b"c")
