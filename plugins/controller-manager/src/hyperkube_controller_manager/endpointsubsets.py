"""The Endpoints object of a service: the older form, of one object for all pods. Computed from values.

Source: k8s.io/kubernetes/pkg/controller/endpoint/endpoints_controller.go and pkg/api/v1/endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.podstates import is_ready, node_of
from hyperkube_controller_manager.servicepods import (
    HEADLESS,
    addresses_of,
    container_port,
    hostname_of,
    is_headless,
    may_be_endpoint,
)
from hyperkube_machinery.meta import labels_of, name, namespace, uid

__all__ = ["CONTROLLER_NAME", "MANAGED_BY", "OVER_CAPACITY", "endpoints_labels", "subsets_of", "truncated"]

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
CONTROLLER_NAME = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
_CAPACITY = 1000

Tree = Mapping[str, Any]
Port = tuple[str, str, int, str]  # (name, protocol, number, application protocol)
Key = tuple[str, str]  # a pod's address and UID: pods on the host's network share their address


def endpoints_labels(service: Tree) -> dict[str, str]:
    """The labels that the service's Endpoints have."""
    labels = {key: value for key, value in labels_of(service).items() if key != HEADLESS}
    if is_headless(service):
        labels[HEADLESS] = ""
    return {**labels, MANAGED_BY: CONTROLLER_NAME}


def subsets_of(service: Tree, pods: Iterable[Tree]) -> list[dict[str, Any]]:
    """The ports grouped by the pods that offer them; sorted, so that the same pods give the same subsets."""
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    offering: dict[Port | None, set[Key]] = {}  # None is for pods of a headless service without ports
    addresses: dict[Key, tuple[dict[str, Any], bool]] = {}
    for pod in pods:
        if not may_be_endpoint(pod, going=publish) or (address := _address(service, pod)) is None:
            continue
        key = (address["ip"], uid(pod))
        addresses[key] = (address, publish or is_ready(pod))
        for port in _ports(service, pod):
            offering.setdefault(port, set()).add(key)
    groups: dict[tuple[Key, ...], list[Port]] = {}
    for offered, keys in offering.items():
        groups.setdefault(tuple(sorted(keys)), []).extend([] if offered is None else [offered])
    by_ports = sorted(groups.items(), key=lambda group: sorted(group[1]))
    return [_subset(ports, [addresses[key] for key in keys]) for keys, ports in by_ports]


def _subset(ports: Iterable[Port], addresses: Sequence[tuple[dict[str, Any], bool]]) -> dict[str, Any]:
    subset = {
        "addresses": [address for address, ready in addresses if ready],
        "notReadyAddresses": [address for address, ready in addresses if not ready],
        "ports": [_shown(port) for port in sorted(ports)],
    }
    return {key: value for key, value in subset.items() if value}


def _shown(port: Port) -> dict[str, Any]:
    port_name, protocol, number, application = port
    shown = {"name": port_name, "port": number, "protocol": protocol, "appProtocol": application}
    return {key: value for key, value in shown.items() if value != ""}


def _address(service: Tree, pod: Tree) -> dict[str, Any] | None:
    """The pod's address of the service's first family."""
    spec, status = service["spec"], pod.get("status") or {}
    families = spec.get("ipFamilies")
    if families:
        version = 6 if families[0] == "IPv6" else 4
    else:
        known = (status.get("podIP") or "") if is_headless(service) else spec["clusterIP"]
        version = 6 if ":" in known else 4
    found = addresses_of(pod, version)
    if not found:
        return None
    target = {"kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": uid(pod)}
    address = {"ip": found[0], "hostname": hostname_of(pod, service), "nodeName": node_of(pod), "targetRef": target}
    return {key: value for key, value in address.items() if value}


def _ports(service: Tree, pod: Tree) -> list[Port | None]:
    """The service's ports that the pod has."""
    wanted = service["spec"].get("ports") or []
    if not wanted:
        return [None] if is_headless(service) else []
    found = [(port, container_port(pod, port)) for port in wanted]
    return [
        (port.get("name") or "", port.get("protocol") or "TCP", number, port.get("appProtocol") or "")
        for port, number in found
        if number is not None
    ]


def truncated(subsets: Sequence[Tree]) -> list[dict[str, Any]] | None:
    """The subsets with 1000 addresses in all, ready ones first and each subset's share alike; None if they fit."""
    ready = sum(len(one.get("addresses") or ()) for one in subsets)
    unready = sum(len(one.get("notReadyAddresses") or ()) for one in subsets)
    if ready + unready <= _CAPACITY:
        return None
    cut, total = ("addresses", ready) if ready > _CAPACITY else ("notReadyAddresses", unready)
    room = left = _CAPACITY if ready > _CAPACITY else _CAPACITY - ready
    shortened = []
    for one in subsets:
        held = one.get(cut) or []
        share = min(left, -(-len(held) * room // total))
        left -= min(share, len(held))
        subset = {**one, cut: held[:share]}
        if cut == "addresses":
            subset.pop("notReadyAddresses", None)
        shortened.append({key: value for key, value in subset.items() if value})
    return shortened
