"""What clients may send, and what they get for it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.limits import Limits
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.testing.wire import Wire

pytestmark = pytest.mark.anyio

GET = b"GET /%d HTTP/1.1\r\nHost: test\r\n\r\n"


async def test_a_request_reaches_its_handler_with_all_that_was_sent(serve: Any) -> None:
    seen: list[Request] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        return Response(201, b"made", "text/plain", (("X-One", "1"), ("X-Two", "ü")))

    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(
            b"POST /api/v1/a%20b?x=%20&y HTTP/1.1\r\nHost: test\r\nACCEPT: a\r\nAccept:  b \t\r\n"
            b"User-Agent: J\xc3\xbcrgen\r\nContent-Length: 4\r\n\r\nbody"
        )
        answer = await wire.answer()
    (request,) = seen
    assert (request.method, request.path, request.query, request.body) == ("POST", "/api/v1/a b", "x=%20&y", b"body")
    assert request.headers == {"host": "test", "accept": "a, b", "user-agent": "Jürgen", "content-length": "4"}
    assert (request.values("accept"), request.values("host"), request.values("x")) == (["a", "b"], ("test",), ())
    assert request.connection.peer_address == "127.0.0.1"
    assert request.connection.peer_certificate is None
    assert request.connection.peer_chain == ()
    assert (answer.status, answer.body) == (201, b"made")
    assert answer.headers["content-type"] == "text/plain"
    assert (answer.headers["x-one"], answer.headers["x-two"]) == ("1", "ü")


async def test_a_comma_in_a_header_makes_no_two_values_of_it(serve: Any) -> None:
    """Nor does a header of one request belong to the next."""
    seen: list[Request] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        return Response(200)

    async with serve(handler) as server, Wire.connect(server.port) as wire:
        for lines in (b"G: a, b\r\n", b"G: a\r\nG: b, c\r\n", b"G: d\r\n"):
            wire.send(b"GET / HTTP/1.1\r\nHost: test\r\n" + lines + b"\r\n")
            await wire.answer()
    assert [list(request.values("g")) for request in seen] == [["a, b"], ["a", "b, c"], ["d"]]
    assert [request.headers["g"] for request in seen] == ["a, b", "a, b, c", "d"]


async def test_answers_carry_the_date_of_the_servers_clock(serve: Any, clock: Any) -> None:
    async with serve() as server, Wire.connect(server.port) as wire:
        first = await wire.ask("GET", "/")
        await clock.advance(61)
        second = await wire.ask("GET", "/")
    assert first.headers["date"] == "Mon, 21 Sep 2026 14:13:20 GMT"
    assert second.headers["date"] == "Mon, 21 Sep 2026 14:14:21 GMT"


async def test_a_connection_serves_many_requests_and_remembers_what_handlers_put_there(serve: Any) -> None:
    def handler(request: Request) -> Response:
        request.connection.state["count"] = request.connection.state.get("count", 0) + 1
        return Response(200, str(request.connection.state["count"]).encode())

    async with serve(handler) as server, Wire.connect(server.port) as wire:
        assert [(await wire.ask("GET", "/")).body for _ in range(3)] == [b"1", b"2", b"3"]


async def test_an_answer_in_parts_arrives_joined(serve: Any) -> None:
    async with serve(lambda _: Response(200, [b"a", b"", b"bc"])) as server, Wire.connect(server.port) as wire:
        answer = await wire.ask("GET", "/")
    assert (answer.headers["content-length"], answer.body) == ("3", b"abc")


@pytest.mark.parametrize("size", [65535, 65536, 65537, 10_000_000])
async def test_an_answer_of_any_size_arrives_whole(serve: Any, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    parts: list[bytes | list[bytes]] = [body[:size], [body[at : min(at + 999, size)] for at in range(0, size, 999)]]
    async with serve(lambda r: Response(200, parts[int(r.query)])) as server, Wire.connect(server.port) as wire:
        for query in "01":
            answer = await wire.ask("GET", f"/?{query}")
            assert int(answer.headers["content-length"]) == size
            assert answer.body == body[:size]


async def test_head_gets_the_length_and_no_body(serve: Any) -> None:
    async with serve(lambda _: Response(200, b"abc")) as server, Wire.connect(server.port) as wire:
        answer = await wire.ask("HEAD", "/")
        assert answer.headers["content-length"] == "3"
        assert (await wire.ask("GET", "/")).body == b"abc"


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_has_no_length(serve: Any, status: int) -> None:
    async with serve(lambda _: Response(status, b"", "")) as server, Wire.connect(server.port) as wire:
        answer = await wire.ask("GET", "/")
        assert "content-length" not in answer.headers
        assert "content-type" not in answer.headers
        assert (await wire.ask("GET", "/")).status == status


async def test_pipelined_requests_are_answered_in_order_whoever_is_ready_first(serve: Any) -> None:
    gates = [asyncio.Event() for _ in range(4)]
    begun: list[str] = []

    def handler(request: Request) -> Any:
        begun.append(request.path)
        number = int(request.path[1:])
        if number % 2:
            return Response(200, request.path.encode())

        async def wait() -> Response:
            await gates[number].wait()
            return Response(200, request.path.encode())

        return wait()

    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(b"".join(GET % number for number in range(4)))
        gates[2].set()
        gates[0].set()
        assert [(await wire.answer()).body for _ in range(4)] == [b"/0", b"/1", b"/2", b"/3"]
    assert begun == ["/0", "/1", "/2", "/3"]


async def test_reading_pauses_while_many_requests_wait(serve: Any) -> None:
    gate = asyncio.Event()
    arrived = asyncio.Event()
    served = 0

    async def wait(request: Request) -> Response:
        nonlocal served
        arrived.set()
        await gate.wait()
        served += 1
        return Response(200, request.path.encode())

    async with serve(wait, limits=Limits(pipelined_requests=4)) as server, Wire.connect(server.port) as wire:
        count = 40_000  # 1.5 MB, where a loop reads up to 256 KiB at once
        wire.send(b"".join(GET % number for number in range(count)))
        await arrived.wait()
        for _ in range(200):
            await asyncio.sleep(0)
        (connection,) = server._connections
        assert len(connection._queue) < 4 + 4096 // len(GET)
        assert len(connection._backlog) <= 512 * 1024
        gate.set()
        for number in range(count):
            assert (await wire.answer()).body == b"/%d" % number
    assert served == count


async def test_queued_bodies_count_too(serve: Any) -> None:
    gate = asyncio.Event()
    arrived = asyncio.Event()

    async def wait(request: Request) -> Response:
        arrived.set()
        await gate.wait()
        return Response(200, str(len(request.body)).encode())

    post = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60000
    async with serve(wait, limits=Limits(pipelined_bytes=100_000)) as server, Wire.connect(server.port) as wire:
        wire.send(post * 12)
        await arrived.wait()
        (connection,) = server._connections
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(connection._queue) <= 2
        gate.set()
        assert [(await wire.answer()).body for _ in range(12)] == [b"60000"] * 12


async def test_http_1_0_closes_unless_asked_to_stay(serve: Any) -> None:
    async with serve() as server:
        async with Wire.connect(server.port) as wire:
            wire.send(b"GET /a HTTP/1.0\r\n\r\n")
            answer = await wire.answer()
            assert (answer.body, answer.headers["connection"]) == (b"GET /a? ", "close")
            assert await wire.rest() == b""
        async with Wire.connect(server.port) as wire:
            wire.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n")
            assert (await wire.answer()).headers["connection"] == "keep-alive"
            assert (await wire.answer()).body == b"GET /b? "
            assert await wire.rest() == b""


async def test_connection_close_is_answered_and_obeyed_and_ends_what_follows(serve: Any) -> None:
    async with serve() as server, Wire.connect(server.port) as wire:
        wire.send(b"GET /a HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n" + GET % 1)
        answer = await wire.answer()
        assert (answer.body, answer.headers["connection"]) == (b"GET /a? ", "close")
        assert await wire.rest() == b""


async def test_expect_100_continue_is_told_to_send(serve: Any) -> None:
    async with serve() as server, Wire.connect(server.port) as wire:
        wire.send(b"POST /a HTTP/1.1\r\nHost: test\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n")
        assert (await wire.answer()).status == 100
        wire.send(b"abc")
        assert (await wire.answer()).body == b"POST /a? abc"


async def test_expect_100_continue_waits_for_its_turn(serve: Any) -> None:
    gate = asyncio.Event()

    async def wait(request: Request) -> Response:
        await gate.wait()
        return Response(200, request.body)

    async with serve(wait) as server, Wire.connect(server.port) as wire:
        wire.send(GET % 1 + b"POST /a HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        gate.set()
        assert [(await wire.answer()).status for _ in range(2)] == [200, 100]
        wire.send(b"abc")
        assert (await wire.answer()).body == b"abc"


async def test_who_sends_the_body_along_is_not_told_to(serve: Any) -> None:
    async with serve() as server, Wire.connect(server.port) as wire:
        wire.send(b"POST /a HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
        assert (await wire.answer()).status == 200


async def test_a_body_in_chunks_may_be_cut_at_every_byte(serve: Any) -> None:
    request = (
        b"POST /a HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n1a;extension=1\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX-Trailer: t\r\n\r\n"
    )
    expected = b"POST /a? abcabcdefghijklmnopqrstuvwxyz"
    async with serve() as server, Wire.connect(server.port) as wire:
        (transport,) = [await _transport(server, wire)]
        for cut in range(1, len(request)):
            # Straight into the protocol: a socket would join the parts.
            transport.data_received(request[:cut])
            transport.data_received(request[cut:])
            assert (await wire.answer()).body == expected
        for byte in request:
            transport.data_received(bytes([byte]))
        assert (await wire.answer()).body == expected


async def _transport(server: Any, wire: Wire) -> Any:
    await wire.ask("GET", "/")
    (connection,) = server._connections
    return connection


async def test_a_client_that_closes_its_half_gets_its_answers(serve: Any) -> None:
    gate = asyncio.Event()

    def handler(request: Request) -> Any:
        async def wait() -> Response:
            await gate.wait()
            return Response(200, request.path.encode())

        return wait() if request.path == "/1" else Response(200, request.path.encode())

    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(GET % 1 + GET % 2)
        wire.writer.write_eof()
        gate.set()
        assert [(await wire.answer()).body for _ in range(2)] == [b"/1", b"/2"]
        assert await wire.rest() == b""


async def test_a_request_cut_short_by_its_client_never_reaches_a_handler(serve: Any) -> None:
    seen: list[Request] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        return Response(200)

    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nabc")
        wire.writer.write_eof()
        assert await wire.rest() == b""
    assert seen == []


async def test_an_api_error_is_answered_as_it_says(serve: Any) -> None:
    error = APIError.of(429, "TooManyRequests", "not now")
    error.headers = (("Retry-After", "7"),)

    def at_once(request: Request) -> Response:
        raise error

    async def later(request: Request) -> Response:
        await asyncio.sleep(0)
        raise error

    for handler in (at_once, later):
        async with serve(handler) as server, Wire.connect(server.port) as wire:
            answer = await wire.ask("GET", "/")
            assert (answer.status, answer.headers["retry-after"]) == (429, "7")
            assert json.loads(answer.body) == error.status
            assert (await wire.ask("GET", "/")).status == 429


async def _raises(request: Request) -> Response:
    await asyncio.sleep(0)
    raise LookupError("a secret")


async def _cancels_itself(request: Request) -> Response:
    raise asyncio.CancelledError


def _raises_at_once(request: Request) -> Response:
    raise LookupError("a secret")


@pytest.mark.parametrize("handler", [_raises, _raises_at_once, _cancels_itself, lambda _: None, lambda _: "text"])
async def test_any_other_failure_is_logged_and_answered_500_and_the_connection_goes_on(
    serve: Any, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(handler) as server, Wire.connect(server.port) as wire:
        for _ in range(2):
            answer = await wire.ask("GET", "/boom")
            status = json.loads(answer.body)
            assert (answer.status, status["kind"], status["reason"]) == (500, "Status", "InternalError")
            assert "secret" not in answer.body.decode()
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
    assert "GET /boom" in caplog.text


async def test_a_line_break_in_a_header_cannot_end_it(serve: Any) -> None:
    headers = (("Warning", '299 - "a\r\nX-Evil: 1\nb"'),)
    async with serve(lambda _: Response(200, b"", headers=headers)) as server, Wire.connect(server.port) as wire:
        answer = await wire.ask("GET", "/")
    assert "x-evil" not in answer.headers
    assert answer.headers["warning"] == '299 - "a  X-Evil: 1 b"'


async def test_a_handler_is_cancelled_when_its_client_goes(serve: Any) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(request: Request) -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    async with serve(wait) as server:
        async with Wire.connect(server.port) as wire:
            wire.send(GET % 1)
            await begun.wait()
            wire.reset()
        async with asyncio.timeout(10):
            await cancelled.wait()


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a%2Fb?c=%2F", "/a/b", "c=%2F"),
        ("/%C3%BC", "/ü", ""),
        ("/%ff", "/\N{REPLACEMENT CHARACTER}", ""),
        ("/a?b?c", "/a", "b?c"),
        ("//a", "//a", ""),
        ("http://host:80/a?b", "/a", "b"),
        ("http://host", "/", ""),
        ("*", "*", ""),
    ],
)
async def test_targets(serve: Any, target: str, path: str, query: str) -> None:
    async with serve() as server, Wire.connect(server.port) as wire:
        assert (await wire.ask("OPTIONS", target)).body.decode() == f"OPTIONS {path}?{query} "
