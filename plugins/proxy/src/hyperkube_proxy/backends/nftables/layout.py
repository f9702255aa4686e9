"""The part of the table that every proxy has, and what depends on how it was started. Pure.

Source: k8s.io/kubernetes/pkg/proxy/nftables (setupNFTables).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hyperkube_proxy.backends.nftables import expressions as nft
from hyperkube_proxy.backends.nftables.expressions import Expression, Fields
from hyperkube_proxy.backends.nftables.ruleset import Chain, Element, Hook, Rule, Ruleset, Set, rule
from hyperkube_proxy.model import Family, Locals

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
    locals: Locals | None = None  # None: they can't be told
    node_addresses: tuple[str, ...] | None = None  # that accept node ports; None: all of the node's
    node_ip: str = ""  # that the node's own connections come from
    service_cidrs: tuple[str, ...] = ()  # where addresses are dropped that are no service's

    @property
    def address_type(self) -> str:
        return nft.headers(self.family).address_type

    @property
    def mark(self) -> int:
        return 1 << self.masquerade_bit

    def of_pods(self, *, others: bool = False) -> tuple[Expression, ...]:
        """What matches connections of this node's pods, or all `others`; nothing where they can't be told."""
        if self.locals is None:
            return ()
        if self.locals.cidr:
            return nft.in_network(self.family, self.locals.cidr, negated=others)
        return nft.comes_in_by(self.locals.interface, negated=others)

    @property
    def masquerade(self) -> tuple[Expression, ...]:
        """Has a connection masqueraded."""
        return nft.set_mark(self.mark)


_DNAT = -100
_HOOKS = {
    "filter-prerouting-pre-dnat": Hook("filter", "prerouting", _DNAT - 10),
    "filter-output-pre-dnat": Hook("filter", "output", _DNAT - 10),
    "filter-input": Hook("filter", "input", 0),
    "filter-forward": Hook("filter", "forward", 0),
    "filter-output": Hook("filter", "output", 0),
    "nat-prerouting": Hook("nat", "prerouting", _DNAT),
    "nat-output": Hook("nat", "output", _DNAT),
    "nat-postrouting": Hook("nat", "postrouting", 100),
}

_JUMPS = {
    "filter-prerouting-pre-dnat": ("firewall-check",),
    "filter-output-pre-dnat": ("firewall-check",),
    "filter-input": ("nodeport-endpoints-check", "service-endpoints-check"),
    "filter-forward": ("service-endpoints-check", "cluster-ips-check"),
    "filter-output": ("service-endpoints-check", "cluster-ips-check"),
    "nat-prerouting": ("services",),
    "nat-output": ("services",),
    "nat-postrouting": ("masquerading",),
}


def base(terms: Terms) -> Ruleset:
    """The table without any service."""
    chains = {name: Chain(_jumps(name, hook), hook) for name, hook in _HOOKS.items()}
    chains |= {
        REJECT: Chain((rule(nft.reject(terms.family)),)),
        "services": Chain(tuple(_dispatch(terms))),
        "masquerading": Chain(tuple(_masquerading(terms))),
        "cluster-ips-check": Chain(tuple(_cluster_ips_check(terms))),
        "service-endpoints-check": Chain((rule(_target(terms), nft.vmap(NO_ENDPOINT_SERVICES)),)),
        "nodeport-endpoints-check": Chain((rule(_node_port(terms), nft.vmap(NO_ENDPOINT_NODE_PORTS)),)),
        "firewall-check": Chain((rule(_target(terms), nft.vmap(FIREWALL)),)),
    }
    ruleset = Ruleset(chains=chains, sets=_sets(terms))
    ruleset.elements = {name: {} for name in ruleset.sets}
    for address in terms.node_addresses or ():
        ruleset.elements[NODE_PORT_IPS][(address,)] = Element()
    return ruleset


def _jumps(name: str, hook: Hook) -> tuple[Rule, ...]:
    """What is new alone is checked; translated is what is new anyway."""
    condition = nft.new() if hook.type == "filter" else ()
    return tuple(rule(condition, nft.jump(target)) for target in _JUMPS[name])


def _target(terms: Terms) -> tuple[Expression, ...]:
    """`ip daddr . meta l4proto . th dport`."""
    return Fields(terms.family).destination().protocol().port().loads


def _node_port(terms: Terms) -> tuple[Expression, ...]:
    """At an address that has node ports: `meta l4proto . th dport`."""
    if terms.node_addresses is None:
        at = nft.is_not_loopback(terms.family)
    else:
        at = (*Fields(terms.family).destination().loads, nft.in_set(NODE_PORT_IPS))
    return *at, *Fields(terms.family).protocol().port().loads


def _to_cluster_ip(terms: Terms) -> tuple[Expression, ...]:
    return *Fields(terms.family).destination().loads, nft.in_set(CLUSTER_IPS)


def _masquerading(terms: Terms) -> Iterator[Rule]:
    yield rule(nft.marked(terms.mark), nft.unmark(terms.mark), nft.masquerade())
    connection = Fields(terms.family).source().destination().protocol().port().loads
    yield rule(nft.is_translated(), connection, nft.in_set(HAIRPIN), nft.masquerade())


def _dispatch(terms: Terms) -> Iterator[Rule]:
    if terms.masquerade_all:
        yield rule(_to_cluster_ip(terms), terms.masquerade, words="masquerade all clusterIP traffic")
    elif terms.locals is not None:
        words = "masquerade clusterIP traffic from outside cluster"
        yield rule(_to_cluster_ip(terms), terms.of_pods(others=True), terms.masquerade, words=words)
    yield rule(_target(terms), nft.vmap(SERVICE_IPS))
    local = nft.is_local(source=False) if terms.node_addresses is None else ()
    yield rule(local, _node_port(terms), nft.vmap(NODE_PORTS))


def _cluster_ips_check(terms: Terms) -> Iterator[Rule]:
    yield rule(_to_cluster_ip(terms), nft.reject(terms.family), words="Reject traffic to invalid ports of ClusterIPs")
    if terms.service_cidrs:
        among = nft.in_own_set(terms.family, terms.service_cidrs, negated=False)
        destination = Fields(terms.family).destination().loads
        yield rule(destination, among, nft.drop(), words="Drop traffic to unallocated ClusterIPs")


def _sets(terms: Terms) -> dict[str, Set]:
    address = terms.address_type
    by_address = Set((address, "inet_proto", "inet_service"), verdicts=True)
    by_port = Set(("inet_proto", "inet_service"), verdicts=True)
    sets = {
        CLUSTER_IPS: Set((address,)),
        HAIRPIN: Set((address, address, "inet_proto", "inet_service")),
        SERVICE_IPS: by_address,
        NODE_PORTS: by_port,
        NO_ENDPOINT_SERVICES: by_address,
        NO_ENDPOINT_NODE_PORTS: by_port,
        FIREWALL: by_address,
    }
    if terms.node_addresses is not None:
        sets[NODE_PORT_IPS] = Set((address,))
    return sets
