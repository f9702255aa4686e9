"""What hk's etcd answers to bad and to borderline requests, beside what etcd answers."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from _etcds import running_etcd

from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.etcdapi import ETCD
from hyperkube_machinery.grpc import CallFailed, Channel, Endpoint

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

HK = [shutil.which("hk") or str(Path(sys.executable).with_name("hk")), "etcd"]
KIB, MIB = 1 << 10, 1 << 20


def put(key: bytes, value: bytes = b"") -> Tree:
    return {"request_put": {"key": key, "value": value}}


def get(key: bytes, revision: int = 0) -> Tree:
    return {"request_range": {"key": key, "revision": revision}}


def nested(**txn: Any) -> Tree:
    return {"request_txn": txn}


COMPARED = {"key": b"a", "result": 0, "target": 0, "version": 0}
TXN, GRANT = "KV/Txn", "Lease/LeaseGrant"
# In this order, one after the other on one store.
CASES: list[tuple[str, str, Tree]] = [
    ("a value that fits", "KV/Put", {"key": b"a", "value": b"x" * (1400 * KIB)}),
    ("a value that does not", "KV/Put", {"key": b"a", "value": b"x" * (1600 * KIB)}),
    ("a message that does not", "KV/Put", {"key": b"a", "value": b"x" * (3 * MIB)}),
    ("values that fit", TXN, {"success": [put(b"a", b"x" * (700 * KIB)), put(b"b", b"x" * (700 * KIB))]}),
    ("values that do not", TXN, {"success": [put(b"a", b"x" * (800 * KIB)), put(b"b", b"x" * (800 * KIB))]}),
    ("one that does not in a transaction", TXN, {"success": [put(b"a", b"x" * (3 * MIB))]}),
    ("as many operations as may be", TXN, {"success": [put(b"%d" % number) for number in range(128)]}),
    ("one more", TXN, {"success": [put(b"%d" % number) for number in range(129)]}),
    ("one more otherwise", TXN, {"failure": [get(b"%d" % number) for number in range(129)]}),
    ("one more inside", TXN, {"success": [nested(success=[get(b"%d" % number) for number in range(129)])]}),
    ("too many comparisons", TXN, {"compare": [COMPARED] * 129}),
    ("a key twice", TXN, {"success": [put(b"a"), put(b"a")]}),
    ("a key twice, once inside", TXN, {"success": [put(b"a"), nested(success=[put(b"a")])]}),
    ("a key in either branch", TXN, {"success": [nested(success=[put(b"q")], failure=[put(b"q")])]}),
    (
        "a key put and deleted",
        TXN,
        {"success": [put(b"a"), {"request_delete_range": {"key": b"a", "range_end": b"b"}}]},
    ),
    ("no key", TXN, {"success": [put(b"")]}),
    ("no operation", TXN, {"success": [{}]}),
    ("the value of nothing", "KV/Put", {"key": b"nothere", "ignore_value": True}),
    ("the lease of nothing", "KV/Put", {"key": b"nothere", "ignore_lease": True}),
    ("no such lease", "KV/Put", {"key": b"a", "lease": 77}),
    ("too long a lease", GRANT, {"TTL": 9_000_000_001}),
    ("no time", GRANT, {"TTL": 0, "ID": 5}),
    ("less than none", GRANT, {"TTL": -5, "ID": 6}),
    ("a lease twice", GRANT, {"TTL": 5, "ID": 5}),
    ("nothing to revoke", "Lease/LeaseRevoke", {"ID": 999}),
    ("the time of nothing", "Lease/LeaseTimeToLive", {"ID": 999}),
    ("the future", "KV/Range", {"key": b"a", "revision": 1000}),
    ("compacting the future", "KV/Compact", {"revision": 1000}),
    ("compacting", "KV/Compact", {"revision": 3}),
    ("compacting again", "KV/Compact", {"revision": 3}),
    ("compacting nothing", "KV/Compact", {"revision": 0}),
    ("what is compacted", "KV/Range", {"key": b"a", "revision": 2}),
    ("what is compacted, in a transaction", TXN, {"success": [get(b"a", 1)]}),
    ("the future in a transaction", TXN, {"success": [get(b"a", 5000)]}),
    ("less than no revision", "KV/Range", {"key": b"a", "revision": -1}),
    ("how many", "KV/Range", {"key": b"\0", "range_end": b"\0", "count_only": True}),
    ("users", "Auth/Authenticate", {"name": "a", "password": "b"}),
]
_KINDS = {"KV/Compact": "Compaction"}


async def outcomes(port: int) -> dict[str, object]:
    """What comes of each case: the answer but for who gives it, or the failure."""
    channel = Channel(Endpoint(host="127.0.0.1", port=port), SystemClock(), largest=1 << 30)
    found: dict[str, object] = {}
    try:
        for name, path, request in CASES:
            kind = _KINDS.get(path) or path.partition("/")[2]
            try:
                message = await channel.call(f"/etcdserverpb.{path}", ETCD.encode(f"{kind}Request", request))
            except CallFailed as exc:
                found[name] = (exc.code, exc.message)
            else:
                answer = ETCD.decode(f"{kind}Response", message)
                header = answer.pop("header")
                found[name] = (header["revision"], str(answer))
    finally:
        await channel.close()
    return found


async def test_answers_and_refusals_are_etcds(tmp_path: Path) -> None:
    async with running_etcd(tmp_path / "etcd", "--log-level=error", "--unsafe-no-fsync") as etcd:
        expected = await outcomes(etcd.port)
    async with running_etcd(tmp_path / "hk", command=HK) as etcd:
        assert await outcomes(etcd.port) == expected
    assert expected["values that do not"] == (3, "etcdserver: request is too large")
