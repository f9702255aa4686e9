"""Slow clients, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from hyperkube_machinery.serving.limits import Limits
from hyperkube_machinery.serving.messages import BodyWriter, Request, Response, StreamingResponse
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until
from hyperkube_machinery.testing.wire import Wire

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
LIMITS = Limits(
    header_seconds=10,
    idle_seconds=60,
    body_seconds=20,
    body_bytes_per_second=100,
    write_stall_seconds=30,
    linger_seconds=2,
)


@pytest.fixture
async def server(serve: Any) -> Any:
    async with serve(limits=LIMITS) as server:
        yield server


async def _arrives(server: Any, count: int = 1) -> None:
    """Wait until `count` clients are connected, and what they sent has been read."""
    await until(lambda: server.connections >= count)
    for _ in range(20):
        await asyncio.sleep(0)


async def _is_open(wire: Wire) -> bool:
    for _ in range(20):
        await asyncio.sleep(0)
    return not wire.reader.at_eof()


async def _timed_out(wire: Wire, part: str) -> None:
    answer = await wire.answer()
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert part in json.loads(answer.body)["message"]
    assert await wire.rest() == b""


async def test_a_client_that_says_nothing_is_left(server: Any, clock: VirtualClock) -> None:
    async with Wire.connect(server.port) as wire:
        await _arrives(server)
        await clock.advance(9)
        assert await _is_open(wire)
        await clock.advance(2)
        assert await wire.rest() == b""


async def test_a_client_that_comes_back_in_time_is_kept(server: Any, clock: VirtualClock) -> None:
    async with Wire.connect(server.port) as wire:
        for _ in range(3):
            assert (await wire.ask("GET", "/")).status == 200
            await clock.advance(58)
        await clock.advance(3)
        assert await wire.rest() == b""


async def test_headers_that_trickle_in_are_timed_from_their_first_byte(server: Any, clock: VirtualClock) -> None:
    async with Wire.connect(server.port) as wire:
        await wire.ask("GET", "/")
        await clock.advance(5)
        for byte in b"GET / HTT":
            wire.send(bytes([byte]))
            await _arrives(server)
            assert await _is_open(wire)
            await clock.advance(1)
        await clock.advance(2)
        await _timed_out(wire, "headers")


@pytest.mark.parametrize("framing", [b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nffff\r\n"])
async def test_a_body_must_come_at_a_least_rate(server: Any, clock: VirtualClock, framing: bytes) -> None:
    async with Wire.connect(server.port) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: test\r\n" + framing)
        for _ in range(40):  # twice the time without a body: 100 bytes are worth a second
            wire.send(b"x" * 100)
            await _arrives(server)
            await clock.advance(1)
        assert await _is_open(wire)
        for _ in range(22):
            wire.send(b"x")
            await _arrives(server)
            await clock.advance(1)
        await _timed_out(wire, "body")


async def test_a_handler_may_take_its_time(serve: Any, clock: VirtualClock) -> None:
    async def slow(request: Request) -> Response:
        await clock.sleep(3600)
        return Response(200, b"at last")

    async with serve(slow, limits=LIMITS) as server, Wire.connect(server.port) as wire:
        wire.send(GET + b"GET")  # not even the next request's begin matters
        await _arrives(server)
        await clock.advance(3601)
        assert (await wire.answer()).body == b"at last"
        await clock.advance(12)
        await _timed_out(wire, "headers")


async def test_a_quiet_stream_is_no_slow_client(serve: Any, clock: VirtualClock) -> None:
    async def watch(writer: BodyWriter) -> None:
        await clock.sleep(3600)
        writer.send(b"event")

    async with serve(lambda _: StreamingResponse(watch), limits=LIMITS) as server, Wire.connect(server.port) as wire:
        wire.send(GET)
        await wire.head()
        await clock.advance(3601)
        assert await wire.chunk() == b"event"


async def test_who_stops_reading_is_left_and_who_reads_slowly_is_not(serve: Any, clock: VirtualClock) -> None:
    body = b"x" * 20_000_000
    async with serve(lambda _: Response(200, body), limits=LIMITS) as server, Wire.connect(server.port) as wire:
        transport: Any = wire.writer.transport
        transport.pause_reading()
        wire.send(GET)
        await _arrives(server)
        (connection,) = server._connections
        await until(lambda: connection._paused)
        for _ in range(3):
            await clock.advance(25)
            before = connection._written - connection.buffered
            transport.resume_reading()
            read = 0
            async with asyncio.timeout(10):
                while connection._written - connection.buffered == before:
                    read += len(await wire.reader.read(65536))
            transport.pause_reading()
        assert server.connections == 1
        await clock.advance(70)
        await until(lambda: not server.connections)


async def test_a_refused_client_is_left_after_a_while_even_if_it_never_stops(serve: Any, clock: VirtualClock) -> None:
    async with serve(limits=LIMITS) as server, Wire.connect(server.port) as wire:
        wire.send(b"nonsense")
        assert (await wire.answer()).status == 501
        assert await wire.rest() == b""
        assert server.connections == 1
        await clock.advance(1)
        wire.send(b"more")
        await clock.advance(2)
        await until(lambda: not server.connections)


async def test_connections_beyond_the_limit_wait_for_others_to_go(serve: Any) -> None:
    async with (
        serve(limits=Limits(connections=2)) as server,
        Wire.connect(server.port) as first,
        Wire.connect(server.port) as second,
    ):
        assert [(await wire.ask("GET", "/")).status for wire in (first, second)] == [200, 200]
        async with Wire.connect(server.port) as third:  # in the kernel's backlog
            third.send(GET)
            for _ in range(50):
                await asyncio.sleep(0)
            assert server.connections == 2
            assert not third.reader._buffer  # type: ignore[attr-defined]
            first.writer.close()
            assert (await third.answer()).status == 200


async def test_one_sweep_looks_after_thousands_of_connections(serve: Any, clock: VirtualClock) -> None:
    """More than are looked at in one turn."""
    async with serve(limits=Limits(header_seconds=10)) as server:
        opened = [asyncio.open_connection("127.0.0.1", server.port) for _ in range(600)]
        streams = await asyncio.gather(*opened)
        await _arrives(server, 600)
        await clock.advance(12)
        await until(lambda: not server.connections)
        for _, writer in streams:
            writer.transport.abort()
