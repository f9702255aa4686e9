"""The key space in etcd.

Keys are laid out as upstream lays them out under --etcd-prefix, so that a cluster can change its API servers.
Source: k8s.io/apiserver/pkg/storage/etcd3/store.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

from hyperkube_apiserver.storage.etcd.client import COMPACTED, FUTURE, EtcdClient, Refused, key_bytes, key_text
from hyperkube_apiserver.storage.etcd.leases import Leases
from hyperkube_apiserver.storage.etcd.progress import tells_progress
from hyperkube_apiserver.storage.etcd.watching import Asking, Span, watch
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.etcdapi import COMPARE, TARGET, prefix_end
from hyperkube_machinery.grpc import Channel
from hyperkube_machinery.storage.interface import (
    Changes,
    Compacted,
    Entry,
    FutureRevision,
    KeyExists,
    NoSpace,
    Page,
    Revision,
    StaleRevision,
    StoreError,
    Unavailable,
)

__all__ = ["EtcdStore"]

log = logging.getLogger(__name__)

Tree = dict[str, Any]
T = TypeVar("T")

_MARKER = b"\0hk"
"""Behind the prefix: among what is watched, and among no resource's keys."""


class EtcdStore:
    """A Store in etcd. Made by `open`."""

    def __init__(
        self, channel: Channel, clock: Clock, *, inner: str = "", outer: str = "", lease_reuse_seconds: int = 60
    ) -> None:
        """What begins with `inner` here begins with `outer` in etcd."""
        self.client = EtcdClient(channel, clock)
        self._channel = channel
        self._clock = clock
        self._inner = inner
        self._outer = outer
        self._leases = Leases(self.client, clock, reuse_seconds=lease_reuse_seconds)
        self._asking = Asking()
        self._asks_progress = False
        self._asking.mark = self._mark
        self._known_revision: asyncio.Task[Revision] | None = None  # being asked for
        self._next_revision: asyncio.Task[Revision] | None = None  # to be asked for when that has come
        self._running: set[asyncio.Task[Any]] = set()
        self._watches: set[asyncio.Task[Any]] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, channel: Channel, clock: Clock, *, inner: str = "", outer: str = "", lease_reuse_seconds: int = 60
    ) -> AsyncIterator[EtcdStore]:
        """The store behind `channel`, which it closes, for the length of the block; `ask_version` comes first."""
        store = cls(channel, clock, inner=inner, outer=outer, lease_reuse_seconds=lease_reuse_seconds)
        try:
            yield store
        finally:
            await store._close()

    async def ask_version(self) -> None:
        """Learn what this etcd can do. Raises Unavailable where it doesn't answer."""
        status = await self.client.ask("Maintenance", "Status", {})
        self._asks_progress = tells_progress(status["version"])
        self._asking.mark = None if self._asks_progress else self._mark

    async def revision(self) -> Revision:
        """As of a read that began no earlier than this call; many calls share one."""
        self._check_open()
        if self._known_revision is None or self._known_revision.done():
            task = self._known_revision = asyncio.ensure_future(self._ask_revision())
        else:  # it may have been asked for too early
            if self._next_revision is None or self._next_revision.done():
                self._next_revision = asyncio.ensure_future(self._ask_revision_after(self._known_revision))
            task = self._next_revision
        revision = await asyncio.shield(task)
        self._asking.want(revision)
        return revision

    async def _ask_revision_after(self, earlier: asyncio.Task[Revision]) -> Revision:
        await asyncio.wait((earlier,))
        self._known_revision, self._next_revision = self._next_revision, None
        return await self._ask_revision()

    async def _ask_revision(self) -> Revision:
        answer = await self.client.range(self._key(self._inner + "/"), count_only=True)
        return Revision(answer["header"]["revision"])

    async def get(self, key: str) -> Entry | None:
        answer = await self.client.range(self._key(key))
        return self._entry(answer["kvs"][0]) if answer["kvs"] else None

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, revision: Revision | None = None) -> Page:
        if revision is not None and revision < 1:  # which to etcd is now
            raise Compacted(revision, Revision(0))
        start, end = self._span(prefix)
        if after:
            start = max(start, self._outside(after).encode() + b"\0")
        if end != b"\0" and start >= end:
            return Page([], revision if revision is not None else await self.revision(), 0)
        try:
            answer = await self.client.range(start, end, limit=limit, revision=revision or 0)
        except Refused as exc:
            raise await self._refusal(exc, revision or Revision(0)) from exc
        kvs = answer["kvs"]
        found = revision or Revision(answer["header"]["revision"])
        entries = [self._entry(kv) for kv in kvs if not kv["key"].endswith(_MARKER)]
        return Page(entries, found, answer["count"] - len(kvs))

    async def create(self, key: str, value: bytes, *, ttl_seconds: float | None = None) -> Entry:
        name = self._key(key)
        put: Tree = {"key": name, "value": bytes(value), "lease": await self._lease(ttl_seconds)}
        answer = await self._carried_out(
            self.client.transact(_at(name, 0), [{"request_put": put}], [])  # what lives there is nobody's business
        )
        if not answer["succeeded"]:
            raise KeyExists(key)
        revision = Revision(answer["header"]["revision"])
        return Entry(key, put["value"], revision, revision, 1)

    async def update(self, key: str, value: bytes, *, expected: Revision, ttl_seconds: float | None = None) -> Entry:
        name = self._key(key)
        if expected <= 0:  # which to etcd is what does not live
            raise StaleRevision(key, await self.get(key))
        put: Tree = {"key": name, "value": bytes(value), "lease": await self._lease(ttl_seconds)}
        written = {"request_range": {"key": name, "keys_only": True}}
        success = [{"request_put": put}, written]
        answer = await self._carried_out(
            self.client.transact(_at(name, expected), success, [{"request_range": {"key": name}}])
        )
        if not answer["succeeded"]:
            raise StaleRevision(key, self._current(answer))
        (kv,) = answer["responses"][1]["response_range"]["kvs"]
        return Entry(key, put["value"], kv["create_revision"], kv["mod_revision"], kv["version"])

    async def delete(self, key: str, *, expected: Revision) -> Revision:
        name = self._key(key)
        if expected <= 0:
            raise StaleRevision(key, await self.get(key))
        answer = await self._carried_out(
            self.client.transact(
                _at(name, expected), [{"request_delete_range": {"key": name}}], [{"request_range": {"key": name}}]
            )
        )
        if not answer["succeeded"]:
            raise StaleRevision(key, self._current(answer))
        return Revision(answer["header"]["revision"])

    async def watch(self, prefix: str, *, after: Revision) -> AsyncGenerator[Changes, None]:
        self._check_open()
        if after < 1:  # where no history begins
            raise Compacted(after, Revision(0))
        start, end = self._span(prefix)
        if not self._asks_progress:  # all is watched, for the marker is among all
            start, end = self._span(self._inner)
        span = Span(start, end, lambda key: self._watched(key, prefix), self._entry)
        async with aclosing(watch(self.client, span, after, self._asking, self._clock)) as batches:
            async for batch in batches:
                yield batch

    async def is_stale(self, key: str) -> bool:
        self._check_open()
        return False

    async def check(self) -> None:
        """Raises Unavailable, or NoSpace: etcd refuses writes while there is an alarm."""
        answer = await self.client.ask("Maintenance", "Status", {})
        for error in answer["errors"]:
            if "NOSPACE" in error:
                raise NoSpace
            if "no leader" in error or "CORRUPT" in error:
                raise Unavailable(error)

    async def compact(self, revision: Revision) -> None:
        self._check_open()
        if revision < 1:
            raise Compacted(revision, Revision(0))
        try:
            await self.client.ask("KV", "Compact", {"revision": revision}, "Compaction")
        except Refused as exc:
            raise await self._refusal(exc, revision) from exc

    async def _refusal(self, exc: Refused, revision: Revision) -> StoreError:
        if str(exc) == FUTURE:
            return FutureRevision(revision, await self.revision())
        if str(exc) == COMPACTED:
            return Compacted(revision, await self._oldest(revision))
        return Unavailable(str(exc))

    async def _oldest(self, revision: Revision) -> Revision:
        """How far history was compacted, which etcd tells to those who watch too early alone."""
        try:
            async with aclosing(self.watch(self._inner + "/", after=Revision(1))) as batches:
                async for _ in batches:
                    break
        except Compacted as exc:
            return exc.oldest
        return revision

    async def _mark(self) -> Revision:
        """Write the marker, whose event tells watches how far they are."""
        answer = await self.client.ask("KV", "Put", {"key": self._outer.encode() + _MARKER, "value": b""})
        return Revision(answer["header"]["revision"])

    def _watched(self, key: bytes, prefix: str) -> str | None:
        if key.endswith(_MARKER):
            return None
        name = self._inside(key)
        return name if name.startswith(prefix) else None

    async def _carried_out(self, write: Coroutine[Any, Any, T]) -> T:
        """The outcome of a write, which goes on where its caller gives up waiting, and is awaited at the end."""
        task = asyncio.ensure_future(write)
        self._running.add(task)
        task.add_done_callback(self._settled)
        return await asyncio.shield(task)

    def _settled(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited for it was told

    async def _lease(self, ttl_seconds: float | None) -> int:
        return 0 if ttl_seconds is None else await self._leases.lease(ttl_seconds)

    def _current(self, answer: Tree) -> Entry | None:
        kvs = answer["responses"][0]["response_range"]["kvs"]
        return self._entry(kvs[0]) if kvs else None

    def _entry(self, kv: Tree) -> Entry:
        return Entry(
            self._inside(kv["key"]),
            kv["value"],
            Revision(kv["create_revision"]),
            Revision(kv["mod_revision"]),
            kv["version"],
        )

    def _outside(self, key: str) -> str:
        return self._outer + key.removeprefix(self._inner)

    def _key(self, key: str) -> bytes:
        if not key:
            raise ValueError("a key can't be empty")
        return key_bytes(self._outside(key))

    def _inside(self, key: bytes) -> str:
        return self._inner + key_text(key).removeprefix(self._outer)

    def _span(self, prefix: str) -> tuple[bytes, bytes]:
        start = self._outside(prefix).encode()
        return start or b"\0", prefix_end(start)

    def _check_open(self) -> None:
        if self.client.closed:
            raise Unavailable("the store is closed")

    async def _close(self) -> None:
        while self._running:
            await asyncio.wait(self._running)
        self.client.closed = True
        for task in (self._known_revision, self._next_revision):
            if task is not None:
                task.cancel()
        await self._channel.close()


def _at(key: bytes, revision: int) -> Tree:
    """Whether a key was last written at `revision`; 0: whether nothing lives there."""
    return {"key": key, "target": TARGET["MOD"], "result": COMPARE["EQUAL"], "mod_revision": revision}
