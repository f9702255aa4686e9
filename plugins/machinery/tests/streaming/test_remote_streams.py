"""Streams of another server: its process and its ports, as a client has them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.errors import failure
from hyperkube_machinery.exchange import Peer
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.messages import Answer, Request, Response
from hyperkube_machinery.serving.spdy.connection import accept, speaking
from hyperkube_machinery.serving.spdy.session import Arrived, Ended, Opened
from hyperkube_machinery.serving.upgraded import ByteStream
from hyperkube_machinery.streaming.channels import InputEnded, Resized, Typed, ended
from hyperkube_machinery.streaming.errors import RemoteFailure, UpgradeRefused
from hyperkube_machinery.streaming.idleness import unless_idle
from hyperkube_machinery.streaming.ports import PROTOCOL, connected, remote_port
from hyperkube_machinery.streaming.remotecommand import RemoteProcess, exit_code_of, remote_command
from hyperkube_machinery.streaming.sessions import Streams
from hyperkube_machinery.streaming.spdychannels import PROTOCOLS, SPDYChannels
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until

pytestmark = pytest.mark.anyio

ALL = Streams(stdin=True, stdout=True, stderr=True)
TERMINAL = Streams(stdin=True, stdout=True, tty=True)
Serve = Callable[[SPDYChannels], Awaitable[None]]


class Server:
    """Has a process, in a way that each test says."""

    def __init__(self) -> None:
        self.streams = ALL
        self.protocols: tuple[str, ...] = PROTOCOLS
        self.serve: Serve
        self.refusal: Response | None = None
        self.talk: Callable[[ByteStream, str], Awaitable[None]] = self.process
        self.tasks: list[asyncio.Task[None]] = []
        self.peer = Peer("127.0.0.1", 0)

    def answer(self, request: Request) -> Answer:
        if self.refusal is not None:
            return self.refusal
        return accept(request, self.protocols, self.talk, start=self.start, clock=SystemClock())

    def start(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self.tasks.append(task)
        return task

    async def process(self, stream: ByteStream, protocol: str) -> None:
        async with speaking(stream) as spdy:
            channels = SPDYChannels(spdy, protocol, SystemClock())
            await channels.begin(self.streams)
            await self.serve(channels)

    @asynccontextmanager
    async def command(self, streams: Streams = ALL) -> AsyncIterator[RemoteProcess]:
        self.streams = streams
        async with asyncio.timeout(30), remote_command(self.peer, "/exec?command=x", streams) as process:
            yield process


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    async with HTTPServer(found.answer, clock=SystemClock()).listening() as listening:
        found.peer = Peer("127.0.0.1", listening.port)
        yield found
    await asyncio.gather(*found.tasks, return_exceptions=True)


async def taken(process: RemoteProcess) -> dict[str, bytes]:
    found = {"stdout": b"", "stderr": b""}
    async for stream, data in process.output():
        found[stream] += data
    return found


async def test_a_process_has_its_streams_and_its_end(server: Server) -> None:
    async def serve(channels: SPDYChannels) -> None:
        async for piece in channels.input():
            if isinstance(piece, InputEnded):
                break
            assert isinstance(piece, Typed)
            await channels.send("stdout", piece.data.upper())
        await channels.send("stderr", b"said")
        await channels.end(ended(3))

    server.serve = serve
    async with server.command() as process:
        await process.write(b"hello")
        await process.close_input()
        assert await taken(process) == {"stdout": b"HELLO", "stderr": b"said"}
        assert await process.wait() == 3


async def test_a_terminal_is_resized(server: Server) -> None:
    seen: list[object] = []

    async def serve(channels: SPDYChannels) -> None:
        async for piece in channels.input():
            seen.append(piece)
            if len(seen) == 2:
                break
        await channels.end(ended(0))

    server.serve = serve
    async with server.command(TERMINAL) as process:
        await process.resize(80, 25)
        await process.resize(1, 2)
        assert await process.wait() == 0
    assert seen == [Resized(80, 25), Resized(1, 2)]


@pytest.mark.parametrize("protocol", PROTOCOLS[1:])
async def test_older_protocols_tell_failures_alone(server: Server, protocol: str) -> None:
    server.protocols = (protocol,)
    for status, fails in ((ended(0), False), (ended(3), True)):

        async def serve(channels: SPDYChannels, status: dict[str, Any] = status) -> None:
            await channels.end(status)

        server.serve = serve
        async with server.command() as process:
            if fails:
                with pytest.raises(RemoteFailure, match="exit code 3"):
                    await process.wait()
            else:
                assert await process.wait() == 0


async def test_what_fails_there_is_told_as_it_was(server: Server) -> None:
    status = failure(500, "InternalError", "no such program")

    async def serve(channels: SPDYChannels) -> None:
        await channels.end(status)

    server.serve = serve
    async with server.command() as process:
        with pytest.raises(RemoteFailure, match="no such program") as caught:
            await process.wait()
    assert caught.value.status == status


async def test_a_server_that_goes_without_a_word_is_no_success(server: Server) -> None:
    async def serve(channels: SPDYChannels) -> None:
        await channels.send("stdout", b"half")

    server.serve = serve
    async with server.command() as process:
        assert (await taken(process))["stdout"] == b"half"
        with pytest.raises(RemoteFailure, match="connection was lost"):
            await process.wait()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Response(404, b"no such container", "text/plain"), "unable to upgrade connection: no such container"),
        (Response(403, json.dumps(failure(403, "Forbidden", "not you")).encode()), "not you"),
        (Response(500, b""), "status 500"),
        (Response(200, b"fine"), "fine"),
    ],
)
async def test_a_server_that_does_not_want_is_quoted(server: Server, answer: Response, told: str) -> None:
    server.refusal = answer
    with pytest.raises(UpgradeRefused, match=told) as caught:
        async with server.command():
            pass
    assert caught.value.status == answer.status


async def test_who_takes_nothing_holds_the_process_up(server: Server) -> None:
    """Whatever stands between the two keeps a bounded part of what is written."""
    sent = 0

    async def serve(channels: SPDYChannels) -> None:
        nonlocal sent
        for _ in range(1000):
            await channels.send("stdout", bytes(1 << 20))
            sent += 1
        await channels.end(ended(0))

    server.serve = serve
    async with server.command() as process:
        output = process.output()
        await anext(output)
        for _ in range(300):
            await asyncio.sleep(0.001)  # nothing tells that nothing moves any more
        assert sent < 32


async def test_who_is_not_read_is_held_up(server: Server) -> None:
    gate = asyncio.Event()

    async def serve(channels: SPDYChannels) -> None:
        await gate.wait()

    server.serve = serve
    written = 0

    async def write(process: RemoteProcess) -> None:
        nonlocal written
        while True:
            await process.write(bytes(1 << 20))
            written += 1

    async with server.command() as process:
        writing = asyncio.ensure_future(write(process))
        for _ in range(300):
            await asyncio.sleep(0.001)
        writing.cancel()
        assert written < 32
    gate.set()


async def test_the_server_is_told_that_its_client_is_gone(server: Server) -> None:
    over = asyncio.Event()

    async def serve(channels: SPDYChannels) -> None:
        await channels.send("stdout", b"begun")
        try:
            async for _ in channels.input():
                pass
        finally:
            over.set()

    server.serve = serve
    async with server.command() as process:
        await anext(process.output())
    async with asyncio.timeout(10):
        await over.wait()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'{"status":"Success"}', 0),
        (json.dumps(ended(7)).encode(), 7),
        (json.dumps(ended(255)).encode(), 255),
    ],
)
def test_exit_codes_are_read(text: bytes, code: int) -> None:
    assert exit_code_of(text) == code


@given(
    st.one_of(
        st.binary(max_size=100), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr).map(str.encode)
    )
)
def test_what_says_no_end_is_a_failure(text: bytes) -> None:
    with pytest.raises(RemoteFailure):
        exit_code_of(text)


@pytest.mark.parametrize(
    "status",
    [
        {"status": "Failure", "reason": "NonZeroExitCode"},
        {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode"}]}},
        {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": ["ExitCode"]}},
        {"status": "Failure", "message": 5},
    ],
)
def test_ends_that_are_none_are_failures(status: dict[str, Any]) -> None:
    with pytest.raises(RemoteFailure):
        exit_code_of(json.dumps(status).encode())


# Ports.


async def forwarder(stream: ByteStream, protocol: str) -> None:
    """Sends back in capitals what comes for port 80; nobody listens on others."""
    async with speaking(stream) as spdy:
        kinds: dict[int, str] = {}
        async for event in spdy.events():
            match event:
                case Opened(stream_id, headers):
                    kinds[stream_id] = headers["streamtype"]
                    await spdy.reply(stream_id)
                    if headers["port"] != "80" and len(kinds) == 2:
                        await spdy.send(next(one for one, kind in kinds.items() if kind == "error"), b"refused")
                        for one in kinds:
                            await spdy.reset(one)
                case Arrived(stream_id, data):
                    await spdy.send(stream_id, data.upper())
                case Ended(stream_id) if kinds[stream_id] == "data":
                    for one in kinds:
                        await spdy.finish(one)


async def test_a_port_of_another_server_is_spoken_to(server: Server) -> None:
    server.protocols, server.talk = (PROTOCOL,), forwarder
    async with asyncio.timeout(30), remote_port(server.peer, "/portforward", 80) as connection:
        await connection.write(b"hello")
        assert await connection.read() == b"HELLO"
        await connection.finish()
        assert await connection.read() == b""


async def test_a_port_that_nobody_listens_on_is_told(server: Server) -> None:
    server.protocols, server.talk = (PROTOCOL,), forwarder
    async with asyncio.timeout(30), remote_port(server.peer, "/portforward", 9) as connection:
        with pytest.raises(RemoteFailure, match="refused"):
            await connection.read()


async def test_a_socket_is_a_connection() -> None:
    ours, theirs = socket.socketpair()
    for one in (ours, theirs):
        one.setblocking(False)
    async with asyncio.timeout(10), connected(ours) as left, connected(theirs) as right:
        await left.write(b"one")
        assert await right.read() == b"one"
        await left.finish()
        assert await right.read() == b""
        await right.write(b"two")
        assert await left.read() == b"two"


# Idleness.


@pytest.mark.parametrize(("still", "ends"), [(39, False), (51, True)])
async def test_what_lies_still_is_broken_off(still: float, ends: bool) -> None:
    clock, moved, over = VirtualClock(), [0], asyncio.Event()
    watched = asyncio.ensure_future(unless_idle(over.wait(), lambda: moved[0], 40, clock))  # type: ignore[arg-type]
    for _ in range(10):
        await clock.advance(30)
        moved[0] += 1
    assert not watched.done()
    await clock.advance(still)
    assert watched.done() is ends
    over.set()
    assert await watched is not ends


async def test_what_ends_by_itself_says_so() -> None:
    async def nothing() -> None: ...

    assert await unless_idle(nothing(), lambda: 0, 10, VirtualClock())
    assert await unless_idle(nothing(), lambda: 0, 0, VirtualClock())

    async def fail() -> None:
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        await unless_idle(fail(), lambda: 0, 10, VirtualClock())


async def test_nothing_goes_on_behind_a_client(server: Server) -> None:
    async def serve(channels: SPDYChannels) -> None:
        await channels.end(ended(0))

    server.serve = serve
    for _ in range(20):
        async with server.command() as process:
            await process.wait()
    await until(lambda: all(task.done() for task in server.tasks))
    assert len(asyncio.all_tasks()) < 10
