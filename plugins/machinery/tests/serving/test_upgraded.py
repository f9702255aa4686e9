"""Connections in the hands of coroutines: back-pressure, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hyperkube_machinery.serving.messages import Upgrade
from hyperkube_machinery.serving.upgraded import ByteStream
from hyperkube_machinery.testing.waiting import until
from hyperkube_machinery.testing.wire import Wire

pytestmark = pytest.mark.anyio

ASK = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: bytes\r\n\r\n"
Talk = Callable[[ByteStream], Awaitable[None]]


@pytest.fixture
def handler(clock: Any) -> Callable[[Talk], Any]:
    def start(work: Awaitable[None]) -> asyncio.Task[None]:
        return asyncio.ensure_future(work)

    return lambda talk: lambda request: Upgrade(lambda: ByteStream(talk, start, clock), [("Upgrade", "bytes")])


async def test_pieces_come_and_go(serve: Any, handler: Any) -> None:
    async def talk(stream: ByteStream) -> None:
        async for piece in stream:
            await stream.send(piece.upper())

    async with serve(handler(talk)) as server, Wire.connect(server.port) as wire:
        wire.send(ASK + b"ahead")
        assert (await wire.head()).status == 101
        async with asyncio.timeout(10):
            assert await wire.reader.readexactly(5) == b"AHEAD"
            wire.send(b"then")
            assert await wire.reader.readexactly(4) == b"THEN"


async def test_who_is_still_sending_can_read_the_answer(serve: Any, handler: Any) -> None:
    """A connection that is closed with bytes unread is reset, and the answer lost on its way."""

    async def talk(stream: ByteStream) -> None:
        await stream.send(b"enough")

    async with serve(handler(talk)) as server, Wire.connect(server.port) as wire:
        wire.send(ASK)
        assert (await wire.head()).status == 101
        async with asyncio.timeout(10):
            for _ in range(100):
                wire.send(b"x" * 100_000)
                await wire.writer.drain()
            assert await wire.reader.readexactly(6) == b"enough"
            wire.writer.close()
            await until(lambda: not server.connections)


async def test_who_never_goes_is_left_in_the_end(serve: Any, handler: Any, clock: Any) -> None:
    done = asyncio.Event()

    async def talk(stream: ByteStream) -> None:
        done.set()

    async with serve(handler(talk)) as server, Wire.connect(server.port) as wire:
        wire.send(ASK)
        await wire.head()
        await done.wait()
        await clock.advance(4.9)
        assert server.connections == 1
        await clock.advance(0.2)
        async with asyncio.timeout(10):
            assert await wire.rest() == b""


async def test_a_client_that_goes_ends_the_coroutine(serve: Any, handler: Any) -> None:
    ended = asyncio.Event()

    async def talk(stream: ByteStream) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serve(handler(talk)) as server, Wire.connect(server.port) as wire:
        wire.send(ASK)
        await wire.head()
        wire.reset()
        async with asyncio.timeout(10):
            await ended.wait()


class Transport(asyncio.Transport):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def close(self) -> None:
        self.told.append("close")


async def test_who_sends_more_than_is_taken_waits(clock: Any) -> None:
    gate, taken = asyncio.Event(), asyncio.Event()

    async def talk(stream: ByteStream) -> None:
        await gate.wait()
        assert [len(piece) async for piece in stream] == [1 << 20, 1]
        taken.set()

    transport = Transport()
    tasks: list[asyncio.Task[None]] = []

    def start(work: Awaitable[None]) -> asyncio.Task[None]:
        tasks.append(asyncio.ensure_future(work))
        return tasks[-1]

    stream = ByteStream(talk, start, clock)
    stream.connection_made(transport)
    stream.data_received(bytes(1 << 20))
    assert transport.told == []
    stream.data_received(b"x")
    assert transport.told == ["pause"]
    gate.set()
    stream.eof_received()
    await taken.wait()
    assert transport.told == ["pause", "resume"]
    await asyncio.gather(*tasks)
    assert transport.told[2:] == ["close"]
