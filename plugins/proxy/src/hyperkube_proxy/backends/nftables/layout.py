"""The part of the table that every proxy has, and what depends on how it was started. Pure.

Source: k8s.io/kubernetes/pkg/proxy/nftables (setupNFTables).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hyperkube_proxy.backends.nftables.ruleset import Chain, Element, Rule, Ruleset, Set, commented, rules
from hyperkube_proxy.model import Family

__all__ = [
    "CLUSTER_IPS",
    "FIREWALL",
    "HAIRPIN",
    "NODE_PORTS",
    "NODE_PORT_IPS",
    "NO_ENDPOINT_NODE_PORTS",
    "NO_ENDPOINT_SERVICES",
    "REJECT",
    "SERVICE_IPS",
    "TABLE",
    "Terms",
    "base",
]  # fmt: skip

TABLE = "kube-proxy"
CLUSTER_IPS = "cluster-ips"
FIREWALL = "firewall-ips"
HAIRPIN = "hairpin-connections"
NODE_PORTS = "service-nodeports"
NODE_PORT_IPS = "nodeport-ips"
NO_ENDPOINT_NODE_PORTS = "no-endpoint-nodeports"
NO_ENDPOINT_SERVICES = "no-endpoint-services"
REJECT = "reject-chain"
SERVICE_IPS = "service-ips"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the table depends on besides services."""

    family: Family = "IPv4"
    masquerade_bit: int = 14
    masquerade_all: bool = False
    local_source: str = ""  # matches connections of this node's pods: `ip saddr 10.244.0.0/24`; "": can't be told
    other_source: str = ""  # matches all others
    node_addresses: tuple[str, ...] | None = None  # that accept node ports; None: all of the node's
    node_ip: str = ""  # that the node's own connections come from
    service_cidrs: tuple[str, ...] = ()  # where addresses are dropped that are no service's

    @property
    def ip(self) -> str:
        """How rules name the family's header."""
        return "ip" if self.family == "IPv4" else "ip6"

    @property
    def address_type(self) -> str:
        return "ipv4_addr" if self.family == "IPv4" else "ipv6_addr"

    @property
    def mark(self) -> str:
        return f"{1 << self.masquerade_bit:#010x}"

    @property
    def masquerade(self) -> str:
        """The rule that has a connection masqueraded."""
        return f"meta mark set meta mark or {self.mark}"


_DNAT = -100
_HOOKS = {
    "filter-prerouting-pre-dnat": f"type filter hook prerouting priority {_DNAT - 10} ;",
    "filter-output-pre-dnat": f"type filter hook output priority {_DNAT - 10} ;",
    "filter-input": "type filter hook input priority 0 ;",
    "filter-forward": "type filter hook forward priority 0 ;",
    "filter-output": "type filter hook output priority 0 ;",
    "nat-prerouting": f"type nat hook prerouting priority {_DNAT} ;",
    "nat-output": f"type nat hook output priority {_DNAT} ;",
    "nat-postrouting": "type nat hook postrouting priority 100 ;",
}

_JUMPS = {
    "filter-prerouting-pre-dnat": ("ct state new jump firewall-check",),
    "filter-output-pre-dnat": ("ct state new jump firewall-check",),
    "filter-input": ("ct state new jump nodeport-endpoints-check", "ct state new jump service-endpoints-check"),
    "filter-forward": ("ct state new jump service-endpoints-check", "ct state new jump cluster-ips-check"),
    "filter-output": ("ct state new jump service-endpoints-check", "ct state new jump cluster-ips-check"),
    "nat-prerouting": ("jump services",),
    "nat-output": ("jump services",),
    "nat-postrouting": ("jump masquerading",),
}


def base(terms: Terms) -> Ruleset:
    """The table without any service."""
    chains = {name: Chain(rules(*_JUMPS[name]), hook) for name, hook in _HOOKS.items()}
    ip = terms.ip
    target = f"{ip} daddr . meta l4proto . th dport"
    chains |= {
        REJECT: Chain(rules("reject")),
        "services": Chain(tuple(_dispatch(terms, target))),
        "masquerading": Chain(
            rules(
                f"meta mark & {terms.mark} != 0 meta mark set meta mark ^ {terms.mark} masquerade fully-random",
                f"ct status dnat {ip} saddr . {ip} daddr . meta l4proto . th dport @{HAIRPIN} masquerade fully-random",
            )
        ),
        "cluster-ips-check": Chain(tuple(_cluster_ips_check(terms))),
        "service-endpoints-check": Chain(rules(f"{target} vmap @{NO_ENDPOINT_SERVICES}")),
        "nodeport-endpoints-check": Chain(
            rules(f"{_is_node_port(terms)} meta l4proto . th dport vmap @{NO_ENDPOINT_NODE_PORTS}")
        ),
        "firewall-check": Chain(rules(f"{target} vmap @{FIREWALL}")),
    }
    ruleset = Ruleset(chains=chains, sets=_sets(terms))
    ruleset.elements = {name: {} for name in ruleset.sets}
    for address in terms.node_addresses or ():
        ruleset.elements[NODE_PORT_IPS][(address,)] = Element()
    return ruleset


def _dispatch(terms: Terms, target: str) -> Sequence[Rule]:
    to_cluster_ip = f"{terms.ip} daddr @{CLUSTER_IPS}"
    found = []
    if terms.masquerade_all:
        found.append(commented(f"{to_cluster_ip} {terms.masquerade}", "masquerade all clusterIP traffic"))
    elif terms.other_source:
        text = f"{to_cluster_ip} {terms.other_source} {terms.masquerade}"
        found.append(commented(text, "masquerade clusterIP traffic from outside cluster"))
    found.append(commented(f"{target} vmap @{SERVICE_IPS}"))
    local = "fib daddr type local " if terms.node_addresses is None else ""
    found.append(commented(f"{local}{_is_node_port(terms)} meta l4proto . th dport vmap @{NODE_PORTS}"))
    return found


def _is_node_port(terms: Terms) -> str:
    if terms.node_addresses is None:
        return "ip daddr != 127.0.0.0/8" if terms.family == "IPv4" else "ip6 daddr != ::1"
    return f"{terms.ip} daddr @{NODE_PORT_IPS}"


def _cluster_ips_check(terms: Terms) -> Sequence[Rule]:
    found = [commented(f"{terms.ip} daddr @{CLUSTER_IPS} reject", "Reject traffic to invalid ports of ClusterIPs")]
    if terms.service_cidrs:
        text = f"{terms.ip} daddr {{ {', '.join(terms.service_cidrs)} }} drop"
        found.append(commented(text, "Drop traffic to unallocated ClusterIPs"))
    return found


def _sets(terms: Terms) -> dict[str, Set]:
    address = terms.address_type
    by_address = Set("map", f"type {address} . inet_proto . inet_service : verdict ;")
    by_port = Set("map", "type inet_proto . inet_service : verdict ;")
    sets = {
        CLUSTER_IPS: Set("set", f"type {address} ;"),
        HAIRPIN: Set("set", f"type {address} . {address} . inet_proto . inet_service ;"),
        SERVICE_IPS: by_address,
        NODE_PORTS: by_port,
        NO_ENDPOINT_SERVICES: by_address,
        NO_ENDPOINT_NODE_PORTS: by_port,
        FIREWALL: by_address,
    }
    if terms.node_addresses is not None:
        sets[NODE_PORT_IPS] = Set("set", f"type {address} ;")
    return sets
