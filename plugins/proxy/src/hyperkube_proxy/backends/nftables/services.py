"""What one port of a service adds to the table. Pure.

Source: k8s.io/kubernetes/pkg/proxy/nftables (syncProxyRules).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hyperkube_proxy.backends.nftables import layout
from hyperkube_proxy.backends.nftables.layout import Terms
from hyperkube_proxy.backends.nftables.naming import affinity_set, endpoint_chain, of_service
from hyperkube_proxy.backends.nftables.ruleset import Chain, Element, Key, Rule, Ruleset, Set, commented, rules
from hyperkube_proxy.model import Endpoint
from hyperkube_proxy.rules import Route

__all__ = ["of_route"]


def of_route(route: Route, terms: Terms) -> Ruleset:
    """Chains, affinity sets and elements for `route`."""
    return _Builder(route, terms).build()


class _Builder:
    def __init__(self, route: Route, terms: Terms) -> None:
        self.route = route
        self.port = route.port
        self.terms = terms
        self.protocol = route.port.protocol.lower()
        self.found = Ruleset()
        name = of_service(route.port.name)
        self.cluster_chain = f"service-{name}"
        self.local_chain = f"local-{name}"
        self.external_chain = f"external-{name}"
        self.firewall_chain = f"firewall-{name}"

    def build(self) -> Ruleset:
        self._endpoints()
        self._policy_chains()
        self._internal()
        self._external()
        self._firewall()
        return self.found

    def _add(self, container: str, key: Key, value: str = "", *, comment: str = "") -> None:
        self.found.elements.setdefault(container, {})[key] = Element(value, comment)

    def _key(self, address: str) -> Key:
        return address, self.protocol, str(self.port.port)

    # Endpoints: how they are chosen, and that they can reach themselves.

    def _endpoints(self) -> None:
        for endpoint in self.route.reachable:
            if endpoint.local:
                self._add(layout.HAIRPIN, (endpoint.ip, endpoint.ip, self.protocol, str(endpoint.port)))
            if self.port.affinity_seconds:
                self._affinity(endpoint)

    def _affinity(self, endpoint: Endpoint) -> None:
        clients = affinity_set(self.port.name, endpoint, self.port.affinity_seconds)
        kind, seconds = self.terms.address_type, self.port.affinity_seconds
        self.found.sets[clients] = Set("set", f"type {kind} ; flags dynamic,timeout ; timeout {seconds}s ;")
        self.found.chains[endpoint_chain(self.port.name, endpoint)] = Chain(
            rules(
                f"update @{clients} {{ {self.terms.ip} saddr }}",
                f"meta l4proto {self.protocol} dnat to {endpoint}",
            )
        )

    def _policy_chains(self) -> None:
        if self.route.cluster and self.port.uses_cluster_endpoints:
            self.found.chains[self.cluster_chain] = self._choice(self.route.cluster)
        if self.route.local and self.port.uses_local_endpoints:
            self.found.chains[self.local_chain] = self._choice(self.route.local)

    def _choice(self, endpoints: Sequence[Endpoint]) -> Chain:
        count = len(endpoints)
        if self.port.affinity_seconds:
            return Chain((*self._returning(endpoints), commented(self._jumps(endpoints))))
        places = " , ".join(f"{i} : {endpoint.ip} . {endpoint.port}" for i, endpoint in enumerate(endpoints))
        chosen = f"dnat {self.terms.ip} addr . port to numgen random mod {count} map {{ {places} }}"
        return Chain(rules(f"meta l4proto {self.protocol} {chosen}"))

    def _returning(self, endpoints: Sequence[Endpoint]) -> Iterator[Rule]:
        """Clients that are known go where they went."""
        for endpoint in endpoints:
            clients = affinity_set(self.port.name, endpoint, self.port.affinity_seconds)
            goes = endpoint_chain(self.port.name, endpoint)
            yield commented(f"{self.terms.ip} saddr @{clients} goto {goes}")

    def _jumps(self, endpoints: Sequence[Endpoint]) -> str:
        places = " , ".join(
            f"{i} : goto {endpoint_chain(self.port.name, endpoint)}" for i, endpoint in enumerate(endpoints)
        )
        return f"numgen random mod {len(endpoints)} vmap {{ {places} }}"

    # Addresses.

    def _internal(self) -> None:
        self._add(layout.CLUSTER_IPS, (self.port.cluster_ip,))
        key = self._key(self.port.cluster_ip)
        if self.route.internal and self.route.anywhere:
            chain = self.local_chain if self.port.internal_local else self.cluster_chain
            self._add(layout.SERVICE_IPS, key, f"goto {chain}")
        else:
            self._add(layout.NO_ENDPOINT_SERVICES, key, self._refusal, comment=str(self.port.name))

    @property
    def _refusal(self) -> str:
        """Rejected where there is no endpoint at all; dropped where there is one, but not here."""
        return "drop" if self.route.anywhere else f"goto {layout.REJECT}"

    def _external(self) -> None:
        port, route = self.port, self.route
        if not port.externally_accessible:
            return
        if route.anywhere:
            self.found.chains[self.external_chain] = Chain(tuple(self._external_rules()))
        comment = str(port.name)
        goes = f"goto {self.external_chain}"
        for address in (*port.external_ips, *port.load_balancer_ips):
            if route.anywhere:
                self._add(layout.SERVICE_IPS, self._key(address), goes)
            if not route.external:
                self._add(layout.NO_ENDPOINT_SERVICES, self._key(address), self._refusal, comment=comment)
        if port.node_port:
            key = self.protocol, str(port.node_port)
            if route.anywhere:
                self._add(layout.NODE_PORTS, key, goes)
            if not route.external:
                self._add(layout.NO_ENDPOINT_NODE_PORTS, key, self._refusal, comment=comment)

    def _external_rules(self) -> Iterator[Rule]:
        terms = self.terms
        if not self.port.external_local:
            # It may go on to another node, whose answer has to come back here.
            yield commented(terms.masquerade, "masquerade")
        else:
            # What comes from this node is treated as if it went out to a load balancer and came back.
            if self.route.cluster:
                if terms.local_source:
                    text = f"{terms.local_source} goto {self.cluster_chain}"
                    yield commented(text, "short-circuit pod traffic")
                yield commented(f"fib saddr type local {terms.masquerade}", "masquerade local traffic")
                yield commented(f"fib saddr type local goto {self.cluster_chain}", "short-circuit local traffic")
        if self.route.external:
            chain = self.local_chain if self.port.external_local else self.cluster_chain
            yield commented(f"goto {chain}")

    def _firewall(self) -> None:
        port = self.port
        if not port.load_balancer_ips or not port.source_ranges:
            return
        sources = list(port.source_ranges)
        if self.terms.node_ip and any(_contains(source, self.terms.node_ip) for source in sources):
            # The node's own connections come from the address itself where that is one of the node's.
            sources += port.load_balancer_ips
        text = f"{self.terms.ip} saddr != {{ {', '.join(_collapsed(sources))} }} drop"
        self.found.chains[self.firewall_chain] = Chain(rules(text))
        for address in port.load_balancer_ips:
            self._add(layout.FIREWALL, self._key(address), f"goto {self.firewall_chain}")


def _contains(cidr: str, ip: str) -> bool:
    network, address = ipaddress.ip_network(cidr), ipaddress.ip_address(ip)
    return network.version == address.version and address in network


def _collapsed(cidrs: Iterable[str]) -> Iterator[str]:
    """Of ranges in one another the larger alone: both would be refused as conflicting."""
    networks: list[Any] = [ipaddress.ip_network(cidr) for cidr in cidrs]
    return map(str, ipaddress.collapse_addresses(networks))
