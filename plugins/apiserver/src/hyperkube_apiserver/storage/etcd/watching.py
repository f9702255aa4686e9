"""A watch on etcd as the store has it: batches of changes, and how far they tell.

connected ─→ created at C ─→ events … C ─→ (asked how far it is, where nobody tells) ─→ events …
     ↑                                                                                     │
     └──────────────── from the last revision that was told of ←── lost ──────────────────┘
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from hyperkube_apiserver.storage.etcd.client import EtcdClient, translated
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.etcdapi import DELETED, ETCD
from hyperkube_machinery.grpc import Call, CallFailed, Code
from hyperkube_machinery.storage.interface import Change, Changes, Compacted, Entry, Revision, StoreError, Unavailable

__all__ = ["Asking", "Span", "watch"]

log = logging.getLogger(__name__)

Tree = dict[str, Any]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_ASKED_SECONDS = 0.1
"""Between two questions how far a watch is, and before the first."""


@dataclass(frozen=True, slots=True)
class Span:
    """The keys that are watched, and what they are called here."""

    start: bytes
    end: bytes
    name: Callable[[bytes], str | None]  # None: not told of
    make: Callable[[Tree], Entry]


class Asking:
    """How far watches should be, and how one that isn't is brought there."""

    def __init__(self) -> None:
        self.wanted = Revision(0)
        self.mark: Callable[[], Awaitable[Revision]] | None = None  # writes a marker; None: etcd can be asked
        self.marked = Revision(0)  # the last one's
        self._waiting: set[asyncio.Future[None]] = set()

    def want(self, revision: Revision) -> None:
        """Somebody waits for watches to come to `revision`."""
        if revision > self.wanted:
            self.wanted = revision
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)

    async def more(self) -> None:
        """Return when more is wanted than now."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)


async def watch(
    client: EtcdClient, span: Span, after: Revision, asking: Asking, clock: Clock
) -> AsyncGenerator[Changes, None]:
    """See Store.watch. Goes on when etcd was away for a while; raises Unavailable once the client is closed."""
    position, pause, told = after, _FIRST_PAUSE, False
    while True:
        try:
            async with client.watching() as call, aclosing(_follow(call, span, position, asking, clock)) as batches:
                async for batch in batches:
                    pause = _FIRST_PAUSE
                    if batch.revision > position or batch.changes or not told:
                        position, told = max(position, batch.revision), True
                        yield batch
        except CallFailed as exc:
            if client.closed:
                raise Unavailable("the store is closed") from exc
            log.warning("lost a watch on etcd, beginning it again after revision %d: %s", position, translated(exc))
        await clock.sleep(pause)
        if client.closed:
            raise Unavailable("the store is closed")
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _follow(
    call: Call, span: Span, after: Revision, asking: Asking, clock: Clock
) -> AsyncGenerator[Changes, None]:
    """The batches of one stream. Raises CallFailed where it breaks off, and Compacted."""
    create = {
        "key": span.start,
        "range_end": span.end,
        # One earlier than is told of: where history is compacted up to a deletion, etcd forgets that as well.
        "start_revision": max(after, 1),
        "prev_kv": True,
        "fragment": True,
    }
    await call.send(ETCD.encode("WatchRequest", {"create_request": create}))
    position, replayed_at = after, Revision(0)
    parts: list[Tree] = []
    reading = asyncio.ensure_future(_next(call))
    try:
        while True:
            while not reading.done():
                late = replayed_at and position < max(replayed_at, asking.wanted)
                if await _first(reading, clock.sleep(_ASKED_SECONDS) if late else asking.more()) and late:
                    await _ask(call, max(replayed_at, asking.wanted), asking)
            response = reading.result()
            reading = asyncio.ensure_future(_next(call))
            if response["canceled"]:
                if response["compact_revision"]:
                    raise Compacted(after, Revision(response["compact_revision"]))
                raise CallFailed(Code.UNAVAILABLE, response["cancel_reason"] or "etcd canceled the watch")
            revision = Revision(response["header"]["revision"])
            if response["created"]:
                replayed_at = revision
                if after >= revision:
                    yield Changes((), after)
                continue
            parts += response["events"]
            if response["fragment"]:
                continue
            events, parts = [event for event in parts if event["kv"]["mod_revision"] > after], []
            if events:
                position = Revision(events[-1]["kv"]["mod_revision"])
                yield Changes([change for event in events if (change := _change(event, span)) is not None], position)
            elif not response["events"] and revision > position:  # it tells how far it is
                position = revision
                yield Changes((), position)
    finally:
        reading.cancel()


async def _first(reading: asyncio.Future[Tree], other: Coroutine[Any, Any, None]) -> bool:
    """Wait for either; whether `other` was the one, and nothing was read."""
    second = asyncio.ensure_future(other)
    try:
        await asyncio.wait((reading, second), return_when=asyncio.FIRST_COMPLETED)
    finally:
        second.cancel()
    return not reading.done()


async def _next(call: Call) -> Tree:
    message = await call.next()
    if message is None:
        raise CallFailed(Code.UNAVAILABLE, "etcd ended the watch")
    return ETCD.decode("WatchResponse", message)


async def _ask(call: Call, wanted: Revision, asking: Asking) -> None:
    if asking.mark is None:
        await call.send(ETCD.encode("WatchRequest", {"progress_request": {}}))
    elif asking.marked < wanted:  # else the event of a marker is on its way
        before, asking.marked = asking.marked, wanted  # one is enough for all who ask now
        try:
            asking.marked = await asking.mark()
        except StoreError as exc:
            asking.marked = before
            raise CallFailed(Code.UNAVAILABLE, str(exc)) from exc


def _change(event: Tree, span: Span) -> Change | None:
    kv, before = event["kv"], event["prev_kv"]
    key = span.name(kv["key"])
    if key is None:
        return None
    entry = span.make(kv) if event["type"] != DELETED else None
    return Change(key, Revision(kv["mod_revision"]), entry, span.make(before) if before is not None else None)
