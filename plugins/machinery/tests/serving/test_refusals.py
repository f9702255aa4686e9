"""What is refused, how it is told, and that no second reading of the bytes is possible."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from hyperkube_machinery.serving.limits import Limits
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.testing.wire import Wire

pytestmark = pytest.mark.anyio

POST = b"POST / HTTP/1.1\r\nHost: test\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
AMBIGUOUS = {
    "length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "one length twice": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "list of lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "signed length": POST + b"Content-Length: +3\r\n\r\nabc",
    "negative length": POST + b"Content-Length: -3\r\n\r\nabc",
    "hexadecimal length": POST + b"Content-Length: 0x3\r\n\r\nabc",
    "blank in the length": POST + b"Content-Length: 3 3\r\n\r\nabc",
    "underscore in the length": POST + b"Content-Length: 1_0\r\n\r\nabc",
    "empty length": POST + b"Content-Length: \r\n\r\nabc",
    "length beyond 64 bits": POST + b"Content-Length: 99999999999999999999\r\n\r\nabc",
    "folded line": POST + b"X: a\r\n b\r\n\r\n",
    "folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "blank before the colon": POST + b"Content-Length : 3\r\n\r\nabc",
    "blank before the first header": b"GET / HTTP/1.1\r\n Host: test\r\n\r\n",
    "no colon": POST + b"Content-Length\r\n\r\n",
    "no name": POST + b": 3\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: test\n\n",
    "bare line feed in headers": b"GET / HTTP/1.1\r\nHost: test\nX: a\r\n\r\n",
    "bare carriage return": b"GET / HTTP/1.1\r\nHost: test\rX: a\r\n\r\n",
    "NUL in a value": POST + b"X: a\x00b\r\n\r\n",
    "control character in a value": POST + b"X: a\x01b\r\n\r\n",
    "NUL in the target": b"GET /a\x00 HTTP/1.1\r\nHost: test\r\n\r\n",
    "blank in the target": b"GET /a b HTTP/1.1\r\nHost: test\r\n\r\n",
    "bad escape": b"GET /a%2 HTTP/1.1\r\nHost: test\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "chunks not last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size with a prefix": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "chunk size with a blank": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "chunk size with a sign": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "chunk size beyond 64 bits": CHUNKED + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "chunk longer than its size": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "chunks with bare line feeds": CHUNKED + b"3\nabc\n0\n\n",
    "length in a trailer": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
    "upgrade with a body": POST + b"Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabc",
    "upgrade with chunks": POST + b"Connection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture
def seen() -> list[str]:
    return []


@pytest.fixture
def handler(seen: list[str]) -> Any:
    def handle(request: Request) -> Response:
        answer = Response(200, request.body[:2] or b"ok")
        seen.append(request.path)
        return answer

    return handle


async def _refused(wire: Wire, code: int) -> str:
    """Check the Status that comes, and that the connection ends with it; return its message."""
    answer = await wire.answer()
    assert answer.status == code
    assert answer.headers["connection"] == "close"
    status = json.loads(answer.body)
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", code)
    assert await wire.rest() == b""
    return str(status["message"])


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_what_two_servers_could_read_differently_is_refused(
    serve: Any, handler: Any, seen: list[str], name: str
) -> None:
    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(SMUGGLED.replace(b"smuggled", b"first") + AMBIGUOUS[name] + SMUGGLED)
        assert (await wire.answer()).body == b"ok"
        await _refused(wire, 400)
    assert seen == ["/first"]


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"identity, chunked", b"xchunked", b"gzip"])
async def test_other_codings_than_chunked_are_not_implemented(
    serve: Any, handler: Any, seen: list[str], coding: bytes
) -> None:
    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n" + SMUGGLED)
        assert "transfer encoding" in await _refused(wire, 501)
    assert seen == []


async def test_an_empty_coding_is_no_coding_at_all(serve: Any, handler: Any, seen: list[str]) -> None:
    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n" + SMUGGLED)
        assert (await wire.answer()).status in (400, 501)  # the parser's versions differ
        assert await wire.rest() == b""
    assert seen == []


@pytest.mark.parametrize("method", ["FOO", "get", "PROPFIND", "CONNECT", "SETUP"])
async def test_unknown_methods_are_not_implemented(serve: Any, handler: Any, method: str) -> None:
    async with serve(handler) as server, Wire.connect(server.port) as wire:
        target = "a:1" if method == "CONNECT" else "/"
        wire.send(f"{method} {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        assert "method" in await _refused(wire, 501)


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3.0"])
async def test_other_versions_are_refused(serve: Any, handler: Any, version: str) -> None:
    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(f"GET / {version}\r\nHost: test\r\n\r\n".encode())
        assert "version" in await _refused(wire, 505)


async def test_the_preface_of_http_2_is_refused_as_a_version(serve: Any, handler: Any) -> None:
    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        await _refused(wire, 505)


async def test_a_client_that_speaks_tls_to_a_plain_port_is_refused(serve: Any, handler: Any) -> None:
    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        await _refused(wire, 400)


async def test_unknown_expectations_are_refused(serve: Any, handler: Any) -> None:
    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(POST + b"Expect: a-miracle\r\nContent-Length: 1\r\n\r\n")
        await _refused(wire, 417)


class TestLimits:
    async def test_a_target_that_is_too_long(self, serve: Any, handler: Any) -> None:
        async with (
            serve(handler, limits=Limits(request_line_bytes=100)) as server,
            Wire.connect(server.port) as wire,
        ):
            assert (await wire.ask("GET", "/" + "a" * 99)).status == 200
            wire.send(b"GET /" + b"a" * 100)  # without an end: it is refused as it grows
            assert "100" in await _refused(wire, 414)

    @pytest.mark.parametrize("header", [b"X: ", b"", b"\r\n\r\n\r\n"])
    async def test_headers_that_are_too_long(self, serve: Any, handler: Any, header: bytes) -> None:
        async with (
            serve(handler, limits=Limits(header_bytes=10_000)) as server,
            Wire.connect(server.port) as wire,
        ):
            assert (await wire.ask("GET", "/", headers=f"X: {'a' * 9900}\r\n")).status == 200
            start = b"" if header.startswith(b"\r") else b"GET / HTTP/1.1\r\nHost: test\r\n"
            wire.send(start + (header or b"a") * 12_000)
            assert "10000" in await _refused(wire, 431)

    async def test_too_many_headers(self, serve: Any, handler: Any) -> None:
        async with serve(handler, limits=Limits(header_count=10)) as server, Wire.connect(server.port) as wire:
            assert (await wire.ask("GET", "/", headers="".join(f"X{n}: a\r\n" for n in range(9)))).status == 200
            wire.send(b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(12)))
            assert "10" in await _refused(wire, 431)

    async def test_one_header_repeated_too_often(self, serve: Any, handler: Any) -> None:
        async with serve(handler, limits=Limits(header_count=10)) as server, Wire.connect(server.port) as wire:
            wire.send(b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 12)
            await _refused(wire, 431)

    async def test_a_body_whose_length_says_that_it_is_too_large(self, serve: Any, handler: Any) -> None:
        async with serve(handler, limits=Limits(body_bytes=100_000)) as server, Wire.connect(server.port) as wire:
            assert (await wire.ask("POST", "/", body=b"x" * 100_000)).status == 200
            wire.send(POST + b"Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n")
            assert await _refused(wire, 413) == "Request entity too large: limit is 100000"

    async def test_the_default_is_upstreams(self, serve: Any, handler: Any) -> None:
        async with serve(handler) as server, Wire.connect(server.port) as wire:
            wire.send(POST + b"Content-Length: 3145729\r\n\r\n")
            assert await _refused(wire, 413) == "Request entity too large: limit is 3145728"

    async def test_chunks_that_add_up_to_too_much(self, serve: Any, handler: Any, seen: list[str]) -> None:
        async with serve(handler, limits=Limits(body_bytes=100_000)) as server, Wire.connect(server.port) as wire:
            chunk = b"2710\r\n" + b"x" * 10_000 + b"\r\n"
            wire.send(CHUNKED + chunk * 10 + b"0\r\n\r\n")
            assert (await wire.answer()).status == 200
            wire.send(CHUNKED + chunk * 10 + b"1\r\nx\r\n")
            await _refused(wire, 413)
        assert seen == ["/"]

    @pytest.mark.parametrize("flood", [b"0\r\nX: ", b"0\r\n", b"1;"])
    async def test_trailers_and_extensions_are_bounded_as_headers_are(
        self, serve: Any, handler: Any, flood: bytes
    ) -> None:
        async with serve(handler, limits=Limits(header_bytes=10_000)) as server, Wire.connect(server.port) as wire:
            wire.send(CHUNKED + flood + b"a" * 20_000)
            await _refused(wire, 431)

    async def test_who_is_refused_while_still_sending_can_read_why(self, serve: Any, handler: Any) -> None:
        async with serve(handler) as server, Wire.connect(server.port) as wire:
            wire.send(POST + b"Content-Length: 50000000\r\n\r\n" + b"x" * 50_000_000)
            await _refused(wire, 413)


async def test_a_refusal_waits_for_the_answers_before_it(serve: Any) -> None:
    async def later(request: Request) -> Response:
        return Response(200, b"later")

    async with serve(later) as server, Wire.connect(server.port) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n" * 2 + b"nonsense\r\n\r\n")
        assert [(await wire.answer()).body for _ in range(2)] == [b"later", b"later"]
        assert (await wire.answer()).status == 501


TOO_LARGE = POST + b"Content-Length: 4000000\r\n\r\n"


@pytest.mark.parametrize("status", [200, 401])
async def test_a_body_that_nobody_looks_at_may_be_of_any_size(serve: Any, status: int) -> None:
    def handle(request: Request) -> Response:
        return Response(status, request.path.encode())

    async with serve(handle) as server, Wire.connect(server.port) as wire:
        wire.send(TOO_LARGE + b"x" * 4_000_000 + b"GET /next HTTP/1.1\r\nHost: test\r\n\r\n")
        answer = await wire.answer()
        assert (answer.status, answer.body, answer.headers["connection"]) == (status, b"/", "close")
        assert await wire.rest() == b""


async def test_a_request_that_is_too_large_waits_for_its_turn(serve: Any) -> None:
    released = asyncio.Event()

    async def handle(request: Request) -> Response:
        if request.method == "GET":
            await released.wait()
            return Response(200, b"first")
        return Response(200, request.body)

    async with serve(handle) as server, Wire.connect(server.port) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n" * 2 + TOO_LARGE + b"x" * 1_000_000)
        released.set()
        assert [(await wire.answer()).body for _ in range(2)] == [b"first", b"first"]
        assert await _refused(wire, 413) == "Request entity too large: limit is 3145728"


async def test_a_request_for_another_protocol_with_too_large_a_body_is_none(serve: Any, handler: Any) -> None:
    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(POST + b"Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 4000000\r\n\r\n")
        await _refused(wire, 413)
