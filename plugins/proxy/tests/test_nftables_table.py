"""The table in a real kernel: it is what was wanted, and only what has to change is changed."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import _podnet
import pytest
from _podnet import PodNet, pod_net

from hyperkube_machinery.podnetwork import AgentNetwork
from hyperkube_machinery.serving.metrics import Counter as Metric
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_proxy import netlink
from hyperkube_proxy.backends.nftables import NFTablesBackend, Terms, cleanup, works
from hyperkube_proxy.backends.nftables.encoding import described
from hyperkube_proxy.backends.nftables.kernel import Table
from hyperkube_proxy.backends.nftables.layout import TABLE, base
from hyperkube_proxy.backends.nftables.naming import of_service
from hyperkube_proxy.backends.nftables.ruleset import Ruleset
from hyperkube_proxy.backends.nftables.services import of_route
from hyperkube_proxy.model import Family, Locals, PortName, ServicePort
from hyperkube_proxy.netlink import Conversation, Message, Refused
from hyperkube_proxy.parts import SyncError
from hyperkube_proxy.rules import Place, Route, route

from .routes import endpoint, routed, service

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(_podnet.unavailable()), reason=f"no namespaces here: {_podnet.unavailable()}"),
]

TERMS = Terms(locals=Locals("10.244.0.0/24"))
A, B, C = "10.244.0.2", "10.244.0.3", "10.244.0.4"


class Watched(AgentNetwork):
    """Remembers what the kernel was told on sockets of this network."""

    def __init__(self, net: PodNet) -> None:
        super().__init__(net.path)
        self.net = net
        self.told: list[list[str]] = []  # by transaction
        self.fails = 0
        self.backends: list[NFTablesBackend] = []

    def transact(self, messages: Sequence[Message]) -> None:
        """What every transaction is told to before it is done."""
        self.told.append([described(message, 0).removesuffix(": 0") for message in messages])
        if self.fails:
            self.fails -= 1
            raise Refused(errno.EBUSY, messages[0])

    def take(self) -> list[str]:
        """What it was told to do since the last call."""
        lines = [line for transaction in self.told for line in transaction]
        self.told.clear()
        return lines


@pytest.fixture(scope="module")
async def net(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PodNet]:
    async with pod_net(tmp_path_factory.mktemp("net"), pods=0) as net:
        yield net


@pytest.fixture
async def network(net: PodNet, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    network, transact = Watched(net), Conversation.transact

    def watched(conversation: Conversation, messages: Sequence[Message]) -> None:
        network.transact(messages)
        transact(conversation, messages)

    monkeypatch.setattr(Conversation, "transact", watched)
    yield network
    for backend in network.backends:
        backend.close()
    await cleanup(network)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def backend(network: Watched, clock: VirtualClock) -> NFTablesBackend:
    return new(network, clock)


def new(network: Watched, clock: VirtualClock, terms: Terms = TERMS) -> NFTablesBackend:
    made = NFTablesBackend(network, clock, terms, failures=Metric(""), cleanup_failures=Metric(""))
    network.backends.append(made)
    return made


async def in_kernel(network: Watched, family: Family = "IPv4") -> Ruleset:
    table = Table(network, family, TABLE)
    found = await table.read()
    table.close()
    assert found is not None
    return found


def expected(routes: dict[PortName, Route], terms: Terms = TERMS) -> Ruleset:
    return base(terms).joined([of_route(each, terms) for each in routes.values()])


def summary(ruleset: Ruleset) -> dict[str, Any]:
    """What can be told of a table both before it is written and after it is read."""
    return {
        "chains": {name: (chain.comments, chain.hook) for name, chain in ruleset.chains.items()},
        "sets": ruleset.sets,
        "elements": ruleset.elements,
    }


def every_kind() -> dict[PortName, Route]:
    """A service of each kind that adds something of its own."""
    ports = [
        service("plain"),
        service("sticky", cluster_ip="10.96.0.11", affinity_seconds=10800),
        service("stickier", cluster_ip="10.96.0.12", affinity_seconds=5),
        service("dns", cluster_ip="10.96.0.13", protocol="UDP", port=53),
        service("sctp", cluster_ip="10.96.0.14", protocol="SCTP", port=99),
        service("node", cluster_ip="10.96.0.15", node_port=30080),
        service("local", cluster_ip="10.96.0.16", node_port=30081, external_local=True, external_ips=("192.0.2.1",)),
        service("inside", cluster_ip="10.96.0.17", internal_local=True),
        service(
            "lb",
            cluster_ip="10.96.0.18",
            load_balancer_ips=("192.0.2.2",),
            source_ranges=("10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24"),
            port_name="http",
        ),
    ]
    found = {port.name: route(port, [endpoint(A), endpoint(B, local=False)], Place("n1")) for port in ports}
    empty = [
        service("nobody", cluster_ip="10.96.0.20", node_port=30090, load_balancer_ips=("192.0.2.9",)),
        service("elsewhere", cluster_ip="10.96.0.21", node_port=30091, internal_local=True, external_local=True),
    ]
    found[empty[0].name] = route(empty[0], [], Place("n1"))
    found[empty[1].name] = route(empty[1], [endpoint(B, local=False)], Place("n1"))
    return found


@pytest.mark.parametrize(
    "terms",
    [
        TERMS,
        Terms(masquerade_all=True, masquerade_bit=1),
        Terms(node_addresses=("192.0.2.100", "192.0.2.101"), node_ip="10.0.0.1"),
        Terms(service_cidrs=("10.96.0.0/16", "10.97.0.0/16")),
        Terms(locals=Locals(interface="hk0")),
        Terms(locals=Locals(interface="veth*")),
    ],
)
async def test_what_is_read_back_is_what_was_wanted(network: Watched, clock: VirtualClock, terms: Terms) -> None:
    routes = every_kind()
    await new(network, clock, terms).sync(routes, None)
    assert summary(await in_kernel(network)) == summary(expected(routes, terms))


async def test_both_families_have_a_table(network: Watched, clock: VirtualClock) -> None:
    terms = Terms(family="IPv6", locals=Locals("fd00::/64"))
    name = PortName("default", "web", "", "TCP", "IPv6")
    sticky = name._replace(service="sticky")
    ends = [endpoint("fd00::2"), endpoint("fd00::3")]
    ports = [
        ServicePort(name=name, cluster_ip="fd00:1::7", port=80, node_port=30080),
        ServicePort(name=sticky, cluster_ip="fd00:1::8", port=80, affinity_seconds=60),
    ]
    routes = {port.name: route(port, ends, Place("n1")) for port in ports}
    await new(network, clock, terms).sync({**routes, **every_kind()}, None)
    assert summary(await in_kernel(network, "IPv6")) == summary(expected(routes, terms))


async def test_a_second_proxy_finds_everything_right(network: Watched, clock: VirtualClock) -> None:
    routes = every_kind()
    await new(network, clock).sync(routes, None)
    network.take()
    await new(network, clock).sync(routes, None)
    assert network.take() == []


async def test_an_endpoint_more_is_one_rule_and_one_element(network: Watched, backend: NFTablesBackend) -> None:
    routes = every_kind()
    await backend.sync(routes, None)
    network.take()
    changed = routed(service("plain"), endpoint(A), endpoint(B, local=False), endpoint(C))
    await backend.sync({**routes, **changed}, list(changed))
    chain = f"service-{of_service(service('plain').name)}"
    assert network.told == [
        [
            f"flush chain {chain}",
            "add set __map%d",
            "add elements to __map%d",
            f"add a rule to {chain}",
            "add elements to hairpin-connections",
        ]
    ]


async def test_an_endpoint_of_an_affine_service_keeps_the_clients_of_the_others(
    network: Watched, backend: NFTablesBackend
) -> None:
    routes = every_kind()
    await backend.sync(routes, None)
    network.take()
    changed = routed(service("sticky", cluster_ip="10.96.0.11", affinity_seconds=10800), endpoint(A), endpoint(C))
    await backend.sync({**routes, **changed}, list(changed))
    lines = network.take()
    assert not any(f"{A}/8080" in line and line.startswith(("flush", "delete")) for line in lines)
    assert [line.split("__")[-1] for line in lines if line.startswith("delete set")] == [f"{B}/8080"]


async def test_a_service_that_loses_its_last_endpoint_is_refused_in_one_transaction(
    network: Watched, backend: NFTablesBackend
) -> None:
    routes = routed(service(), endpoint(A))
    await backend.sync(routes, None)
    network.told.clear()
    routes = routed(service())
    await backend.sync(routes, list(routes))
    assert len(network.told) == 1
    found = await in_kernel(network)
    assert list(found.elements["no-endpoint-services"]) == [("10.96.0.10", "tcp", "80")]
    assert not found.elements["service-ips"]


async def test_chains_that_nothing_refers_to_are_deleted_a_little_later(
    network: Watched, backend: NFTablesBackend, clock: VirtualClock
) -> None:
    routes = routed(service(), endpoint(A))
    await backend.sync(routes, None)
    seconds = await backend.sync({}, list(routes))
    assert seconds is not None
    assert summary(await in_kernel(network)) != summary(base(TERMS)), "an empty chain is left"
    await clock.advance(seconds)
    assert await backend.sync({}, []) is None
    assert summary(await in_kernel(network)) == summary(base(TERMS))


async def test_a_service_that_comes_back_at_once_gets_its_chain_back(
    network: Watched, backend: NFTablesBackend, clock: VirtualClock
) -> None:
    routes = routed(service(), endpoint(A))
    await backend.sync(routes, None)
    await backend.sync({}, list(routes))
    await backend.sync(routes, list(routes))
    await clock.advance(5)
    await backend.sync(routes, [])
    assert summary(await in_kernel(network)) == summary(expected(routes))


async def test_an_address_of_two_ports_stays_until_the_last_is_gone(network: Watched, backend: NFTablesBackend) -> None:
    first, second = service(port_name="a"), service(port_name="b", port=81)
    routes = {**routed(first, endpoint(A)), **routed(second, endpoint(A))}
    await backend.sync(routes, None)
    del routes[first.name]
    await backend.sync(routes, [first.name])
    found = await in_kernel(network)
    assert list(found.elements["cluster-ips"]) == [("10.96.0.10",)]
    assert list(found.elements["hairpin-connections"]) == [(A, A, "tcp", "8080")]
    del routes[second.name]
    await backend.sync(routes, [second.name])
    assert not (await in_kernel(network)).elements["cluster-ips"]


async def test_after_a_refusal_everything_is_looked_at_and_mended(network: Watched, backend: NFTablesBackend) -> None:
    routes = every_kind()
    await backend.sync(routes, None)
    network.fails = 1
    changed = routed(service("plain"), endpoint(C))
    with pytest.raises(SyncError, match=r"refuses a change of the table kube-proxy: .*EBUSY"):
        await backend.sync({**routes, **changed}, list(changed))
    await network.run(["nft", "flush", "map", "ip", "kube-proxy", "service-ips"])
    await backend.sync({**routes, **changed}, [])
    assert summary(await in_kernel(network)) == summary(expected({**routes, **changed}))


async def test_what_others_changed_is_mended_by_a_full_look(network: Watched, backend: NFTablesBackend) -> None:
    routes = every_kind()
    await backend.sync(routes, None)
    for command in (
        "flush chain ip kube-proxy services",
        "add rule ip kube-proxy reject-chain accept",
        "add element ip kube-proxy cluster-ips { 10.96.9.9 }",
        "delete element ip kube-proxy cluster-ips { 10.96.0.10 }",
        "add set ip kube-proxy affinity-x/y { type ipv4_addr ; flags dynamic,timeout ; timeout 5s ; }",
    ):
        assert (await network.run(["nft", *command.split()])).exit_code == 0
    await backend.sync(routes, None)
    assert summary(await in_kernel(network)) == summary(expected(routes))


async def test_a_table_of_somebody_elses_make_is_made_anew(network: Watched, backend: NFTablesBackend) -> None:
    chain = "add chain ip kube-proxy services { type filter hook input priority 0 ; }"
    await network.run(["nft", "-f", "-"], f"add table ip kube-proxy\n{chain}\n".encode())
    routes = every_kind()
    await backend.sync(routes, None)
    assert summary(await in_kernel(network)) == summary(expected(routes))


async def test_many_services_take_several_transactions_where_messages_are_limited_and_arrive_whole(
    network: Watched, backend: NFTablesBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netlink, "_enlarge", lambda made: 64 << 10)  # as for anybody but administrators
    ports = [service(f"s{n}", cluster_ip=f"10.97.{n // 250}.{n % 250}") for n in range(300)]
    ends = [endpoint(f"10.244.1.{n}", local=True) for n in range(5)]
    routes = {port.name: route(port, ends, Place("n1")) for port in ports}
    await backend.sync(routes, None)
    assert len(network.told) > 1
    assert summary(await in_kernel(network)) == summary(expected(routes))


async def test_a_service_of_many_endpoints_takes_one_transaction(network: Watched, backend: NFTablesBackend) -> None:
    ends = [endpoint(f"10.244.{n // 250}.{n % 250}", local=False) for n in range(5000)]
    routes = routed(service(), *ends)
    await backend.sync({}, None)
    network.take()
    await backend.sync(routes, list(routes))
    assert len(network.told) == 1
    assert summary(await in_kernel(network)) == summary(expected(routes))


async def test_nft_lists_the_table_in_kube_proxys_words(network: Watched, backend: NFTablesBackend) -> None:
    ranges = ("10.0.0.0/8", "192.0.2.0/25", "192.0.2.128/25", "255.255.255.0/24")
    lb = service("lb", cluster_ip="10.96.0.18", load_balancer_ips=("192.0.2.2",), source_ranges=ranges)
    await backend.sync({**every_kind(), lb.name: route(lb, [endpoint(A)], Place("n1"))}, None)
    listed = await network.run(["nft", "list", "table", "ip", "kube-proxy"])
    words = re.sub(r' comment "[^"]*"', "", listed.stdout.decode())
    plain, sticky = of_service(service("plain").name), of_service(service("sticky").name)
    rules = [
        "ip daddr @cluster-ips ip saddr != 10.244.0.0/24 meta mark set meta mark | 0x00004000",
        "ip daddr . meta l4proto . th dport vmap @service-ips",
        "fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-nodeports",
        "meta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000 masquerade fully-random",
        "ct status dnat ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random",
        "ip daddr @cluster-ips reject",
        "ct state new jump firewall-check",
        "fib saddr type local meta mark set meta mark | 0x00004000",
        "ip saddr != { 10.0.0.0/8, 192.0.2.0/24, 255.255.255.0/24 } drop",
        "meta l4proto tcp dnat to 10.244.0.2:8080",
    ]
    lines = {line.strip() for line in words.splitlines()}
    assert not [rule for rule in rules if rule not in lines]
    assert f"10.96.0.10 . tcp . 80 : goto service-{plain}" in words
    assert re.search(rf"chain service-{re.escape(sticky)} {{\n\s+ip saddr @affinity-\S+ goto endpoint-\S+\n", words)
    assert re.search(r"numgen random mod 2 map { 0 : 10.244.0.2 . 8080, 1 : 10.244.0.3 . 8080 }", words)


async def test_nftables_work_here_and_not_where_the_kernel_refuses(network: Watched) -> None:
    assert await works(network) == ""
    assert await works(network, "IPv6") == ""
    network.fails = 1
    assert "EBUSY" in await works(network)
    assert "hk-probe" not in (await network.run(["nft", "list", "tables"])).stdout.decode()


class Elsewhere(AgentNetwork):
    """A machine without netlink."""

    async def netlink(self, protocol: int) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "there is no netlink here")


async def test_a_machine_without_netlink_has_no_nftables(net: PodNet) -> None:
    assert await works(Elsewhere(net.path)) == "there is no netlink here"
    with pytest.raises(OSError, match="no netlink"):
        await cleanup(Elsewhere(net.path))
