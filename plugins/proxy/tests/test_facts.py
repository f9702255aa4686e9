"""What follows from the options, the pods' network and the Node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hyperkube_machinery.podnetwork import Description
from hyperkube_proxy.facts import NodeFacts, local_sources, node_facts, node_port_addresses, relay_addresses
from hyperkube_proxy.hostaddresses import read_fib_trie
from hyperkube_proxy.model import Locals
from hyperkube_proxy.options import Options
from hyperkube_proxy.rules import Place

HOST = Description("host")
APART = Description("namespace", "10.244.0.1", "10.244.0.0/24", "hk0")
MACHINE = ["127.0.0.1", "192.0.2.7", "198.51.100.7", "2001:db8::7", "::1"]
NODE = NodeFacts(Place("n"), ("192.0.2.7",), ("10.1.0.0/24",))


def options(**fields: Any) -> Options:
    return Options(kubeconfig=Path("/k"), **fields)


def test_a_node_tells_its_zone_and_addresses() -> None:
    node = {
        "metadata": {"labels": {"topology.kubernetes.io/zone": "a"}},
        "spec": {"podCIDR": "10.1.0.0/24"},
        "status": {
            "addresses": [
                {"type": "Hostname", "address": "n"},
                {"type": "ExternalIP", "address": "198.51.100.7"},
                {"type": "InternalIP", "address": "192.0.2.7"},
            ]
        },
    }
    assert node_facts("n", node) == NodeFacts(Place("n", "a"), ("192.0.2.7",), ("10.1.0.0/24",))
    assert node_facts("n", None) == NodeFacts(Place("n"))
    assert node_facts("n", None, "192.0.2.9") == NodeFacts(Place("n"), ("192.0.2.9",))


@pytest.mark.parametrize(
    ("addresses", "bound", "expected"),
    [
        (["192.0.2.7", "192.0.2.8", "2001:db8::7"], "0.0.0.0", ("192.0.2.7", "2001:db8::7")),
        (["2001:db8::7", "192.0.2.7"], "::", ("2001:db8::7", "192.0.2.7")),
        (["2001:db8::7", "192.0.2.7"], "198.51.100.7", ("198.51.100.7", "2001:db8::7")),
        ([], "198.51.100.7", ("198.51.100.7",)),
    ],
)
def test_a_node_has_an_address_of_each_family(addresses: list[str], bound: str, expected: tuple[str, ...]) -> None:
    told = [{"type": "InternalIP", "address": address} for address in addresses]
    facts = node_facts("n", {"metadata": {}, "status": {"addresses": told}}, bound)
    assert facts.addresses == expected
    assert {facts.address("IPv4"), facts.address("IPv6")} - {""} == set(expected)


@pytest.mark.parametrize(
    ("wanted", "mode", "description", "ip4", "ip6"),
    [
        ((), "nftables", HOST, ("192.0.2.7",), None),
        (("primary",), "nftables", HOST, ("192.0.2.7",), None),
        (("0.0.0.0/0",), "nftables", HOST, None, None),
        (("198.51.100.0/24",), "nftables", HOST, ("198.51.100.7",), None),
        (("198.51.100.0/24", "2001:db8::/32"), "nftables", HOST, ("198.51.100.7",), ("2001:db8::7",)),
        (("203.0.113.0/24", "::/128"), "nftables", HOST, (), ()),
        (("127.0.0.0/8",), "nftables", HOST, (), None),
        ((), "iptables", HOST, None, None),
        ((), "ipvs", HOST, None, None),
        (("primary",), "iptables", HOST, ("192.0.2.7",), None),
        ((), "nftables", APART, None, None),
    ],
)
def test_rules_open_node_ports_where_it_was_asked_for(
    wanted: tuple[str, ...],
    mode: str,
    description: Description,
    ip4: tuple[str, ...] | None,
    ip6: tuple[str, ...] | None,
) -> None:
    given = options(nodeport_addresses=wanted, proxy_mode=mode)
    assert node_port_addresses(given, description, NODE, MACHINE, "IPv4") == ip4
    assert node_port_addresses(given, description, NODE, MACHINE, "IPv6") == ip6


def test_node_ports_are_not_open_while_the_node_is_not_known() -> None:
    unknown = NodeFacts(Place("n"))
    assert node_port_addresses(options(), HOST, unknown, MACHINE, "IPv4") == ()
    assert node_port_addresses(options(), HOST, unknown, MACHINE, "IPv6") == ()


@pytest.mark.parametrize(
    ("wanted", "description", "expected"),
    [
        ((), HOST, ()),
        (("primary",), HOST, ("192.0.2.7",)),
        (("0.0.0.0/0",), HOST, ("192.0.2.7", "198.51.100.7")),
        (("127.0.0.0/8",), HOST, ()),
        (("primary",), APART, ("10.244.0.1",)),
    ],
)
def test_relays_open_node_ports_where_it_was_asked_for(
    wanted: tuple[str, ...], description: Description, expected: tuple[str, ...]
) -> None:
    assert relay_addresses(options(nodeport_addresses=wanted), description, NODE, MACHINE) == expected


@pytest.mark.parametrize(
    ("fields", "description", "expected"),
    [
        ({}, HOST, None),
        ({"cluster_cidr": "10.2.0.0/16"}, HOST, Locals("10.2.0.0/16")),
        ({"cluster_cidr": "fd00::/48,10.2.0.0/16"}, HOST, Locals("10.2.0.0/16")),
        ({"cluster_cidr": "fd00::/48"}, HOST, None),
        ({"detect_local_mode": "NodeCIDR", "cluster_cidr": "10.2.0.0/16"}, HOST, Locals("10.1.0.0/24")),
        ({"detect_local_mode": "BridgeInterface", "pod_bridge_interface": "br0"}, HOST, Locals(interface="br0")),
        (
            {"detect_local_mode": "InterfaceNamePrefix", "pod_interface_name_prefix": "v"},
            HOST,
            Locals(interface="v*"),
        ),
        ({}, APART, Locals("10.244.0.0/24")),
    ],
)
def test_pods_of_this_node_are_told_from_others(
    fields: dict[str, Any], description: Description, expected: Locals | None
) -> None:
    assert local_sources(options(**fields), description, NODE, "IPv4") == expected


def test_ip6_has_its_own_range() -> None:
    given = options(cluster_cidr="fd00::/48,10.2.0.0/16")
    assert local_sources(given, HOST, NODE, "IPv6") == Locals("fd00::/48")


FIB_TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.7
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
"""


def test_the_machines_addresses_are_read_from_its_routes() -> None:
    assert list(read_fib_trie(FIB_TRIE)) == ["127.0.0.1", "192.0.2.7"]
