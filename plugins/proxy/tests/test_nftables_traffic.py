"""Rules in a real kernel, and real connections through them."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import _podnet
import pytest
from _podnet import GATEWAY, PodNet, ask, pod_net

from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.serving.metrics import Counter as Metric
from hyperkube_proxy import netroutes
from hyperkube_proxy.backends.nftables import NFTablesBackend, Terms
from hyperkube_proxy.conntrack import StaleFlows
from hyperkube_proxy.instruments import Instruments
from hyperkube_proxy.model import Locals, PortName
from hyperkube_proxy.rules import Route

from .routes import CLUSTER_IP, endpoint, routed, service

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(_podnet.unavailable()), reason=f"no namespaces here: {_podnet.unavailable()}"),
]

A, B, C = "10.244.0.2", "10.244.0.3", "10.244.0.4"


class Proxied:
    """A backend and the network that it programs."""

    def __init__(self, net: PodNet, **terms: Any) -> None:
        self.net = net
        self.routes: dict[PortName, Route] = {}
        self.backends: list[NFTablesBackend] = []
        self.backend = self.new(**terms)

    def new(self, **terms: Any) -> NFTablesBackend:
        given = Terms(**{"locals": Locals("10.244.0.0/24"), **terms})
        made = NFTablesBackend(self.net.node, SystemClock(), given, failures=Metric(""), cleanup_failures=Metric(""))
        self.backends.append(made)
        return made

    async def sync(self, routes: Mapping[PortName, Route | None]) -> None:
        """Have `routes` be what they say, or be gone, besides the others."""
        for name, route in routes.items():
            if route is None:
                del self.routes[name]
            else:
                self.routes[name] = route
        await self.backend.sync(self.routes, list(routes))

    async def ask(self, pod: str, address: str, port: int = 80, *, seconds: float = 5.0) -> str:
        return await ask(partial(self.net.pods[pod].dial, address, port), seconds=seconds)


@pytest.fixture(scope="module")
async def net(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PodNet]:
    async with pod_net(tmp_path_factory.mktemp("net")) as net:
        await net.run(sys.executable, "-I", "-S", netroutes.__file__, "prepare", _podnet.BRIDGE)
        for pod in (A, B, C):
            await net.serve(pod, 8080)
        yield net


@pytest.fixture
async def proxied(net: PodNet) -> AsyncIterator[Proxied]:
    proxied = Proxied(net)
    await proxied.backend.sync({}, None)
    yield proxied
    for backend in proxied.backends:
        backend.close()
    await net.run("nft", "-f", "-", stdin="add table ip kube-proxy\ndelete table ip kube-proxy\n")


async def test_a_service_is_answered_by_all_its_endpoints(proxied: Proxied) -> None:
    await proxied.sync(routed(service(), endpoint(A), endpoint(B), endpoint(C)))
    answers = Counter([await proxied.ask(A, CLUSTER_IP) for _ in range(60)])
    assert set(answers) == {A, B, C}
    assert min(answers.values()) >= 5


async def test_the_client_is_seen_as_itself(net: PodNet, proxied: Proxied) -> None:
    server = await net.serve(B, 8081)
    await proxied.sync(routed(service(), endpoint(B, 8081)))
    assert await proxied.ask(A, CLUSTER_IP) == B
    assert server.peers == [A]


async def test_a_pod_reaches_itself_through_its_service(proxied: Proxied) -> None:
    await proxied.sync(routed(service(), endpoint(A)))
    assert await proxied.ask(A, CLUSTER_IP) == A


async def test_a_service_without_endpoints_refuses(proxied: Proxied) -> None:
    await proxied.sync(routed(service()))
    assert await proxied.ask(A, CLUSTER_IP) == "ConnectionRefusedError"


async def test_a_port_that_a_service_does_not_have_is_refused(proxied: Proxied) -> None:
    await proxied.sync(routed(service(), endpoint(B)))
    assert await proxied.ask(A, CLUSTER_IP, 81) == "ConnectionRefusedError"


async def test_clients_stay_with_their_endpoint(proxied: Proxied) -> None:
    await proxied.sync(routed(service(affinity_seconds=600), endpoint(A), endpoint(B), endpoint(C)))
    for client in (A, B, C):
        answers = {await proxied.ask(client, CLUSTER_IP) for _ in range(12)}
        assert len(answers) == 1
        assert answers <= {A, B, C}


async def test_a_client_whose_endpoint_is_gone_gets_another_and_the_rest_stay(proxied: Proxied) -> None:
    await proxied.sync(routed(service(affinity_seconds=600), endpoint(A), endpoint(B), endpoint(C)))
    before = {client: await proxied.ask(client, CLUSTER_IP) for client in (A, B, C)}
    gone = before[A]
    left = [endpoint(ip) for ip in (A, B, C) if ip != gone]
    await proxied.sync(routed(service(affinity_seconds=600), *left))
    after = {client: await proxied.ask(client, CLUSTER_IP) for client in (A, B, C)}
    assert gone not in after.values()
    assert all(after[client] == answer for client, answer in before.items() if answer != gone)


async def test_a_node_port_leads_to_the_service(proxied: Proxied) -> None:
    proxied.backend = proxied.new(node_addresses=None)
    await proxied.backend.sync({}, None)
    await proxied.sync(routed(service(node_port=30080), endpoint(B)))
    assert await proxied.ask(A, GATEWAY, 30080) == B


async def test_a_node_port_is_open_at_the_node_addresses_that_were_named_alone(net: PodNet, proxied: Proxied) -> None:
    await net.run("ip", "addr", "add", "10.244.0.100/32", "dev", "hk0")
    proxied.backend = proxied.new(node_addresses=("10.244.0.100",))
    await proxied.sync(routed(service(node_port=30080), endpoint(B)))
    assert await proxied.ask(A, "10.244.0.100", 30080) == B
    assert await proxied.ask(A, GATEWAY, 30080) == "ConnectionRefusedError"


async def test_external_and_load_balancer_addresses_lead_to_the_service(proxied: Proxied) -> None:
    port = service(external_ips=("192.0.2.7",), load_balancer_ips=("192.0.2.8",))
    await proxied.sync(routed(port, endpoint(B)))
    assert [await proxied.ask(A, ip) for ip in ("192.0.2.7", "192.0.2.8")] == [B, B]


async def test_a_load_balancer_lets_its_source_ranges_in_alone(proxied: Proxied) -> None:
    port = service(load_balancer_ips=("192.0.2.8",), source_ranges=(f"{A}/32",))
    await proxied.sync(routed(port, endpoint(B)))
    assert await proxied.ask(A, "192.0.2.8") == B
    assert await proxied.ask(C, "192.0.2.8", seconds=0.5) == "TimeoutError"
    assert await proxied.ask(C, CLUSTER_IP) == B, "the cluster IP is for all"


async def test_internal_traffic_stays_on_the_node_where_it_must(proxied: Proxied) -> None:
    port = service(internal_local=True)
    await proxied.sync(routed(port, endpoint(B, local=False), endpoint(C)))
    assert {await proxied.ask(A, CLUSTER_IP) for _ in range(10)} == {C}


async def test_internal_traffic_is_dropped_without_an_endpoint_on_the_node(proxied: Proxied) -> None:
    await proxied.sync(routed(service(internal_local=True), endpoint(B, local=False)))
    assert await proxied.ask(A, CLUSTER_IP, seconds=0.5) == "TimeoutError"


async def test_external_traffic_of_pods_goes_to_all_endpoints_even_if_it_is_to_stay_on_the_node(
    proxied: Proxied,
) -> None:
    port = service(external_ips=("192.0.2.7",), external_local=True)
    await proxied.sync(routed(port, endpoint(B, local=False)))
    assert await proxied.ask(A, "192.0.2.7") == B


async def test_datagrams_are_led_on(net: PodNet, proxied: Proxied) -> None:
    server = await net.pods[B].datagram((B, 5353))
    await proxied.sync(routed(service("dns", protocol="UDP"), endpoint(B, 5353)))
    client = await net.pods[A].datagram(remote=(CLUSTER_IP, 80))
    loop = asyncio.get_running_loop()
    with server, client:
        await loop.sock_sendall(client, b"question")
        question, address = await asyncio.wait_for(loop.sock_recvfrom(server, 100), 5)
        await loop.sock_sendto(server, b"answer", address)
        assert (question, address[0]) == (b"question", A)
        assert await asyncio.wait_for(loop.sock_recv(client, 100), 5) == b"answer"


async def test_a_connection_goes_on_when_its_endpoint_leaves_and_when_the_proxy_starts_again(
    net: PodNet, proxied: Proxied
) -> None:
    listening = await net.pods[B].listen(B, 8082)
    loop = asyncio.get_running_loop()
    with listening:
        await proxied.sync(routed(service(), endpoint(B, 8082)))
        client = await net.pods[A].dial(CLUSTER_IP, 80)
        server, _ = await loop.sock_accept(listening)
        with client, server:
            await proxied.sync(routed(service(), endpoint(C)))
            await exchange(client, server)
            again = proxied.new()
            await again.sync(proxied.routes, None)
            await exchange(client, server)
            await again.sync({}, None)
            await exchange(client, server)


async def exchange(one: socket.socket, other: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    for sender, receiver in ((one, other), (other, one)):
        await loop.sock_sendall(sender, b"x")
        assert await asyncio.wait_for(loop.sock_recv(receiver, 10), 5) == b"x"


async def test_a_flow_of_datagrams_to_an_endpoint_that_left_gets_another(net: PodNet, proxied: Proxied) -> None:
    loop = asyncio.get_running_loop()
    stale = StaleFlows(net.node, "IPv4", SystemClock(), Instruments(), lambda endpoint, protocol: endpoint)
    one, two = await net.pods[B].datagram((B, 5354)), await net.pods[C].datagram((C, 5354))
    port = service("dns", protocol="UDP", node_port=30053)
    proxied.backend = proxied.new(node_addresses=None)
    await proxied.backend.sync({}, None)
    await proxied.sync(routed(port, endpoint(B, 5354)))
    for address, number in ((CLUSTER_IP, 80), (GATEWAY, 30053)):
        client = await net.pods[A].datagram(remote=(address, number))
        await proxied.sync(routed(port, endpoint(B, 5354)))
        with client:
            await loop.sock_sendall(client, b"1")
            assert await asyncio.wait_for(loop.sock_recv(one, 10), 5) == b"1"
            await proxied.sync(routed(port, endpoint(C, 5354)))
            await loop.sock_sendall(client, b"2")
            assert await asyncio.wait_for(loop.sock_recv(one, 10), 5) == b"2", "the kernel remembers the flow"
            await stale.sync(proxied.routes, [port.name])
            await loop.sock_sendall(client, b"3")
            assert await asyncio.wait_for(loop.sock_recv(two, 10), 5) == b"3"
    one.close()
    two.close()


async def test_flows_of_endpoints_that_serve_and_of_others_go_on(net: PodNet, proxied: Proxied) -> None:
    loop = asyncio.get_running_loop()
    stale = StaleFlows(net.node, "IPv4", SystemClock(), Instruments(), lambda endpoint, protocol: endpoint)
    one, other = await net.pods[B].datagram((B, 5355)), await net.pods[C].datagram((C, 5356))
    port = service("dns", protocol="UDP")
    await proxied.sync(routed(port, endpoint(B, 5355)))
    client, direct = await net.pods[A].datagram(remote=(CLUSTER_IP, 80)), await net.pods[A].datagram(remote=(C, 5356))
    with client, direct, one, other:
        await loop.sock_sendall(client, b"1")
        await loop.sock_sendall(direct, b"1")
        leaving = endpoint(B, 5355, ready=False, terminating=True)
        await proxied.sync(routed(port, leaving, endpoint(C, 5355)))
        await stale.sync(proxied.routes, None)
        for sock in (client, direct):
            await loop.sock_sendall(sock, b"2")
        for server in (one, other):
            assert [await asyncio.wait_for(loop.sock_recv(server, 10), 5) for _ in "12"] == [b"1", b"2"]
