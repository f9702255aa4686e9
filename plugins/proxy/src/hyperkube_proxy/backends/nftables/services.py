"""What one port of a service adds to the table. Pure.

Source: k8s.io/kubernetes/pkg/proxy/nftables (syncProxyRules).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from hyperkube_proxy.backends.nftables import expressions as nft
from hyperkube_proxy.backends.nftables import layout
from hyperkube_proxy.backends.nftables.expressions import Expression, Fields, OwnSet
from hyperkube_proxy.backends.nftables.layout import Terms
from hyperkube_proxy.backends.nftables.naming import affinity_set, endpoint_chain, of_service
from hyperkube_proxy.backends.nftables.ruleset import Chain, Element, Key, Rule, Ruleset, Set, rule
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
        self.found.sets[clients] = Set((self.terms.address_type,), timeout_seconds=self.port.affinity_seconds)
        translated = nft.dnat(self.terms.family, endpoint.ip, endpoint.port)
        self.found.chains[endpoint_chain(self.port.name, endpoint)] = Chain(
            (rule(self._client, nft.update(clients)), rule(nft.with_protocol(self.port.protocol), translated))
        )

    @property
    def _client(self) -> tuple[Expression, ...]:
        return Fields(self.terms.family).source().loads

    def _policy_chains(self) -> None:
        if self.route.cluster and self.port.uses_cluster_endpoints:
            self.found.chains[self.cluster_chain] = self._choice(self.route.cluster)
        if self.route.local and self.port.uses_local_endpoints:
            self.found.chains[self.local_chain] = self._choice(self.route.local)

    def _choice(self, endpoints: Sequence[Endpoint]) -> Chain:
        if self.port.affinity_seconds:
            return Chain((*self._returning(endpoints), rule(nft.at_random(len(endpoints)), self._jumps(endpoints))))
        chosen = nft.dnat_chosen(self.terms.family, [(endpoint.ip, endpoint.port) for endpoint in endpoints])
        return Chain((rule(nft.with_protocol(self.port.protocol), chosen),))

    def _returning(self, endpoints: Sequence[Endpoint]) -> Iterator[Rule]:
        """Clients that are known go where they went."""
        for endpoint in endpoints:
            clients = affinity_set(self.port.name, endpoint, self.port.affinity_seconds)
            yield rule(self._client, nft.in_set(clients), nft.goto(endpoint_chain(self.port.name, endpoint)))

    def _jumps(self, endpoints: Sequence[Endpoint]) -> OwnSet:
        return nft.places([nft.verdict("goto", endpoint_chain(self.port.name, endpoint)) for endpoint in endpoints])

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
            yield rule(terms.masquerade, words="masquerade")
        elif self.route.cluster:
            # What comes from this node is treated as if it went out to a load balancer and came back.
            everywhere = nft.goto(self.cluster_chain)
            if terms.locals is not None:
                yield rule(terms.of_pods(), everywhere, words="short-circuit pod traffic")
            yield rule(nft.is_local(source=True), terms.masquerade, words="masquerade local traffic")
            yield rule(nft.is_local(source=True), everywhere, words="short-circuit local traffic")
        if self.route.external:
            yield rule(nft.goto(self.local_chain if self.port.external_local else self.cluster_chain))

    def _firewall(self) -> None:
        port = self.port
        if not port.load_balancer_ips or not port.source_ranges:
            return
        sources = list(port.source_ranges)
        if self.terms.node_ip and any(_contains(source, self.terms.node_ip) for source in sources):
            # The node's own connections come from the address itself where that is one of the node's.
            sources += port.load_balancer_ips
        others = nft.in_own_set(self.terms.family, sources, negated=True)
        self.found.chains[self.firewall_chain] = Chain((rule(self._client, others, nft.drop()),))
        for address in port.load_balancer_ips:
            self._add(layout.FIREWALL, self._key(address), f"goto {self.firewall_chain}")


def _contains(cidr: str, ip: str) -> bool:
    network, address = ipaddress.ip_network(cidr), ipaddress.ip_address(ip)
    return network.version == address.version and address in network
