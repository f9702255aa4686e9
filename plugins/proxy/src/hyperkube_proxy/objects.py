"""Services and EndpointSlices as the API has them, read into the model.

Source: k8s.io/kubernetes/pkg/proxy (serviceport.go, servicechangetracker.go, endpointslicecache.go).
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hyperkube_proxy.model import Endpoint, Family, PortName, ServiceName, ServicePort

__all__ = ["PROXIED", "SERVICE_NAME_LABEL", "SliceEndpoints", "read_service", "read_slice", "service_of_slice"]

log = logging.getLogger(__name__)

Tree = Mapping[str, Any]
SliceEndpoints = dict[PortName, tuple[Endpoint, ...]]
"""What one EndpointSlice says, by the service's port."""

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
PROXIED = "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless"
"""Selects the services and slices that are this proxy's. Source: k8s.io/kubernetes/cmd/kube-proxy/app/server.go."""
_FAMILIES: tuple[Family, ...] = ("IPv4", "IPv6")


def read_service(service: Tree) -> dict[PortName, ServicePort]:
    """The ports of a service in each of its families; none where it has no address of its own."""
    spec = service["spec"]
    if spec.get("clusterIP") in (None, "", "None") or spec.get("type") == "ExternalName":
        return {}
    found: dict[PortName, ServicePort] = {}
    for family in _FAMILIES:
        address = _cluster_ip(spec, family)
        if address:
            found |= {port.name: port for port in _ports(service, family, address)}
    return found


def _cluster_ip(spec: Tree, family: Family) -> str:
    families = spec.get("ipFamilies") or ()
    if not families:
        address: str = spec["clusterIP"]
        return address if _family(address) == family else ""
    addresses = spec.get("clusterIPs") or ()
    return next((ip for its_family, ip in zip(families, addresses, strict=False) if its_family == family), "")


def _ports(service: Tree, family: Family, cluster_ip: str) -> Iterator[ServicePort]:
    spec, name = service["spec"], ServiceName(service["metadata"]["namespace"], service["metadata"]["name"])
    kind = spec.get("type", "ClusterIP")
    external_local = spec.get("externalTrafficPolicy") == "Local" and _has_external_policy(spec)
    checked = kind == "LoadBalancer" and external_local
    for port in spec.get("ports") or ():
        yield ServicePort(
            name=PortName(*name, port.get("name", ""), port.get("protocol", "TCP"), family),
            cluster_ip=_canonical(cluster_ip),
            port=port["port"],
            node_port=port.get("nodePort", 0),
            external_ips=tuple(_of_family(spec.get("externalIPs") or (), family)),
            load_balancer_ips=tuple(_load_balancer_ips(service, family)),
            source_ranges=_source_ranges(spec, family),
            affinity_seconds=_affinity_seconds(spec),
            external_local=external_local,
            internal_local=spec.get("internalTrafficPolicy") == "Local",
            health_check_node_port=spec.get("healthCheckNodePort", 0) if checked else 0,
        )


def _has_external_policy(spec: Tree) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer") or bool(spec.get("externalIPs"))


def _affinity_seconds(spec: Tree) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(config.get("timeoutSeconds") or 10800)  # the API server's default


def _load_balancer_ips(service: Tree, family: Family) -> Iterator[str]:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    yield from _of_family(
        [entry["ip"] for entry in ingress if entry.get("ip") and entry.get("ipMode", "VIP") == "VIP"], family
    )


def _source_ranges(spec: Tree, family: Family) -> tuple[str, ...]:
    """The ranges of `family`; none where one of them is everybody's anyway."""
    found = []
    for text in spec.get("loadBalancerSourceRanges") or ():
        try:
            network = ipaddress.ip_network(text.strip(), strict=False)
        except ValueError:
            log.error("ignoring the range %r of loadBalancerSourceRanges: it is no CIDR", text)
            continue
        if network.version == (4 if family == "IPv4" else 6):
            if network.prefixlen == 0:
                return ()
            found.append(str(network))
    return tuple(found)


def _family(address: str) -> Family | None:
    try:
        return "IPv4" if ipaddress.ip_address(address).version == 4 else "IPv6"
    except ValueError:
        return None


def _of_family(addresses: Iterable[str], family: Family) -> Iterator[str]:
    for address in addresses:
        if _family(address) == family:
            yield _canonical(address)


def _canonical(address: str) -> str:
    """As nftables writes it, so that what is read back compares equal."""
    return str(ipaddress.ip_address(address)) if ":" in address else address


def service_of_slice(slice_: Tree) -> ServiceName | None:
    """The service whose endpoints are in `slice_`; None where it doesn't say so."""
    name = (slice_["metadata"].get("labels") or {}).get(SERVICE_NAME_LABEL)
    return ServiceName(slice_["metadata"]["namespace"], name) if name else None


def read_slice(slice_: Tree, *, node_name: str) -> SliceEndpoints:
    """The endpoints in a slice, those on the node `node_name` marked as local."""
    service, family = service_of_slice(slice_), slice_.get("addressType")
    if service is None or family not in _FAMILIES:
        return {}
    found: SliceEndpoints = {}
    for port in slice_.get("ports") or ():
        if port.get("name") is None or not port.get("port"):
            continue  # "all ports" is for other consumers than proxies
        name = PortName(*service, port["name"], port.get("protocol", "TCP"), family)
        found[name] = found.get(name, ()) + tuple(_endpoints(slice_, port["port"], node_name))
    return found


def _endpoints(slice_: Tree, port: int, node_name: str) -> Iterator[Endpoint]:
    for endpoint in slice_.get("endpoints") or ():
        addresses = endpoint.get("addresses")
        if not addresses:
            continue
        conditions, hints = endpoint.get("conditions") or {}, endpoint.get("hints") or {}
        ready, serving = conditions.get("ready"), conditions.get("serving")
        yield Endpoint(
            ip=_canonical(addresses[0]),
            port=port,
            local=bool(node_name) and endpoint.get("nodeName") == node_name,
            ready=True if ready is None else ready,
            serving=True if serving is None else serving,
            terminating=bool(conditions.get("terminating")),
            zones=frozenset(hint["name"] for hint in hints.get("forZones") or ()),
            nodes=frozenset(hint["name"] for hint in hints.get("forNodes") or ()),
        )
