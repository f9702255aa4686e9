"""Both ways to an API server, against one handler: what a client sees is the same."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from hyperkube_machinery import tls
from hyperkube_machinery.client import connect
from hyperkube_machinery.client.http import HTTPTransport
from hyperkube_machinery.client.local import LocalServer, LocalTransport
from hyperkube_machinery.client.transport import Outgoing, Transport, Unreachable
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.kubeconfig import Access
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.limits import Limits
from hyperkube_machinery.serving.messages import Answer, BodyWriter, Request, Response, StreamingResponse, Upgrade
from hyperkube_machinery.testing.waiting import until

pytestmark = pytest.mark.anyio

NOW = 1_790_000_000.0
LIMITS = Limits(body_bytes=1000, sweep_seconds=0.05)


class Echo:
    """A handler that shows what it got, and does what a path says."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.cancelled = 0
        self.written = 0
        self.released = asyncio.Event()

    def __call__(self, request: Request) -> Answer | Awaitable[Answer]:
        self.seen.append(request)
        match request.path:
            case "/refused":
                raise APIError.of(403, "Forbidden", "not you")
            case "/fails":
                raise RuntimeError("a bug")
            case "/slow":
                return self._slow()
            case "/stuck":
                return self._stuck()
            case "/stream":
                return StreamingResponse(self._stream, headers=(("X-A", "1"), ("X-A", "2")))
            case "/breaks":
                return StreamingResponse(self._breaks)
            case "/flood":
                return StreamingResponse(self._flood)
            case "/quiet":
                return StreamingResponse(self._quiet)
            case "/upgrade":
                return Upgrade(asyncio.Protocol)
            case "/body":
                return Response(200, request.body)
        return Response(200, [b"a", b"b"], headers=(("X-A", "1"), ("X-A", "2")))

    async def _slow(self) -> Answer:
        await asyncio.sleep(0)
        return Response(201, b"slow")

    async def _stuck(self) -> Answer:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.cancelled += 1
        raise AssertionError

    async def _stream(self, writer: BodyWriter) -> None:
        for number in range(3):
            writer.send(b"%d" % number)
            await writer.drain()
        await self.released.wait()
        writer.send_framed(b"4\r\nlast\r\n")

    async def _breaks(self, writer: BodyWriter) -> None:
        writer.send(b"some")
        await self.released.wait()
        raise RuntimeError("broke off")

    async def _flood(self, writer: BodyWriter) -> None:
        while self.written < 64 << 20:
            writer.send(b"x" * 10_000)
            self.written += 10_000
            await writer.drain()

    async def _quiet(self, writer: BodyWriter) -> None:
        try:
            writer.send(b"begun")
            await writer.wait_closed()
        finally:
            self.cancelled += 1


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture(scope="module")
def ca() -> tls.KeyPair:
    return tls.create_ca("test-ca", now=NOW)


class TransportContract:
    """What the client relies on; every Transport passes all of it."""

    async def test_requests_and_answers_come_through_as_they_are(self, echo: Echo, transport: Transport) -> None:
        headers = (("accept", "x"), ("x-a", "1"), ("x-a", "2"))
        answer = await transport.ask(Outgoing("POST", "/a%20b/c?x=%31&y", headers, b"body"))
        assert (answer.status, answer.body) == (200, b"ab")
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-a"] == "1, 2"
        (request,) = echo.seen
        assert (request.method, request.path, request.query, request.body) == ("POST", "/a b/c", "x=%31&y", b"body")
        assert (request.headers["accept"], request.headers["x-a"]) == ("x", "1, 2")
        assert request.connection.peer_address == "127.0.0.1"

    async def test_who_is_there_is_told_by_its_certificate(
        self, echo: Echo, transport: Transport, ca: tls.KeyPair
    ) -> None:
        await transport.ask(Outgoing("GET", "/"))
        assert echo.seen[-1].connection.peer_certificate is None
        echo.seen[-1].connection.state["who"] = "nobody"
        client = tls.issue_client_certificate(ca, "me", now=NOW)
        transport.show(client.certificate_pem, client.key_pem)
        await transport.ask(Outgoing("GET", "/"))
        shown = echo.seen[-1].connection
        assert shown.peer_certificate == ssl.PEM_cert_to_DER_cert(client.certificate_pem.decode())
        assert "who" not in shown.state

    async def test_one_client_is_one_to_the_server(self, echo: Echo, transport: Transport) -> None:
        for _ in range(2):
            await transport.ask(Outgoing("GET", "/"))
        assert echo.seen[0].connection is echo.seen[1].connection

    async def test_refusals_and_failures_are_answers(self, transport: Transport) -> None:
        refused = await transport.ask(Outgoing("GET", "/refused"))
        assert (refused.status, b'"reason":"Forbidden"' in refused.body) == (403, True)
        assert (await transport.ask(Outgoing("GET", "/fails"))).status == 500

    async def test_an_answer_may_take_its_time(self, transport: Transport) -> None:
        answer = await transport.ask(Outgoing("GET", "/slow"))
        assert (answer.status, answer.body) == (201, b"slow")

    async def test_a_body_that_is_too_large_is_refused(self, transport: Transport) -> None:
        answer = await transport.ask(Outgoing("PUT", "/body", (), b"x" * 1001))
        assert answer.status == 413

    async def test_a_stream_is_read_while_it_is_written(self, echo: Echo, transport: Transport) -> None:
        incoming = await transport.open(Outgoing("GET", "/stream"))
        assert (incoming.status, incoming.headers["x-a"]) == (200, "1, 2")
        got = b""
        while len(got) < 3:
            got += await incoming.read()
        assert got == b"012"
        echo.released.set()
        assert await incoming.read() == b"last"
        assert await incoming.read() == b""
        assert await incoming.read() == b""
        incoming.close()

    async def test_a_stream_can_be_had_whole(self, echo: Echo, transport: Transport) -> None:
        echo.released.set()
        assert (await transport.ask(Outgoing("GET", "/stream"))).body == b"012last"

    async def test_an_answer_that_is_whole_can_be_read_as_a_stream(self, transport: Transport) -> None:
        incoming = await transport.open(Outgoing("GET", "/"))
        assert await incoming.read() == b"ab"
        assert await incoming.read() == b""
        incoming.close()

    async def test_a_stream_that_breaks_off_is_told_from_one_that_ends(self, echo: Echo, transport: Transport) -> None:
        incoming = await transport.open(Outgoing("GET", "/breaks"))
        assert await incoming.read() == b"some"
        echo.released.set()
        with pytest.raises(Unreachable) as caught:
            await incoming.read()
        assert caught.value.broke_off

    async def test_who_writes_waits_for_who_reads(self, echo: Echo, transport: Transport) -> None:
        incoming = await transport.open(Outgoing("GET", "/flood"))
        before = -1
        while echo.written != before:
            before = echo.written
            for _ in range(50):
                await asyncio.sleep(0.001)  # real sockets fill
        assert before < 32 << 20
        size = 0
        while data := await incoming.read():
            size += len(data)
        assert size == echo.written
        incoming.close()

    async def test_a_producer_is_cancelled_when_its_reader_goes(self, echo: Echo, transport: Transport) -> None:
        incoming = await transport.open(Outgoing("GET", "/quiet"))
        assert await incoming.read() == b"begun"
        incoming.close()
        incoming.close()
        await until(lambda: echo.cancelled)

    async def test_a_handler_is_cancelled_when_its_client_goes(self, echo: Echo, transport: Transport) -> None:
        task = asyncio.create_task(transport.ask(Outgoing("GET", "/stuck")))
        await until(lambda: echo.seen)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: echo.cancelled)
        assert (await transport.ask(Outgoing("GET", "/"))).status == 200

    async def test_many_requests_run_side_by_side(self, transport: Transport) -> None:
        answers = await asyncio.gather(*(transport.ask(Outgoing("GET", "/slow")) for _ in range(200)))
        assert {answer.status for answer in answers} == {201}

    async def test_a_server_that_stops_is_unreachable(
        self, echo: Echo, transport: Transport, stop: Callable[[], Awaitable[None]]
    ) -> None:
        stuck = asyncio.create_task(transport.ask(Outgoing("POST", "/stuck")))
        incoming = await transport.open(Outgoing("GET", "/quiet"))
        assert await incoming.read() == b"begun"
        await until(lambda: len(echo.seen) == 2)
        await stop()
        with pytest.raises(Unreachable):
            await stuck
        with pytest.raises(Unreachable):
            await incoming.read()
        with pytest.raises(Unreachable):
            await transport.ask(Outgoing("GET", "/"))
        with pytest.raises(Unreachable):
            await transport.open(Outgoing("GET", "/stream"))

    async def test_what_is_open_ends_when_the_client_closes(self, echo: Echo, transport: Transport) -> None:
        incoming = await transport.open(Outgoing("GET", "/quiet"))
        assert await incoming.read() == b"begun"
        await transport.close()
        await until(lambda: echo.cancelled)

    async def test_a_protocol_is_not_changed_unasked(self, transport: Transport) -> None:
        assert (await transport.ask(Outgoing("GET", "/upgrade"))).status == 500


class TestInProcess(TransportContract):
    @pytest.fixture
    async def server(self, echo: Echo) -> AsyncIterator[LocalServer]:
        server = LocalServer(
            "https://test", echo, lambda pem, key: ssl.PEM_cert_to_DER_cert(pem.decode()), limits=LIMITS
        )
        yield server
        await server.close()

    @pytest.fixture
    async def transport(self, server: LocalServer) -> AsyncIterator[Transport]:
        transport = LocalTransport(server)
        yield transport
        await transport.close()

    @pytest.fixture
    def stop(self, server: LocalServer) -> Callable[[], Awaitable[None]]:
        return server.close


class TestHTTPS(TransportContract):
    @pytest.fixture
    async def server(self, echo: Echo, ca: tls.KeyPair, tmp_path: Path) -> AsyncIterator[HTTPServer]:
        pair = tls.issue_serving_certificate(ca, "server", ["127.0.0.1"], now=NOW)
        tls.save(pair, tmp_path / "tls.crt", tmp_path / "tls.key")
        (tmp_path / "ca.crt").write_bytes(ca.certificate_pem)
        context = tls.server_context(tmp_path / "tls.crt", tmp_path / "tls.key", client_ca_path=tmp_path / "ca.crt")
        async with HTTPServer(echo, ssl_context=context, limits=LIMITS).listening() as server:
            yield server

    @pytest.fixture
    async def transport(self, server: HTTPServer, ca: tls.KeyPair) -> AsyncIterator[Transport]:
        def context(certificate: bytes, key: bytes) -> ssl.SSLContext:
            return tls.client_context(ca_pem=ca.certificate_pem, certificate_pem=certificate, key_pem=key)

        transport = HTTPTransport("127.0.0.1", server.port, context, SystemClock())
        transport.show(b"", b"")
        async with transport.running():
            yield transport

    @pytest.fixture
    def stop(self, server: HTTPServer) -> Callable[[], Awaitable[None]]:
        return server.close


async def test_a_server_that_is_started_again_in_this_process_is_found_by_its_address(
    ca: tls.KeyPair, tmp_path: Path
) -> None:
    pair = tls.issue_serving_certificate(ca, "server", ["127.0.0.1"], now=NOW)
    tls.save(pair, tmp_path / "tls.crt", tmp_path / "tls.key")
    context = tls.server_context(tmp_path / "tls.crt", tmp_path / "tls.key")
    later = HTTPServer(lambda request: Response(200, b"later"), clock=SystemClock(), ssl_context=context)
    async with later.listening("127.0.0.1", 0):
        address = f"https://127.0.0.1:{later.port}"
        first = LocalServer(address, lambda request: Response(200, b"first"), lambda certificate, key: b"")
        access = Access(server=address, ca_pem=ca.certificate_pem)
        async with connect(access, clock=SystemClock(), user_agent="test", local=first) as client:
            assert (await client.raw("GET", "/")).body == b"first"
            await first.close()
            answers = await asyncio.gather(*(client.raw("GET", "/") for _ in range(3)))
            assert {answer.body for answer in answers} == {b"later"}
        with pytest.raises(Unreachable):
            await client.raw("GET", "/")
