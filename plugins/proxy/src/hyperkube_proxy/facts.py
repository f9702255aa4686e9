"""What follows from the options, the pods' network and the Node, decided in plain functions."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hyperkube_machinery.podnetwork import Description
from hyperkube_proxy.model import Family, Locals
from hyperkube_proxy.options import PRIMARY, Options
from hyperkube_proxy.rules import Place

__all__ = ["NodeFacts", "local_sources", "node_facts", "node_port_addresses", "relay_addresses"]


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What of the Node matters here."""

    place: Place
    addresses: tuple[str, ...] = ()  # the primary one, and the first of the other family
    pod_cidrs: tuple[str, ...] = ()

    def address(self, family: Family) -> str:
        """That of a family, "" where there is none."""
        return next((ip for ip in self.addresses if _is_of(ip, family)), "")


def _is_of(ip: str, family: Family) -> bool:
    return ipaddress.ip_address(ip).version == (4 if family == "IPv4" else 6)


def node_facts(name: str, node: Mapping[str, Any] | None, bind_address: str = "0.0.0.0") -> NodeFacts:
    """Of the Node `name`, which may not be there (yet); `bind_address` goes before its own, unless it is none.

    Source: k8s.io/component-helpers/node/util (GetNodeHostIPs), cmd/kube-proxy/app/server.go (detectNodeIPs).
    """
    found = []
    if not ipaddress.ip_address(bind_address).is_unspecified:
        found.append(bind_address)
    if node is None:
        return NodeFacts(Place(name), tuple(found))
    labels, status, spec = node["metadata"].get("labels") or {}, node.get("status") or {}, node.get("spec") or {}
    addresses = status.get("addresses") or ()
    found += [entry["address"] for kind in ("InternalIP", "ExternalIP") for entry in addresses if entry["type"] == kind]
    versions: dict[int, str] = {}
    for ip in found:
        versions.setdefault(ipaddress.ip_address(ip).version, ip)
    return NodeFacts(
        place=Place(name, labels.get("topology.kubernetes.io/zone", "")),
        addresses=tuple(versions.values()),
        pod_cidrs=tuple(spec.get("podCIDRs") or filter(None, (spec.get("podCIDR"),))),
    )


def node_port_addresses(
    options: Options, description: Description, node: NodeFacts, machine: Iterable[str], family: Family
) -> tuple[str, ...] | None:
    """Where rules open node ports in the pods' network, None for every address of the node in it.

    `machine` is what addresses this machine has. A family of which nothing was said has them at all of its addresses.
    While the node's addresses aren't known, its primary ones are none.
    Source: k8s.io/kubernetes/pkg/proxy/util (NodePortAddresses).
    """
    wanted = options.nodeport_addresses
    if description.mode == "namespace" or (not wanted and options.legacy):
        return None
    if not wanted or wanted == (PRIMARY,):
        own = [ip for ip in node.addresses if not ipaddress.ip_address(ip).is_loopback]
        if not own:
            return ()
        wanted = tuple(f"{ip}/{ipaddress.ip_address(ip).max_prefixlen}" for ip in own)
    networks = [ipaddress.ip_network(text, strict=False) for text in wanted]
    networks = [network for network in networks if network.version == (4 if family == "IPv4" else 6)]
    if not networks or any(network.prefixlen == 0 for network in networks):
        return None
    return tuple(_within(machine, networks))


def relay_addresses(
    options: Options, description: Description, node: NodeFacts, machine: Iterable[str]
) -> tuple[str, ...]:
    """Where relays listen at node ports; loopback is left out, where there are relays of their own."""
    if description.mode == "namespace":
        return (description.gateway,)
    wanted = options.nodeport_addresses
    if wanted == (PRIMARY,):
        return tuple(ip for ip in node.addresses if not ipaddress.ip_address(ip).is_loopback)
    return tuple(_within(machine, [ipaddress.ip_network(text, strict=False) for text in wanted]))


def _within(addresses: Iterable[str], networks: Iterable[Any]) -> list[str]:
    found = [ipaddress.ip_address(ip) for ip in addresses]
    return sorted(str(ip) for ip in found if not ip.is_loopback and any(ip in network for network in networks))


def local_sources(options: Options, description: Description, node: NodeFacts, family: Family) -> Locals | None:
    """How connections of this node's pods are told from others; None if that isn't known.

    Source: k8s.io/kubernetes/pkg/proxy/util (localdetector.go), cmd/kube-proxy/app (getLocalDetectors).
    """
    mode = options.detect_local_mode or "ClusterCIDR"
    if mode == "BridgeInterface":
        return Locals(interface=options.pod_bridge_interface)
    if mode == "InterfaceNamePrefix":
        return Locals(interface=f"{options.pod_interface_name_prefix}*")
    cidrs = options.cluster_cidr.split(",") if options.cluster_cidr else [description.pod_cidr]
    if mode == "NodeCIDR":
        cidrs = list(node.pod_cidrs)
    version = 4 if family == "IPv4" else 6
    for cidr in filter(None, cidrs):
        network = ipaddress.ip_network(cidr, strict=False)
        if network.version == version:
            return Locals(cidr=str(network))
    return None
