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

__all__ = ["NodeFacts", "local_sources", "node_facts", "node_port_addresses"]


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What of the Node matters here."""

    place: Place
    addresses: tuple[str, ...] = ()  # InternalIP, ExternalIP
    pod_cidrs: tuple[str, ...] = ()


def node_facts(name: str, node: Mapping[str, Any] | None) -> NodeFacts:
    """Of the Node `name`, which may not be there (yet)."""
    if node is None:
        return NodeFacts(Place(name))
    labels, status, spec = node["metadata"].get("labels") or {}, node.get("status") or {}, node.get("spec") or {}
    addresses = status.get("addresses") or ()
    found = (entry["address"] for kind in ("InternalIP", "ExternalIP") for entry in addresses if entry["type"] == kind)
    return NodeFacts(
        place=Place(name, labels.get("topology.kubernetes.io/zone", "")),
        addresses=tuple(dict.fromkeys(found)),
        pod_cidrs=tuple(spec.get("podCIDRs") or filter(None, (spec.get("podCIDR"),))),
    )


def node_port_addresses(
    options: Options, description: Description, node: NodeFacts, machine: Iterable[str], *, nftables: bool
) -> tuple[str, ...] | None:
    """Where node ports are opened in the pods' network, None for every address of the node in it.

    `machine` is what addresses this machine has. Loopback is left out: there they are relays.
    """
    if description.mode == "namespace":
        return None if nftables else (description.gateway,)
    wanted = options.nodeport_addresses
    if wanted == (PRIMARY,) or (nftables and not wanted):
        found: Iterable[str] = node.addresses
    else:
        networks = [ipaddress.ip_network(text, strict=False) for text in wanted]
        if nftables and any(network.prefixlen == 0 for network in networks):
            return None
        found = sorted(ip for ip in machine if any(ipaddress.ip_address(ip) in network for network in networks))
    return tuple(ip for ip in found if not ipaddress.ip_address(ip).is_loopback)


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
