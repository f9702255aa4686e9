"""HTTP connections to a server that does what a test says, byte by byte."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hyperkube_machinery.client.connection import HTTPConnection
from hyperkube_machinery.client.http import HTTPTransport
from hyperkube_machinery.client.transport import Outgoing, Unreachable
from hyperkube_machinery.clock import Clock, SystemClock
from hyperkube_machinery.exchange import Peer
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until

pytestmark = pytest.mark.anyio

GET = Outgoing("GET", "/x")
POST = Outgoing("POST", "/x", (), b"{}")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Scripted:
    """Answers the requests of its connections with the next bytes of a script; None hangs up, "" says nothing."""

    def __init__(self, *script: bytes | None) -> None:
        self.script = list(script)
        self.requests: list[bytes] = []
        self.connections: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"content-length: 2" in head:
                    head += await reader.readexactly(2)
                self.requests.append(head)
                answer = self.script.pop(0)
                if answer is None:
                    return
                writer.write(answer)
                if b"Connection: close" in answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def talking(scripted: Scripted, clock: Clock | None = None) -> AsyncIterator[HTTPTransport]:
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = HTTPTransport("127.0.0.1", port, lambda certificate, key: None, clock or SystemClock())
    try:
        async with transport.running():
            yield transport
    finally:
        server.close()
        for writer in scripted.connections:
            writer.close()
        await server.wait_closed()


def test_what_a_request_is_shown_as_holds_no_secrets() -> None:
    request = Outgoing("POST", "/x", (("authorization", "Bearer s3cret"),), b'{"token": "s3cret"}')
    assert "s3cret" not in repr(request)


async def test_a_connection_is_used_again() -> None:
    scripted = Scripted(OK, OK, OK)
    async with talking(scripted) as transport:
        for _ in range(3):
            assert (await transport.ask(POST)).body == b"ok"
    assert len(scripted.connections) == 1
    first = scripted.requests[0].decode()
    assert first.startswith("POST /x HTTP/1.1\r\nhost: 127.0.0.1:")
    assert first.endswith("content-length: 2\r\n\r\n{}")


async def test_a_connection_that_the_server_closed_is_left_alone() -> None:
    scripted = Scripted(OK, OK)
    async with talking(scripted) as transport:
        await transport.ask(GET)
        scripted.connections[0].close()
        await until(lambda: transport._idle[0].lost)
        await transport.ask(POST)
    assert len(scripted.connections) == 2


async def test_who_is_somebody_else_by_now_uses_no_connection_of_before() -> None:
    scripted = Scripted(OK[:-1], OK)
    async with talking(scripted) as transport:
        incoming = await transport.open(GET)
        transport.show(b"", b"")  # a certificate was renewed while an answer was on its way
        scripted.connections[0].write(b"k")
        body = b""
        while piece := await incoming.read():
            body += piece
        assert body == b"ok"
        assert (await transport.ask(GET)).body == b"ok"
    assert len(scripted.connections) == 2


async def test_threads_with_loops_of_their_own_do_not_read_into_one_buffer() -> None:
    def buffer() -> memoryview:
        return HTTPConnection(Peer("127.0.0.1", 1)).get_buffer(0)

    assert buffer() is buffer()
    assert await asyncio.to_thread(buffer) is not buffer()


async def test_what_only_reads_is_sent_again_where_a_kept_connection_turns_out_closed() -> None:
    scripted = Scripted(OK, None, OK)
    async with talking(scripted) as transport:
        await transport.ask(GET)
        assert (await transport.ask(GET)).body == b"ok"
    assert (len(scripted.connections), len(scripted.requests)) == (2, 3)


async def test_what_changes_something_is_not_sent_twice() -> None:
    scripted = Scripted(OK, None, OK)
    async with talking(scripted) as transport:
        await transport.ask(GET)
        with pytest.raises(Unreachable) as caught:
            await transport.ask(POST)
    assert caught.value.broke_off
    assert str(caught.value).startswith('POST "http://127.0.0.1:')
    assert len(scripted.requests) == 2


async def test_a_new_connection_that_is_closed_is_no_reason_to_try_again() -> None:
    scripted = Scripted(None, OK)
    async with talking(scripted) as transport:
        with pytest.raises(Unreachable, match="EOF"):
            await transport.ask(GET)
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nold", b"old"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
async def test_bodies_end_where_they_say(answer: bytes, body: bytes) -> None:
    async with talking(Scripted(answer, OK)) as transport:
        assert (await transport.ask(GET)).body == body
        assert (await transport.ask(GET)).body == b"ok"


async def test_an_answer_to_head_has_no_body() -> None:
    async with talking(Scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", OK)) as transport:
        answer = await transport.ask(Outgoing("HEAD", "/x"))
        assert (answer.headers["content-length"], answer.body) == ("5", b"")
        assert (await transport.ask(GET)).body == b"ok"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"nonsense\r\n\r\n", "malformed HTTP response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nshor", "EOF"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "nobody asked for"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed HTTP response"),
    ],
)
async def test_what_is_no_answer_is_told(answer: bytes, told: str) -> None:
    async with talking(Scripted(answer, OK)) as transport:
        with pytest.raises(Unreachable, match=told):
            await transport.ask(GET)
        assert (await transport.ask(GET)).body == b"ok"


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    scripted = Scripted(OK, OK)
    async with talking(scripted) as transport:
        await transport.ask(GET)
        scripted.connections[0].write(OK)
        await until(lambda: transport._idle[0].lost)
        assert (await transport.ask(GET)).body == b"ok"
    assert len(scripted.connections) == 2


async def test_a_request_that_takes_too_long_is_given_up() -> None:
    clock = VirtualClock()
    scripted = Scripted(b"", OK)
    async with talking(scripted, clock) as transport:
        task = asyncio.create_task(transport.ask(Outgoing("GET", "/x", seconds=30)))
        await until(lambda: scripted.requests)
        await clock.advance(29)
        assert not task.done()
        await clock.advance(2)
        with pytest.raises(Unreachable, match="took too long"):
            await task
        assert (await transport.ask(GET)).body == b"ok"


async def test_a_stream_ends_with_its_time() -> None:
    clock = VirtualClock()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
    async with talking(Scripted(head), clock) as transport:
        incoming = await transport.open(Outgoing("GET", "/x", seconds=30))
        assert await incoming.read() == b"ok"
        await clock.advance(31)
        with pytest.raises(Unreachable, match="took too long"):
            await incoming.read()


async def test_connections_are_not_kept_for_ever() -> None:
    clock = VirtualClock()
    scripted = Scripted(OK, OK)
    async with talking(scripted, clock) as transport:
        await transport.ask(GET)
        await clock.advance(62)
        assert not transport._idle
        await transport.ask(GET)
    assert len(scripted.connections) == 2


@pytest.mark.parametrize(
    "request_",
    [
        Outgoing("GET", "/x\r\nx: y"),
        Outgoing("GET", "/x", (("a", "b\r\nx: y"),)),
        Outgoing("GET", "/x", (("a", "\n"),)),
    ],
)
async def test_no_value_becomes_a_header_of_its_own(request_: Outgoing) -> None:
    scripted = Scripted(OK)
    async with talking(scripted) as transport:
        with pytest.raises(ValueError, match="line break"):
            await transport.ask(request_)
    assert scripted.requests == []


async def test_why_nobody_answers_is_told_as_go_tells_it(free_port: int) -> None:
    transport = HTTPTransport("127.0.0.1", free_port, lambda certificate, key: None, SystemClock())
    async with transport.running():
        with pytest.raises(Unreachable) as caught:
            await transport.ask(GET)
    assert str(caught.value) == (
        f'GET "http://127.0.0.1:{free_port}/x": dial tcp 127.0.0.1:{free_port}: connect: connection refused'
    )
    assert not caught.value.broke_off


@pytest.fixture
def free_port() -> int:
    """One where nobody listens: it was free just now, and is nobody's to be had."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_a_server_that_does_not_answer_the_call_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(*args: object, **options: object) -> object:
        return await asyncio.get_running_loop().create_future()

    clock = VirtualClock()
    transport = HTTPTransport("192.0.2.1", 443, lambda certificate, key: None, clock)
    async with transport.running():
        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", nobody)
        task = asyncio.create_task(transport.ask(GET))
        await clock.advance(32)
        with pytest.raises(Unreachable, match=r"dial tcp 192\.0\.2\.1:443: i/o timeout"):
            await task


async def test_who_is_cancelled_leaves_no_half_used_connection() -> None:
    scripted = Scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nha", OK)
    async with talking(scripted) as transport:
        task = asyncio.create_task(transport.ask(GET))
        await until(lambda: scripted.requests)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await transport.ask(GET)).body == b"ok"
    assert len(scripted.connections) == 2
