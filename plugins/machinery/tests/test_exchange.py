"""Requests that are passed on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hyperkube_machinery.exchange import ExchangeError, Peer, exchange

pytestmark = pytest.mark.anyio

CHUNKED = b"Transfer-Encoding: chunked\r\n"


@asynccontextmanager
async def answering(answer: bytes, asked: list[bytes] | None = None) -> AsyncIterator[Peer]:
    """A server that says `answer` to whoever has sent a head, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.append(head + await reader.read(1 if b"Content-Length" in head else 0))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Peer("127.0.0.1", server.sockets[0].getsockname()[1])


@pytest.mark.parametrize(
    ("head", "body", "expected", "length"),
    [
        (b"Content-Length: 5\r\n", b"hello", b"hello", 5),
        (b"", b"until the end", b"until the end", None),
        (
            b"Transfer-Encoding: chunked\r\n",
            b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nA: b\r\n\r\n",
            b"hello world",
            None,
        ),
    ],
)
async def test_a_body_is_read_as_it_is_framed(head: bytes, body: bytes, expected: bytes, length: int | None) -> None:
    async with answering(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\n" + head + b"\r\n" + body) as peer:
        answer = await exchange(peer, "GET", "/", [("Host", "h")])
        assert (answer.status, answer.header("x-a"), answer.length) == (200, "b", length)
        assert b"".join([piece async for piece in answer.pieces()]) == expected
        answer.close()


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 9\r\n\r\nshort",
        b"Transfer-Encoding: chunked\r\n\r\n9\r\nshort",
        b"Transfer-Encoding: chunked\r\n\r\nx",
    ],
)
async def test_a_body_that_breaks_off_is_an_error(body: bytes) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n" + body) as peer:
        answer = await exchange(peer, "GET", "/", [])
        with pytest.raises(ExchangeError, match="unexpected EOF"):
            await answer.body(100)
        answer.close()


async def test_head_and_empty_answers_have_no_body() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") as peer:
        answer = await exchange(peer, "HEAD", "/", [])
        assert await answer.body(10) == b""
        answer.close()


async def test_what_is_sent_is_what_was_said() -> None:
    asked: list[bytes] = []
    async with answering(b"HTTP/1.1 204 No Content\r\n\r\n", asked) as peer:
        answer = await exchange(peer, "POST", "/a?b=c", [("Host", "h"), ("X-A", "b\r\nEvil: 1")], b"x")
        assert answer.status == 204
        answer.close()
    assert asked == [b"POST /a?b=c HTTP/1.1\r\nHost: h\r\nX-A: b  Evil: 1\r\nContent-Length: 1\r\n\r\nx"]


async def test_nobody_there() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(ExchangeError, match=f"^dial tcp 127.0.0.1:{port}: connect: connection refused$"):
        await exchange(Peer("127.0.0.1", port), "GET", "/", [])


@pytest.mark.parametrize(
    ("said", "error"), [(b"SSH-2.0\r\n\r\n", "malformed HTTP response"), (b"", "EOF"), (b"HTTP/1.1 200", "EOF")]
)
async def test_what_is_not_http(said: bytes, error: str) -> None:
    async with answering(said) as peer:
        with pytest.raises(ExchangeError, match=error):
            await exchange(peer, "GET", "/", [])
