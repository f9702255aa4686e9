"""Relays of TCP connections between real sockets, on the loop that servers run on and on asyncio's."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.podnetwork import HostNetwork
from hyperkube_machinery.testing.waiting import until
from hyperkube_proxy.relaying.balancer import Balancer
from hyperkube_proxy.relaying.streams import StreamRelay, StreamRelays

pytestmark = pytest.mark.anyio

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
MEGABYTE = 1 << 20


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param:
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def relays() -> AsyncIterator[StreamRelays]:
    relays = StreamRelays(SystemClock())
    try:
        yield relays
    finally:
        await relays.close()


@asynccontextmanager
async def endpoint(serve: Serve) -> AsyncIterator[tuple[str, int]]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=64 * 1024)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()


async def opened(relays: StreamRelays, *targets: tuple[str, int], affinity_seconds: int = 0) -> StreamRelay:
    balancer = Balancer(relays.clock.monotonic)
    balancer.update(targets, affinity_seconds=affinity_seconds)
    return relays.open(await HostNetwork().listen("127.0.0.1", 0), balancer, HostNetwork().dial)


async def refusing() -> tuple[str, int]:
    """An address at which nobody listens, taken for as long as its socket is kept."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    _kept.append(sock)
    address: tuple[str, int] = sock.getsockname()
    return address


_kept: list[socket.socket] = []


@pytest.fixture(autouse=True)
def let_go() -> object:
    yield
    while _kept:
        _kept.pop().close()
    return None


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


def named(name: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name)
        writer.close()

    return serve


async def ask(relay: StreamRelay) -> bytes:
    reader, writer = await asyncio.open_connection(*relay.address)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_connections_go_to_one_endpoint_after_the_other(relays: StreamRelays) -> None:
    async with endpoint(named(b"a")) as a, endpoint(named(b"b")) as b, endpoint(named(b"c")) as c:
        relay = await opened(relays, a, b, c)
        assert [await ask(relay) for _ in range(6)] == [b"a", b"b", b"c", b"a", b"b", b"c"]


async def test_with_affinity_a_client_comes_back_to_its_endpoint(relays: StreamRelays) -> None:
    async with endpoint(named(b"a")) as a, endpoint(named(b"b")) as b:
        relay = await opened(relays, a, b, affinity_seconds=60)
        assert {await ask(relay) for _ in range(5)} in ({b"a"}, {b"b"})


async def test_an_endpoint_that_refuses_is_passed_over(relays: StreamRelays) -> None:
    async with endpoint(named(b"a")) as a:
        relay = await opened(relays, await refusing(), a, await refusing())
        assert [await ask(relay) for _ in range(4)] == [b"a"] * 4
    assert relays.failures == 0


async def test_a_connection_that_no_endpoint_takes_is_reset(relays: StreamRelays) -> None:
    relay = await opened(relays, await refusing())
    with pytest.raises(ConnectionResetError):
        await ask(relay)
    assert relays.failures == 1


async def test_a_large_transfer_arrives_whole_both_ways(relays: StreamRelays) -> None:
    sent = os.urandom(8 * MEGABYTE)
    async with endpoint(echo) as target:
        relay = await opened(relays, target)
        reader, writer = await asyncio.open_connection(*relay.address, limit=MEGABYTE)
        received = hashlib.sha256()

        async def receive() -> None:
            while data := await reader.read(65536):
                received.update(data)

        receiving = asyncio.create_task(receive())
        writer.write(sent)
        writer.write_eof()
        await asyncio.wait_for(receiving, 30)
        assert received.digest() == hashlib.sha256(sent).digest()
        writer.close()
    await until(lambda: relays.connections == 0)


async def test_an_end_of_file_leaves_the_other_direction_open(relays: StreamRelays) -> None:
    ended = asyncio.Event()

    async def answer_after_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.read()
        ended.set()
        writer.write(b"you said " + question)
        writer.close()

    async with endpoint(answer_after_the_end) as target:
        relay = await opened(relays, target)
        reader, writer = await asyncio.open_connection(*relay.address)
        writer.write(b"hello")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b"you said hello"
        assert ended.is_set()
        writer.close()
    await until(lambda: relays.connections == 0)


async def test_a_server_that_ends_first_is_still_sent_to(relays: StreamRelays) -> None:
    heard: list[bytes] = []
    done = asyncio.Event()

    async def end_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.write_eof()
        heard.append(await reader.read())
        writer.close()
        done.set()

    async with endpoint(end_first) as target:
        relay = await opened(relays, target)
        reader, writer = await asyncio.open_connection(*relay.address)
        assert await asyncio.wait_for(reader.read(), 10) == b"bye"
        writer.write(b"one more thing")
        writer.close()
        await asyncio.wait_for(done.wait(), 10)
    assert heard == [b"one more thing"]


async def test_a_reset_is_passed_on_as_one(relays: StreamRelays) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with endpoint(reset) as target:
        relay = await opened(relays, target)
        reader, writer = await asyncio.open_connection(*relay.address)
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 10)
        writer.close()


async def test_a_slow_reader_holds_its_sender_back(relays: StreamRelays) -> None:
    sent = 0
    stuck = asyncio.Event()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(bytes(65536))
            sent += 65536
            try:
                await asyncio.wait_for(writer.drain(), 0.5)
            except TimeoutError:
                stuck.set()
                writer.transport.abort()
                return

    async with endpoint(pour) as target:
        relay = await opened(relays, target)
        _, writer = await asyncio.open_connection(*relay.address, limit=1024)
        await asyncio.wait_for(stuck.wait(), 30)
        assert sent < 64 * MEGABYTE, "what nobody reads would pile up"
        writer.transport.abort()


async def test_connections_to_an_endpoint_that_left_go_on_and_new_ones_go_elsewhere(relays: StreamRelays) -> None:
    async with endpoint(echo) as old, endpoint(named(b"new")) as new:
        balancer = Balancer(relays.clock.monotonic)
        balancer.update([old])
        relay = relays.open(await HostNetwork().listen("127.0.0.1", 0), balancer, HostNetwork().dial)
        reader, writer = await asyncio.open_connection(*relay.address)
        writer.write(b"1")
        assert await reader.readexactly(1) == b"1"
        balancer.update([new])
        relay.drop_strays()
        assert await ask(relay) == b"new"
        relay.close()
        writer.write(b"2")
        assert await asyncio.wait_for(reader.readexactly(1), 10) == b"2"
        writer.close()


async def test_clients_that_are_not_let_in_are_reset(relays: StreamRelays) -> None:
    async with endpoint(named(b"a")) as a:
        balancer = Balancer(relays.clock.monotonic)
        balancer.update([a])
        listening = await HostNetwork().listen("127.0.0.1", 0)
        relay = relays.open(listening, balancer, HostNetwork().dial, admits=lambda client: client == "127.0.0.2")
        with pytest.raises(ConnectionResetError):
            await ask(relay)
        reader, writer = await asyncio.open_connection(*relay.address, local_addr=("127.0.0.2", 0))
        assert await reader.read() == b"a"
        writer.close()


async def test_a_thousand_connections_at_a_time(relays: StreamRelays) -> None:
    async with endpoint(echo) as a, endpoint(echo) as b:
        relay = await opened(relays, a, b)
        connected = [await asyncio.open_connection(*relay.address) for _ in range(1000)]
        for number, (_, writer) in enumerate(connected):
            writer.write(number.to_bytes(4, "big"))
        answers = Counter([int.from_bytes(await reader.readexactly(4), "big") for reader, _ in connected])
        assert answers == Counter(range(1000))
        assert relays.connections == 1000
        for _, writer in connected:
            writer.close()
        await until(lambda: relays.connections == 0)


async def test_nothing_is_left_open_when_all_is_closed(relays: StreamRelays) -> None:
    async with endpoint(echo) as target:
        relay = await opened(relays, target)
        reader, writer = await asyncio.open_connection(*relay.address)
        writer.write(b"1")
        assert await reader.readexactly(1) == b"1"
        await relays.close()
        assert relays.connections == 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*relay.address)
        writer.close()
