"""Watch: many watchers on one stream, each a task that follows the store.

Source: go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc/watch.go, mvcc/watchable_store.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NoReturn

from hyperkube_etcd.failures import translated
from hyperkube_etcd.keyspace import bounds, kv
from hyperkube_etcd.member import Member
from hyperkube_machinery.etcdapi import DELETED, ETCD
from hyperkube_machinery.grpc import BadMessage, CallFailed, Code
from hyperkube_machinery.grpc.server import Handler, ServerCall
from hyperkube_machinery.storage.interface import Change, Changes, Compacted, Revision

__all__ = ["watch_handler"]

Tree = dict[str, Any]

_NOBODY = -1
"""The watch ID of what is meant for all of a stream, or for none."""
_NO_PUT, _NO_DELETE = 0, 1
_AROUND = 128  # bytes of an event besides its keys and values, roughly


@dataclass(slots=True)
class _Watcher:
    """One watch, and how far its client was told."""

    number: int
    request: Tree
    position: Revision
    task: asyncio.Task[None] | None = None
    told: bool = False  # of anything since it was last told how far it is


def watch_handler(member: Member, *, notify_seconds: float) -> Handler:
    """Serves Watch; who asks for it is told how far a silent watch is, every `notify_seconds`."""

    async def handle(call: ServerCall) -> None:
        stream = _Stream(member, call, notify_seconds)
        await stream.serve()

    return translated(handle)


class _Stream:
    """The watches of one client's stream."""

    def __init__(self, member: Member, call: ServerCall, notify_seconds: float) -> None:
        self._member = member
        self._call = call
        self._notify_seconds = notify_seconds
        self._watchers: dict[int, _Watcher] = {}
        self._next = 0
        self._sending = asyncio.Lock()
        self._asked = Revision(0)  # somebody wants to know when all have come there

    async def serve(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                notifier = tasks.create_task(self._notify())
                try:
                    async for message in self._call:
                        await self._take(tasks, message)
                finally:
                    notifier.cancel()
                    for watcher in self._watchers.values():
                        if watcher.task is not None:
                            watcher.task.cancel()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _take(self, tasks: asyncio.TaskGroup, message: bytes) -> None:
        try:
            request = ETCD.decode("WatchRequest", message)
        except BadMessage as exc:
            raise CallFailed(Code.INTERNAL, str(exc)) from exc
        if (create := request["create_request"]) is not None:
            await self._create(tasks, create)
        elif (cancel := request["cancel_request"]) is not None:
            await self._cancel(cancel["watch_id"])
        elif request["progress_request"] is not None:
            self._asked = await self._member.store.revision()
            await self._tell_progress()

    async def _create(self, tasks: asyncio.TaskGroup, create: Tree) -> None:
        create["key"] = create["key"] or b"\0"
        end = create["range_end"]
        newest = await self._member.store.revision()
        why = ""
        if end and end != b"\0" and end <= create["key"]:
            why = "mvcc: watcher range is empty"
        elif create["watch_id"] and create["watch_id"] in self._watchers:
            why = "mvcc: duplicate watch ID provided on the WatchStream"
        if why:
            await self._send({"watch_id": _NOBODY, "created": True, "canceled": True, "cancel_reason": why}, newest)
            return
        number = create["watch_id"] or self._unused()
        after = Revision(create["start_revision"] - 1) if create["start_revision"] > 0 else newest
        watcher = self._watchers[number] = _Watcher(number, create, min(after, newest))
        await self._send({"watch_id": number, "created": True}, newest)
        watcher.task = tasks.create_task(self._follow(watcher, after))

    def _unused(self) -> int:
        while self._next in self._watchers:
            self._next += 1
        self._next += 1
        return self._next - 1

    async def _cancel(self, number: int) -> None:
        watcher = self._watchers.pop(number, None)
        if watcher is None:
            return
        if watcher.task is not None:
            watcher.task.cancel()
        await self._send({"watch_id": number, "canceled": True}, await self._member.store.revision())

    async def _follow(self, watcher: _Watcher, after: Revision) -> None:
        start, end = bounds(watcher.request["key"], watcher.request["range_end"])
        store = self._member.store
        try:
            oldest, kept = await store.read(
                lambda view: (
                    view.oldest,
                    view.kept_at(Revision(after + 1), start, end) if after + 1 == view.oldest else (),
                )
            )
            if 0 < oldest == after + 1:  # of the revision that was compacted last, what is left can be told
                after = oldest
                await self._tell(watcher, Changes(kept, oldest))
            async with aclosing(store.follow(start, end, after=after)) as batches:
                async for batch in batches:
                    await self._tell(watcher, batch)
                    if self._asked:
                        await self._tell_progress()
        except Compacted as exc:
            self._watchers.pop(watcher.number, None)
            answer = {"watch_id": watcher.number, "canceled": True, "compact_revision": exc.oldest}
            await self._send(answer, await store.revision())

    async def _tell(self, watcher: _Watcher, batch: Changes) -> None:
        events = [event for change in batch.changes if (event := _event(change, watcher.request)) is not None]
        if events:
            watcher.told = True
            answer = {"watch_id": watcher.number, "events": events}
            if watcher.request["fragment"]:
                await self._send_parts(answer, batch.revision)
            else:
                await self._send(answer, batch.revision)
        watcher.position = max(watcher.position, batch.revision)

    async def _tell_progress(self) -> None:
        """Answer who asked, once all watches have come to where the store was then."""
        if self._asked and all(watcher.position >= self._asked for watcher in self._watchers.values()):
            revision = min((watcher.position for watcher in self._watchers.values()), default=self._asked)
            self._asked = Revision(0)
            await self._send({"watch_id": _NOBODY}, revision)

    async def _notify(self) -> NoReturn:
        while True:
            await self._member.clock.sleep(self._notify_seconds)
            for watcher in list(self._watchers.values()):
                if watcher.request["progress_notify"] and not watcher.told:
                    await self._send({"watch_id": watcher.number}, watcher.position)
                watcher.told = False

    async def _send(self, answer: Tree, revision: int) -> None:
        message = ETCD.encode("WatchResponse", {"header": self._member.header_at(revision), **answer})
        async with self._sending:
            await self._call.send(message)

    async def _send_parts(self, answer: Tree, revision: int) -> None:
        """Send an answer in as many parts as it takes, with nothing between them."""
        header = self._member.header_at(revision)
        parts = list(_parts(answer["events"], self._member.largest_request))
        async with self._sending:
            for number, events in enumerate(parts, 1):
                part = {**answer, "header": header, "events": events, "fragment": number < len(parts)}
                await self._call.send(ETCD.encode("WatchResponse", part))


def _event(change: Change, request: Tree) -> Tree | None:
    """What a watcher is told of a change; None where it wants to hear nothing."""
    filters = request["filters"]
    event: Tree
    if change.entry is None:
        if _NO_DELETE in filters:
            return None
        event = {"type": DELETED, "kv": {"key": change.key.encode("latin-1"), "mod_revision": change.revision}}
    elif _NO_PUT in filters:
        return None
    else:
        event = {"kv": kv(change.entry)}
    if request["prev_kv"] and change.previous is not None:
        event["prev_kv"] = kv(change.previous)
    return event


def _parts(events: Sequence[Tree], most: int) -> Iterator[list[Tree]]:
    """The events in runs of at most so many bytes, or of one."""
    part: list[Tree] = []
    size = 0
    for event in events:
        bytes_ = sum(_size(event.get(name)) for name in ("kv", "prev_kv"))
        if part and size + bytes_ > most:
            yield part
            part, size = [], 0
        part.append(event)
        size += bytes_
    yield part


def _size(kv: Tree | None) -> int:
    return 0 if kv is None else len(kv["key"]) + len(kv.get("value", b"")) + _AROUND
