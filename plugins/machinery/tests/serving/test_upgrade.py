"""Connections that leave HTTP."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from hyperkube_machinery.serving.messages import Request, Response, Upgrade
from hyperkube_machinery.testing.waiting import until
from hyperkube_machinery.testing.wire import Wire

pytestmark = pytest.mark.anyio

ASK = b"GET /exec HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"
GET = b"GET /b HTTP/1.1\r\nHost: test\r\n\r\n"


class Shout(asyncio.Protocol):
    """Sends back what it gets, in capitals."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.events: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())

    def eof_received(self) -> bool:
        self.events.append("eof")
        self.transport.write(b"EOF")
        return False

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@pytest.fixture
def shout() -> Shout:
    return Shout()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_the_connection_is_handed_over_with_what_was_sent_ahead(
    serve: Any, shout: Shout, asynchronous: bool
) -> None:
    gate = asyncio.Event()

    def handler(request: Request) -> Any:
        if "upgrade" not in request.headers:
            return Response(200, b"plain")
        answer = Upgrade(lambda: shout, (("Upgrade", "shout"), ("X-One", "1")))

        async def later() -> Upgrade:
            await gate.wait()
            return answer

        return later() if asynchronous else answer

    async with serve(handler) as server, Wire.connect(server.port) as wire:
        wire.send(GET)
        assert (await wire.answer()).body == b"plain"
        wire.send(GET + ASK + b"ahead ")
        assert (await wire.answer()).body == b"plain"
        wire.send(b"of time")
        for _ in range(20):
            await asyncio.sleep(0)
        gate.set()
        head = await wire.head()
        assert (head.status, head.headers["x-one"]) == (101, "1")
        assert (head.headers["connection"], head.headers["upgrade"]) == ("Upgrade", "shout")
        async with asyncio.timeout(10):
            assert await wire.reader.readexactly(13) == b"AHEAD OF TIME"
            wire.send(GET)
            assert await wire.reader.readexactly(len(GET)) == GET.upper()
            wire.writer.write_eof()
            assert await wire.rest() == b"EOF"
            await shout.lost.wait()
            await until(lambda: not server.connections)


async def test_the_new_protocol_is_told_of_back_pressure(serve: Any, shout: Shout) -> None:
    async with serve(lambda _: Upgrade(lambda: shout)) as server, Wire.connect(server.port) as wire:
        wire.send(ASK)
        await wire.head()
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        shout.transport.write(b"x" * 20_000_000)
        assert shout.events == ["pause"]
        wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(10):
            await wire.reader.readexactly(20_000_000)
        assert shout.events == ["pause", "resume"]


async def test_what_is_not_granted_goes_on_as_http(serve: Any) -> None:
    """As curl asks for h2c."""
    async with (
        serve(lambda request: Response(200, request.path.encode())) as server,
        Wire.connect(server.port) as wire,
    ):
        wire.send(ASK + GET + ASK + GET)
        assert [(await wire.answer()).body for _ in range(4)] == [b"/exec", b"/b", b"/exec", b"/b"]


async def test_an_upgrade_that_nobody_asked_for_is_the_handlers_error(
    serve: Any, shout: Shout, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(lambda _: Upgrade(lambda: shout)) as server, Wire.connect(server.port) as wire:
        assert (await wire.ask("GET", "/")).status == 500
        assert (await wire.ask("GET", "/", headers="Upgrade: shout\r\n")).status == 500
    assert "doesn't ask for another protocol" in caplog.text


async def test_a_server_that_closes_drops_upgraded_connections(serve: Any, shout: Shout, clock: Any) -> None:
    async with serve(lambda _: Upgrade(lambda: shout)) as server, Wire.connect(server.port) as wire:
        wire.send(ASK)
        await wire.head()
        await clock.advance(3600)
        assert server.connections == 1
        await server.close()
        assert shout.lost.is_set()
