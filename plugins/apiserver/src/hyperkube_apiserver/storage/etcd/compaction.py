"""Compaction that several API servers, upstream's among them, agree on.

Whoever first writes the next version of one key compacts, to the revision that was the newest one interval before.
Source: k8s.io/apiserver/pkg/storage/etcd3/compact.go.
"""

from __future__ import annotations

import asyncio
import logging
from typing import NoReturn

from hyperkube_apiserver.storage.etcd.client import EtcdClient
from hyperkube_apiserver.storage.etcd.store import EtcdStore
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.etcdapi import COMPARE, TARGET
from hyperkube_machinery.storage.interface import Compacted, Revision, StoreError

__all__ = ["KEY", "claim", "keep_compacted"]

log = logging.getLogger(__name__)

KEY = b"compact_rev_key"


async def keep_compacted(store: EtcdStore, clock: Clock, interval_seconds: float) -> NoReturn:
    """Every `interval_seconds`, forget the history of before one interval ago, until cancelled; 0 for never."""
    if interval_seconds <= 0:
        await asyncio.get_running_loop().create_future()
    version, revision = 0, Revision(0)
    while True:
        await clock.sleep(interval_seconds)
        try:
            mine, version, newest = await claim(store.client, version, revision)
            if mine and revision:
                await store.compact(revision)
            revision = newest
        except Compacted:  # by somebody who doesn't take part in this
            log.info("history was compacted by another")
        except StoreError as exc:
            log.warning("history could not be compacted: %s", exc)


async def claim(client: EtcdClient, version: int, revision: Revision) -> tuple[bool, int, Revision]:
    """Claim the compaction to `revision`: whether it is ours, the key's version now, and the newest revision."""
    compare = {"key": KEY, "target": TARGET["VERSION"], "result": COMPARE["EQUAL"], "version": version}
    put = {"request_put": {"key": KEY, "value": str(revision).encode()}}
    answer = await client.transact(compare, [put], [{"request_range": {"key": KEY}}])
    newest = Revision(answer["header"]["revision"])
    if answer["succeeded"]:
        return True, version + 1, newest
    kvs = answer["responses"][0]["response_range"]["kvs"]
    return False, kvs[0]["version"] if kvs else 0, newest
