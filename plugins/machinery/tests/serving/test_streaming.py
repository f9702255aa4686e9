"""Answers written piece by piece."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hyperkube_machinery.serving.messages import BodyWriter, Request, Response, StreamingResponse
from hyperkube_machinery.serving.stream import chunk
from hyperkube_machinery.testing.waiting import until
from hyperkube_machinery.testing.wire import Wire

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
OLD_GET = b"GET / HTTP/1.0\r\n\r\n"


async def _abc(writer: BodyWriter) -> None:
    writer.send(b"a")
    writer.send(b"")  # not the end
    writer.send_framed(chunk(b"bc" * 20))
    await asyncio.sleep(0)
    writer.send(b"d\r\n")


def test_a_chunk_is_framed_with_its_length_in_hexadecimal() -> None:
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_pieces_arrive_as_chunks_and_the_connection_goes_on(serve: Any, asynchronous: bool) -> None:
    def handler(request: Request) -> Any:
        answer = StreamingResponse(_abc, 201, "text/plain", (("X-One", "1"),))

        async def later() -> StreamingResponse:
            await asyncio.sleep(0)
            return answer

        return later() if asynchronous else answer

    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(GET + GET)
        for _ in range(2):
            head = await wire.head()
            assert (head.status, head.headers["x-one"], head.headers["content-type"]) == (201, "1", "text/plain")
            assert head.headers["transfer-encoding"] == "chunked"
            assert "content-length" not in head.headers
            assert [piece async for piece in wire.chunks()] == [b"a", b"bc" * 20, b"d\r\n"]


async def test_http_1_0_gets_the_pieces_unframed_and_then_the_end(serve: Any) -> None:
    async with serve(lambda _: StreamingResponse(_abc)) as server, Wire.connect(server.port) as wire:
        wire.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = await wire.answer()
    assert answer.headers["connection"] == "close"
    assert answer.body == b"a" + b"bc" * 20 + b"d\r\n"


async def test_head_gets_the_head_alone(serve: Any) -> None:
    async with serve(lambda _: StreamingResponse(_abc)) as server, Wire.connect(server.port) as wire:
        assert (await wire.ask("HEAD", "/")).status == 200
        assert (await wire.ask("HEAD", "/")).status == 200


async def test_headers_arrive_before_the_first_piece(serve: Any) -> None:
    gate = asyncio.Event()

    async def wait(writer: BodyWriter) -> None:
        await gate.wait()
        writer.send(b"x")

    async with serve(lambda _: StreamingResponse(wait)) as server, Wire.connect(server.port) as wire:
        wire.send(GET)
        assert (await wire.head()).status == 200
        gate.set()
        assert await wire.chunk() == b"x"


async def test_the_next_request_waits_for_the_end_of_the_stream(serve: Any) -> None:
    gate = asyncio.Event()

    async def wait(writer: BodyWriter) -> None:
        await gate.wait()

    def handler(request: Request) -> Any:
        return StreamingResponse(wait) if request.path == "/" else Response(200, b"second")

    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(GET + GET.replace(b"/ ", b"/b "))
        await wire.head()
        gate.set()
        assert await wire.chunk() == b""
        assert (await wire.answer()).body == b"second"


async def test_a_stream_that_fails_is_cut_short_where_the_client_can_see_it(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(writer: BodyWriter) -> None:
        writer.send(b"a")
        raise LookupError("broken")

    async with serve(lambda _: StreamingResponse(fail)) as server, Wire.connect(server.port) as wire:
        wire.send(GET)
        await wire.head()
        assert await wire.rest() == b"1\r\na\r\n"  # and no last chunk
    assert "broken" in caplog.text


async def test_a_producer_is_cancelled_when_its_client_goes(serve: Any) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()
    writers: list[BodyWriter] = []

    async def wait(writer: BodyWriter) -> None:
        writers.append(writer)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serve(lambda _: StreamingResponse(wait)) as server:
        async with Wire.connect(server.port) as wire:
            wire.send(GET)
            await begun.wait()
            assert not writers[0].closed
            wire.reset()
        async with asyncio.timeout(10):
            await ended.wait()
    (writer,) = writers
    assert writer.closed
    assert writer.buffered == 0
    writer.send(b"x")
    writer.send_framed(chunk(b"x"))
    with pytest.raises(ConnectionResetError):
        await writer.drain()
    await writer.wait_closed()


async def test_wait_closed_tells_that_the_client_will_send_nothing_more(serve: Any) -> None:
    async def watch(writer: BodyWriter) -> None:
        writer.send(b"event")
        await writer.wait_closed()

    async with serve(lambda _: StreamingResponse(watch)) as server, Wire.connect(server.port) as wire:
        wire.send(GET)
        await wire.head()
        assert await wire.chunk() == b"event"
        wire.writer.write_eof()
        assert await wire.rest() == b"0\r\n\r\n"


@pytest.mark.parametrize("request_bytes", [GET, OLD_GET])
async def test_a_stream_waits_for_a_client_that_does_not_read(serve: Any, request_bytes: bytes) -> None:
    """40 MiB: more than the buffers of both sockets."""
    sent = 0
    full = asyncio.Event()
    most = 0

    async def produce(writer: BodyWriter) -> None:
        nonlocal sent, most
        for _ in range(640):
            writer.send(b"x" * 65536)
            sent += 1
            most = max(most, writer.buffered)
            if writer.buffered > 65536:
                full.set()
            await writer.drain()

    async with serve(lambda _: StreamingResponse(produce)) as server, Wire.connect(server.port) as wire:
        wire.send(request_bytes)
        await wire.head()
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # the reader's own is soon full, too
        async with asyncio.timeout(10):
            await full.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert sent < 640
        wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
        if request_bytes is GET:
            assert sum([len(piece) async for piece in wire.chunks()]) == 640 * 65536
        else:
            assert len(await wire.rest()) == 640 * 65536
    assert most < 4 * 65536


async def test_a_large_answer_waits_for_a_client_that_does_not_read(serve: Any) -> None:
    body = [b"x" * 1000] * 40_000
    async with serve(lambda _: Response(200, body)) as server, Wire.connect(server.port) as wire:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        wire.send(GET)
        await until(lambda: server.connections)
        (connection,) = server._connections
        await until(lambda: connection._paused)
        assert connection.buffered < 4 * 65536
        wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await wire.answer()).body == b"".join(body)


async def test_answers_wait_for_a_client_that_pipelines_and_does_not_read(serve: Any) -> None:
    served = 0
    body = b"x" * 60_000

    def handler(request: Request) -> Response:
        nonlocal served
        served += 1
        return Response(200, body)

    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        wire.send(GET * 1000)
        await until(lambda: server.connections)
        (connection,) = server._connections
        await until(lambda: connection._paused)
        for _ in range(100):
            await asyncio.sleep(0)
        assert served < 1000
        wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(1000):
            assert (await wire.answer()).body == body
    assert served == 1000
