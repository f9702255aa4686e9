"""How a server starts and ends."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.messages import BodyWriter, Request, Response, StreamingResponse
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until
from hyperkube_machinery.testing.wire import Wire

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_running_request_is_finished_and_its_client_told_to_go(serve: Any) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def wait(request: Request) -> Response:
        begun.set()
        await gate.wait()
        return Response(200, b"done")

    async with serve(wait) as server, Wire.connect(server.port) as wire:
        wire.send(GET + GET)  # the second one was sent before anybody said no
        await begun.wait()
        draining = asyncio.create_task(server.drain(30))
        await _turns()
        assert not draining.done()
        gate.set()
        answer = await wire.answer()
        assert (answer.body, answer.headers["connection"]) == (b"done", "close")
        assert await wire.rest() == b""
        await draining


async def test_idle_clients_are_left_at_once_and_nobody_is_accepted(serve: Any) -> None:
    async with serve() as server, Wire.connect(server.port) as idle, Wire.connect(server.port) as fresh:
        await idle.ask("GET", "/")
        await server.drain(30)
        assert await idle.rest() == b""
        assert await fresh.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)


async def test_a_request_that_is_half_here_is_still_answered(serve: Any) -> None:
    async with serve() as server, Wire.connect(server.port) as wire:
        (await _connection(server)).data_received(GET[:10])
        draining = asyncio.create_task(server.drain(30))
        await _turns()
        wire.send(GET[10:])
        assert (await wire.answer()).headers["connection"] == "close"
        await draining


async def test_watches_are_told_to_end_and_end_properly(serve: Any) -> None:
    async def watch(writer: BodyWriter) -> None:
        writer.send(b"event")
        await writer.wait_closed()
        assert not writer.closed
        writer.send(b"bye")

    async with serve(lambda _: StreamingResponse(watch)) as server, Wire.connect(server.port) as wire:
        wire.send(GET)
        await wire.head()
        assert await wire.chunk() == b"event"
        draining = asyncio.create_task(server.drain(30))
        assert [piece async for piece in wire.chunks()] == [b"bye"]
        assert await wire.rest() == b""
        await draining


async def test_what_takes_longer_than_the_deadline_is_cancelled(serve: Any, clock: VirtualClock) -> None:
    begun = asyncio.Event()
    ends: list[str] = []

    async def never(request: Request) -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("handler")
        raise AssertionError

    async with serve(never) as server, Wire.connect(server.port) as wire:
        wire.send(GET)
        await begun.wait()
        draining = asyncio.create_task(server.drain(30))
        await clock.advance(29)
        assert not draining.done()
        await clock.advance(1)
        await draining
        ends.append("drain")
        assert server.connections == 0
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await wire.head()
    assert ends == ["handler", "drain"]


async def test_a_handler_that_has_not_even_begun_is_cancelled_quietly(serve: Any) -> None:
    begun: list[str] = []

    async def never(request: Request) -> Response:
        begun.append(request.path)
        raise AssertionError

    async with serve(never) as server, Wire.connect(server.port) as wire:
        await wire.ask("HEAD", "/")
        begun.clear()
        connection = await _connection(server)
        connection.data_received(GET)
        connection.abort()
        await server.close()
        await server.close()  # a no-op
        assert server.connections == 0
    assert begun == []


@pytest.mark.parametrize("turns", range(8))
async def test_a_server_that_closes_while_a_client_connects_forgets_it(serve: Any, turns: int) -> None:
    async with serve() as server, Wire.connect(server.port):
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await server.close()
        assert server.connections == 0


async def _connection(server: Any) -> Any:
    await until(lambda: server.connections)
    return next(iter(server._connections))


async def test_a_server_takes_over_sockets_that_listen(clock: VirtualClock) -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [sock.getsockname()[1] for sock in sockets]
    async with HTTPServer(lambda _: Response(200), clock=clock).listening(sockets=sockets) as server:
        assert server.addresses == [("127.0.0.1", port) for port in ports]
        for port in ports:
            async with Wire.connect(port) as wire:
                assert (await wire.ask("GET", "/")).status == 200
    assert [sock.fileno() for sock in sockets] == [-1, -1]


async def test_an_address_that_is_taken_is_named(clock: VirtualClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            await HTTPServer(lambda _: Response(200), clock=clock).start("127.0.0.1", port)


async def test_an_address_that_is_not_ours_is_named(clock: VirtualClock) -> None:
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:0: "):
        await HTTPServer(lambda _: Response(200), clock=clock).start("192.0.2.1", 0)


async def test_a_server_starts_once(serve: Any) -> None:
    async with serve() as server:
        with pytest.raises(RuntimeError):
            await server.start()


async def test_the_machines_clock_is_the_default() -> None:
    async with HTTPServer(lambda _: Response(200)).listening() as server, Wire.connect(server.port) as wire:
        assert (await wire.ask("GET", "/")).status == 200
        await server.drain(5)
