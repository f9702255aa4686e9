"""Relays of datagrams between real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from hyperkube_machinery.podnetwork import HostNetwork
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until
from hyperkube_proxy.relaying.balancer import Balancer
from hyperkube_proxy.relaying.datagrams import IDLE_SECONDS, DatagramRelay, DatagramRelays

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param:
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def relays(clock: VirtualClock) -> AsyncIterator[DatagramRelays]:
    relays = DatagramRelays(clock)
    sweeping = asyncio.create_task(relays.sweep())
    try:
        yield relays
    finally:
        sweeping.cancel()
        await asyncio.wait((sweeping,))
        await relays.close()


class Named(asyncio.DatagramProtocol):
    """Answers with its name."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, address: object) -> None:
        self.transport.sendto(self.name + data, address)  # type: ignore[arg-type]


async def endpoint(name: bytes) -> tuple[asyncio.DatagramTransport, tuple[str, int]]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Named(name), local_addr=("127.0.0.1", 0))
    return transport, transport.get_extra_info("sockname")


async def opened(relays: DatagramRelays, balancer: Balancer) -> DatagramRelay:
    sock = await HostNetwork().datagram(local=("127.0.0.1", 0))
    return await relays.open(sock, balancer, lambda host, port: HostNetwork().datagram(remote=(host, port)))


async def client(relay: DatagramRelay) -> socket.socket:
    return await HostNetwork().datagram(remote=relay.address)


async def ask(sock: socket.socket, text: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, text)
    return await asyncio.wait_for(loop.sock_recv(sock, 100), 10)


async def test_a_clients_datagrams_go_to_one_endpoint_and_the_next_clients_to_another(relays: DatagramRelays) -> None:
    (one, a), (two, b) = await endpoint(b"a"), await endpoint(b"b")
    balancer = Balancer(relays.clock.monotonic)
    balancer.update([a, b])
    relay = await opened(relays, balancer)
    with await client(relay) as first, await client(relay) as second:
        assert [await ask(first, b"1"), await ask(first, b"2")] == [b"a1", b"a2"]
        assert [await ask(second, b"1"), await ask(second, b"2")] == [b"b1", b"b2"]
    assert relays.flows == 2
    one.close()
    two.close()


async def test_a_flow_whose_endpoint_left_gets_another(relays: DatagramRelays) -> None:
    (one, a), (two, b) = await endpoint(b"a"), await endpoint(b"b")
    balancer = Balancer(relays.clock.monotonic)
    balancer.update([a])
    relay = await opened(relays, balancer)
    with await client(relay) as first:
        assert await ask(first, b"1") == b"a1"
        balancer.update([b])
        relay.drop_strays()
        assert await ask(first, b"2") == b"b2"
    one.close()
    two.close()


async def test_idle_flows_are_let_go(relays: DatagramRelays, clock: VirtualClock) -> None:
    one, a = await endpoint(b"a")
    balancer = Balancer(relays.clock.monotonic)
    balancer.update([a])
    relay = await opened(relays, balancer)
    with await client(relay) as first:
        assert await ask(first, b"1") == b"a1"
        await clock.advance(IDLE_SECONDS - 20)
        assert relays.flows == 1
        await clock.advance(40)
        assert relays.flows == 0
        assert await ask(first, b"2") == b"a2"
    one.close()


async def test_an_endpoint_at_which_nobody_listens_is_given_up_for_the_next(relays: DatagramRelays) -> None:
    gone, nobody = await endpoint(b"x")
    gone.close()
    await asyncio.sleep(0)
    one, a = await endpoint(b"a")
    balancer = Balancer(relays.clock.monotonic)
    balancer.update([nobody, a])
    relay = await opened(relays, balancer)
    loop = asyncio.get_running_loop()
    with await client(relay) as first:
        await loop.sock_sendall(first, b"1")  # is lost, as datagrams may be
        await until(lambda: relays.flows == 1)
        await until(lambda: relays.flows == 0)
        assert await ask(first, b"2") == b"a2"
    one.close()


async def test_closing_ends_all_flows(relays: DatagramRelays) -> None:
    one, a = await endpoint(b"a")
    balancer = Balancer(relays.clock.monotonic)
    balancer.update([a])
    relay = await opened(relays, balancer)
    with await client(relay) as first:
        assert await ask(first, b"1") == b"a1"
        relay.close()
        assert relays.flows == 0
    one.close()
