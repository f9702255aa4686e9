"""An etcd of hk's in memory, spoken to as clients speak to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hyperkube_etcd.endpoints import Endpoints
from hyperkube_etcd.member import Member
from hyperkube_etcd.services import handlers
from hyperkube_etcd.watch import watch_handler
from hyperkube_machinery.etcdapi import ETCD
from hyperkube_machinery.grpc import Call, Channel, Endpoint
from hyperkube_machinery.grpc.server import GRPCServer
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.listener import bind
from hyperkube_machinery.storage.memory import MemoryStore
from hyperkube_machinery.storage.sqlite import SQLiteStore
from hyperkube_machinery.storage.views import EmbeddedStore
from hyperkube_machinery.testing.clock import VirtualClock

Tree = dict[str, Any]


class Client:
    """Calls by their names."""

    def __init__(self, channel: Channel, member: Member, port: int) -> None:
        self.channel = channel
        self.member = member
        self.port = port

    async def ask(self, path: str, kind: str = "", **request: Any) -> Tree:
        kind = kind or path.partition("/")[2]
        message = ETCD.encode(f"{kind}Request", request)
        return ETCD.decode(f"{kind}Response", await self.channel.call(f"/etcdserverpb.{path}", message))

    async def put(self, key: bytes, value: bytes = b"", **how: Any) -> int:
        return int((await self.ask("KV/Put", key=key, value=value, **how))["header"]["revision"])

    async def range(self, key: bytes, end: bytes = b"", **how: Any) -> Tree:
        return await self.ask("KV/Range", key=key, range_end=end, **how)

    async def keys(self, key: bytes, end: bytes = b"", **how: Any) -> list[bytes]:
        return [kv["key"] for kv in (await self.range(key, end, **how))["kvs"]]

    async def txn(self, compare: Sequence[Tree], success: Sequence[Tree], failure: Sequence[Tree] = ()) -> Tree:
        return await self.ask("KV/Txn", compare=compare, success=success, failure=failure)

    @asynccontextmanager
    async def watching(self, **create: Any) -> AsyncIterator[Watching]:
        """A stream with one watch, whose creation was answered."""
        async with self.channel.open("/etcdserverpb.Watch/Watch") as call:
            watching = Watching(call)
            if create:
                await watching.ask(create_request=create)
                assert (await watching.next())["created"]
            yield watching


class Watching:
    """A stream of watches."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def ask(self, **request: Tree) -> None:
        await self._call.send(ETCD.encode("WatchRequest", request))

    async def next(self) -> Tree:
        message = await self._call.next()
        assert message is not None
        return ETCD.decode("WatchResponse", message)

    async def events(self, count: int) -> list[tuple[int, bytes, int]]:
        """The next events: whether they are deletions, of which key, at which revision."""
        found: list[tuple[int, bytes, int]] = []
        while len(found) < count:
            for event in (await self.next())["events"]:
                found.append((event["type"], event["kv"]["key"], event["kv"]["mod_revision"]))
        return found


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@asynccontextmanager
async def serving(clock: VirtualClock, file: Path | None = None, **how: Any) -> AsyncIterator[Client]:
    """An etcd whose keys are in memory, or in `file`."""
    async with AsyncExitStack() as stack:
        opened = MemoryStore.open(clock=clock) if file is None else SQLiteStore.open(file, clock=clock)
        store: EmbeddedStore = await stack.enter_async_context(opened)
        member = Member(store, clock, client_urls=["http://127.0.0.1:1"], peer_urls=["http://127.0.0.1:2"], **how)
        await member.open()
        methods = handlers(member, None)
        methods["/etcdserverpb.Watch/Watch"] = watch_handler(member, notify_seconds=600)
        server = GRPCServer(methods, HTTPServer(Endpoints(member), clock=clock), clock)
        sockets = await bind("127.0.0.1", 0, backlog=10)
        await server.start(sockets)
        stack.push_async_callback(server.close)
        port = int(sockets[0].getsockname()[1])
        channel = Channel(Endpoint(host="127.0.0.1", port=port), clock)
        stack.push_async_callback(channel.close)
        yield Client(channel, member, port)


@pytest.fixture
async def etcd(clock: VirtualClock) -> AsyncIterator[Client]:
    async with serving(clock) as client:
        yield client


__all__ = ["Client", "Watching", "serving"]
