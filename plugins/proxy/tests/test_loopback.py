"""Services on this machine's loopback, and ways out of the pods' network, between real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from _podnet import Answers, ask

from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.podnetwork import Description, HostNetwork
from hyperkube_proxy.inward import InwardRelays, preferred_ports
from hyperkube_proxy.loopback import LoopbackRelays, StatusFile
from hyperkube_proxy.reach import Reach
from hyperkube_proxy.relaying.openings import Relays

from .routes import endpoint, routed, service

pytestmark = pytest.mark.anyio

HOST = HostNetwork()
KEY = "default/web/80"


@pytest.fixture
async def relays() -> AsyncIterator[Relays]:
    async with Relays.running(SystemClock()) as relays:
        yield relays


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Of a server that says "hello"."""
    server = await asyncio.start_server(Answers("hello"), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "relays.json"


def loopback(relays: Relays, path: Path) -> LoopbackRelays:
    return LoopbackRelays(Reach(HOST, Description("host")), relays, SystemClock(), StatusFile(path))


def told(path: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(path.read_bytes())
    return found


async def say(address: str) -> str:
    host, _, number = address.partition(":")
    return await ask(partial(HOST.dial, host, int(number)))


async def test_the_file_says_where_a_service_is(relays: Relays, path: Path, port: int) -> None:
    await loopback(relays, path).sync(routed(service(), endpoint("127.0.0.1", port)), None)
    assert list(told(path)) == [KEY]
    assert await say(told(path)[KEY]) == "hello"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600  # noqa: ASYNC240


async def test_a_service_without_endpoints_keeps_its_place_and_resets(relays: Relays, path: Path, port: int) -> None:
    part = loopback(relays, path)
    routes = routed(service())
    await part.sync(routes, None)
    before = told(path)
    assert await say(before[KEY]) == "ConnectionResetError"
    await part.sync(routed(service(), endpoint("127.0.0.1", port)), list(routes))
    assert told(path) == before
    assert await say(before[KEY]) == "hello"


async def test_the_number_stays_when_the_proxy_starts_again(path: Path, port: int) -> None:
    routes = routed(service(), endpoint("127.0.0.1", port))
    found = []
    for _ in range(3):
        async with Relays.running(SystemClock()) as relays:
            await loopback(relays, path).sync(routes, None)
            found.append(told(path))
    assert found[0] == found[1] == found[2]


async def test_a_number_that_was_taken_meanwhile_is_another(path: Path, port: int) -> None:
    routes = routed(service(), endpoint("127.0.0.1", port))
    async with Relays.running(SystemClock()) as relays:
        await loopback(relays, path).sync(routes, None)
    before = told(path)[KEY]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(before.partition(":")[2])))
        taken.listen()
        async with Relays.running(SystemClock()) as relays:
            await loopback(relays, path).sync(routes, None)
            assert told(path)[KEY] != before
            assert await say(told(path)[KEY]) == "hello"


async def test_a_node_port_is_at_its_own_number_where_that_is_free(relays: Relays, path: Path, port: int) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        number = found.getsockname()[1]
        routes = routed(service(node_port=number), endpoint("127.0.0.1", port))
        await loopback(relays, path).sync(routes, None)
        assert told(path)[KEY] != f"127.0.0.1:{number}", "somebody has it"
        assert await say(told(path)[KEY]) == "hello"
    part = loopback(relays, path)
    await part.sync(routes, None)
    assert told(path)[KEY] == f"127.0.0.1:{number}"
    assert await say(told(path)[KEY]) == "hello"


async def test_a_service_that_goes_leaves_the_file_and_its_port(relays: Relays, path: Path, port: int) -> None:
    part = loopback(relays, path)
    routes = routed(service(), endpoint("127.0.0.1", port))
    await part.sync(routes, None)
    address = told(path)[KEY]
    await part.sync({}, list(routes))
    assert told(path) == {}
    assert await say(address) == "ConnectionRefusedError"


async def test_protocols_of_one_number_are_two(relays: Relays, path: Path) -> None:
    both = {**routed(service("dns", port=53)), **routed(service("dns", port=53, protocol="UDP"))}
    both |= routed(service("sctp", port=9, protocol="SCTP"))
    await loopback(relays, path).sync(both, None)
    assert list(told(path)) == ["default/dns/53", "default/dns/53:UDP"]


async def test_an_unreadable_file_is_written_anew(relays: Relays, path: Path, port: int) -> None:
    path.write_text('{"default/web/80": 7, "half')  # noqa: ASYNC240
    await loopback(relays, path).sync(routed(service(), endpoint("127.0.0.1", port)), None)
    assert await say(told(path)[KEY]) == "hello"


def inward(relays: Relays) -> InwardRelays:
    apart = Description("namespace", "127.0.0.9", "10.244.0.0/24", "hk0")
    return InwardRelays(HOST, "127.0.0.9", Reach(HOST, apart), relays, SystemClock())


async def test_an_endpoint_outside_is_reached_by_way_of_the_gateway(relays: Relays, port: int) -> None:
    part = inward(relays)
    outside, within = endpoint("127.0.0.1", port), endpoint("10.244.0.7", 80)
    routes = routed(service(), outside, within)
    await part.sync(routes, None)
    assert part.inside(within, "TCP") == within
    led = part.inside(outside, "TCP")
    assert led.ip == "127.0.0.9"
    assert await say(str(led)) == "hello"
    await part.sync({}, list(routes))
    assert part.inside(outside, "TCP") == outside
    assert await say(str(led)) == "ConnectionRefusedError"


async def test_the_way_is_the_same_every_time_unless_it_is_taken(relays: Relays, port: int) -> None:
    outside = endpoint("127.0.0.1", port)
    routes = routed(service(), outside)
    first, second, *_ = preferred_ports("TCP", ("127.0.0.1", port))
    await inward(relays).sync(routes, None)
    other = inward(relays)
    await other.sync(routes, None)
    assert other.inside(outside, "TCP").port == second, "the first way is there already"
    assert list(preferred_ports("TCP", ("127.0.0.1", port)))[:2] == [first, second]


async def test_pods_of_other_nodes_are_not_looked_for_on_this_machine() -> None:
    apart = Description("namespace", "10.244.0.1", "10.244.0.0/24", "hk0")
    reach = Reach(HOST, apart, ["10.244.0.1/16", "fd00::/48", ""])
    outside = ["127.0.0.1", "192.0.2.1", "2001:db8::1"]
    assert [ip for ip in ("10.244.0.7", "10.244.9.7", "fd00::7", *outside) if reach.is_outside(ip)] == outside
    assert not Reach(HOST, Description("host")).is_outside("127.0.0.1")
