"""A server and a client of gRPC, and clients of HTTP/1.1 on the same port."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded

from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.grpc import CallFailed, Channel, Code, Endpoint
from hyperkube_machinery.grpc.server import Conduct, GRPCServer, ServerCall, unary
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.listener import bind
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until

pytestmark = pytest.mark.anyio


class Methods:
    """What the server of these tests can do."""

    def __init__(self) -> None:
        self.left = 0

    async def echo(self, message: bytes) -> bytes:
        return message

    async def refuse(self, message: bytes) -> bytes:
        raise CallFailed(Code.FAILED_PRECONDITION, "100 % of €\n")

    async def fail(self, message: bytes) -> bytes:
        raise KeyError("bug")

    async def talk(self, call: ServerCall) -> None:
        """Answers each message twice."""
        async for message in call:
            await call.send(message)
            await call.send(message.upper())

    async def flood(self, call: ServerCall) -> None:
        while True:
            await call.send(b"x" * 100_000)
            self.left += 1

    async def wait(self, call: ServerCall) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.left += 1


def plain(request: Request) -> Response:
    return Response(200, f"{request.method} {request.path} {request.query}".encode(), "text/plain")


@asynccontextmanager
async def serving(
    methods: Methods, clock: VirtualClock, tls: ssl.SSLContext | None = None, conduct: Conduct | None = None
) -> AsyncIterator[tuple[GRPCServer, int]]:
    handlers = {
        "/t.S/Echo": unary(methods.echo),
        "/t.S/Refuse": unary(methods.refuse),
        "/t.S/Fail": unary(methods.fail),
        "/t.S/Talk": methods.talk,
        "/t.S/Flood": methods.flood,
        "/t.S/Wait": methods.wait,
    }
    server = GRPCServer(handlers, HTTPServer(plain, clock=clock), clock, conduct=conduct)
    sockets = await bind("127.0.0.1", 0, backlog=10)
    await server.start(sockets, tls)
    try:
        yield server, sockets[0].getsockname()[1]
    finally:
        await server.close()


@pytest.fixture
def methods() -> Methods:
    return Methods()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def port(methods: Methods, clock: VirtualClock) -> AsyncIterator[int]:
    async with serving(methods, clock) as (_, port):
        yield port


@pytest.fixture
async def channel(port: int, clock: VirtualClock) -> AsyncIterator[Channel]:
    channel = Channel(Endpoint(host="127.0.0.1", port=port), clock)
    yield channel
    await channel.close()


@pytest.mark.parametrize("size", [0, 1, 16379, 100_000, 2_000_000])
async def test_a_message_is_answered_by_one(channel: Channel, size: int) -> None:
    assert await channel.call("/t.S/Echo", b"x" * size) == b"x" * size


async def test_many_calls_go_at_once(channel: Channel) -> None:
    answers = await asyncio.gather(*(channel.call("/t.S/Echo", b"%d" % number) for number in range(300)))
    assert answers == [b"%d" % number for number in range(300)]


@pytest.mark.parametrize(
    ("method", "code", "text"),
    [
        ("/t.S/Refuse", Code.FAILED_PRECONDITION, "100 % of €\n"),
        ("/t.S/Fail", Code.UNKNOWN, "'bug'"),
        ("/t.S/None", Code.UNIMPLEMENTED, "unknown method None for service t.S"),
        ("/t.None/Echo", Code.UNIMPLEMENTED, "unknown service t.None"),
        ("nonsense", Code.UNIMPLEMENTED, "unknown service "),
    ],
)
async def test_a_refusal_comes_with_its_words(channel: Channel, method: str, code: Code, text: str) -> None:
    with pytest.raises(CallFailed) as failed:
        await channel.call(method, b"")
    assert (failed.value.code, failed.value.message) == (code, text)
    assert await channel.call("/t.S/Echo", b"on") == b"on"


async def test_a_message_that_is_too_large_is_refused(methods: Methods, clock: VirtualClock) -> None:
    async with serving(methods, clock, conduct=Conduct(largest_message=100)) as (_, port):
        channel = Channel(Endpoint(host="127.0.0.1", port=port), clock)
        with pytest.raises(CallFailed, match=r"received message larger than max \(101 vs. 100\)") as failed:
            await channel.call("/t.S/Echo", b"x" * 101)
        assert failed.value.code is Code.RESOURCE_EXHAUSTED
        await channel.close()


async def test_both_sides_talk_as_long_as_they_like(channel: Channel) -> None:
    async with channel.open("/t.S/Talk") as call:
        for word in (b"a", b"b", b"c" * 50_000):
            await call.send(word)
            assert [await call.next(), await call.next()] == [word, word.upper()]
        call.end()
        assert await call.next() is None


async def test_who_does_not_read_holds_the_server_up_and_costs_no_memory(channel: Channel, methods: Methods) -> None:
    async with aclosing(channel.stream("/t.S/Flood", b"")) as messages:
        await anext(messages)
        sent = -1
        while methods.left > sent:  # until it stands still
            sent = methods.left
            for _ in range(200):
                await asyncio.sleep(0)
        assert methods.left < 1000
        for _ in range(500):  # and goes on when it is read
            await anext(messages)
        assert await channel.call("/t.S/Echo", b"others") == b"others"


async def test_a_call_that_its_client_leaves_is_cancelled(channel: Channel, methods: Methods) -> None:
    async with channel.open("/t.S/Wait") as call:
        await call.send(b"")
        await channel.call("/t.S/Echo", b"")
    await until(lambda: methods.left == 1)


async def test_a_call_ends_when_its_time_is_over(
    channel: Channel, port: int, methods: Methods, clock: VirtualClock
) -> None:
    call = asyncio.ensure_future(channel.call("/t.S/Wait", b"", seconds=7))
    await clock.until_sleeping(7)
    await channel.call("/t.S/Echo", b"")
    await clock.advance(7)
    with pytest.raises(CallFailed) as failed:
        await call
    assert failed.value.code is Code.DEADLINE_EXCEEDED
    await until(lambda: methods.left == 1)


async def test_calls_fail_when_the_server_stops(methods: Methods, clock: VirtualClock) -> None:
    async with serving(methods, clock) as (_, port):
        channel = Channel(Endpoint(host="127.0.0.1", port=port), clock)
        call = asyncio.ensure_future(channel.call("/t.S/Wait", b""))
        await channel.call("/t.S/Echo", b"")
    with pytest.raises(CallFailed) as failed:
        await call
    assert failed.value.code is Code.UNAVAILABLE
    with pytest.raises(CallFailed, match=r"dial tcp 127.0.0.1:\d+: connect: connection refused"):
        await channel.call("/t.S/Echo", b"")
    assert methods.left == 1
    await channel.close()


async def test_another_endpoint_is_asked_where_one_does_not_answer(port: int, clock: VirtualClock) -> None:
    nobody = await bind("127.0.0.1", 0, backlog=1)
    gone = int(nobody[0].getsockname()[1])
    nobody[0].close()
    channel = Channel([Endpoint(host="127.0.0.1", port=gone), Endpoint(host="127.0.0.1", port=port)], clock)
    assert await channel.call("/t.S/Echo", b"here") == b"here"
    await channel.close()


async def test_a_server_that_went_without_a_word_is_given_up(port: int, clock: VirtualClock) -> None:
    class Silent(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            wire = H2Connection(H2Configuration(client_side=False))
            wire.initiate_connection()
            assert isinstance(transport, asyncio.Transport)
            transport.write(wire.data_to_send())

    silent = await asyncio.get_running_loop().create_server(Silent, "127.0.0.1", 0)
    address = silent.sockets[0].getsockname()
    channel = Channel(Endpoint(host=address[0], port=address[1]), clock, alive_seconds=30, answer_seconds=9)
    call = asyncio.ensure_future(channel.call("/t.S/Echo", b""))
    await clock.until_sleeping(30)
    await clock.advance(30)
    await clock.until_sleeping(9)
    await clock.advance(9)
    with pytest.raises(CallFailed, match="keepalive ping failed"):
        await call
    await channel.close()
    silent.close()


async def test_http_is_answered_on_the_same_port(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /health?x=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"GET /health x=1")
    writer.close()


async def talk(port: int, frames: bytes) -> list[object]:
    """What a server makes of a client's frames, until it has answered or hung up."""
    wire = H2Connection(H2Configuration(client_side=True))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    wire.initiate_connection()
    wire.send_headers(1, [(":method", "GET"), (":path", "/v?y"), (":scheme", "http"), (":authority", "a")], True)
    writer.write(wire.data_to_send() + frames)
    events: list[object] = []
    while data := await reader.read(65536):
        events += wire.receive_data(data)
        if any(isinstance(event, (ConnectionTerminated, StreamEnded)) for event in events):
            break
    writer.close()
    return events


async def test_http_requests_over_http2_are_answered_as_any(port: int) -> None:
    events = await talk(port, b"")
    head = next(event for event in events if isinstance(event, ResponseReceived))
    assert dict(head.headers or ())[b":status"] == b"200"
    assert b"".join(event.data or b"" for event in events if isinstance(event, DataReceived)) == b"GET /v y"


async def test_who_pings_too_often_is_hung_up_on(port: int) -> None:
    ping = b"\0\0\x08\x06\0\0\0\0\0" + bytes(8)
    events = await talk(port, ping * 5)
    terminated = [event for event in events if isinstance(event, ConnectionTerminated)]
    assert [event.additional_data for event in terminated] == [b"too_many_pings"]


async def test_who_says_nothing_is_hung_up_on(port: int, clock: VirtualClock) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"PRI * HT")
    await clock.until_sleeping(5)
    for _ in range(4):
        await asyncio.sleep(0.01)  # the bytes are on their way
        await clock.advance(5)
    assert await reader.read() == b""
    writer.close()


async def test_calls_go_over_tls(methods: Methods, clock: VirtualClock, tmp_path: Path) -> None:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    client_side = ssl.create_default_context()
    client_side.set_alpn_protocols(["h2"])
    authority.configure_trust(client_side)
    async with serving(methods, clock, server_side) as (_, port):
        channel = Channel(Endpoint(host="127.0.0.1", port=port, tls=client_side), SystemClock())
        assert await channel.call("/t.S/Echo", b"x" * 1_000_000) == b"x" * 1_000_000
        await channel.close()
        stranger = ssl.create_default_context()
        channel = Channel(Endpoint(host="127.0.0.1", port=port, tls=stranger), SystemClock())
        with pytest.raises(CallFailed, match="certificate"):
            await channel.call("/t.S/Echo", b"")
        await channel.close()
