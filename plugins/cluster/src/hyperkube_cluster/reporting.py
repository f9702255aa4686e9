"""What `hk status` says about a Kubernetes cluster: its nodes, and where its services are reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperkube_cluster.layout import Layout
    from hyperkube_machinery.clock import Clock

__all__ = ["node_row", "nodes", "service_rows", "services"]


async def nodes(layout: Layout, clock: Clock) -> list[Mapping[str, Any]]:
    """The cluster's nodes. Raises ClientError, APIError."""
    from hyperkube_cluster.access import administrator
    from hyperkube_machinery.builtin import NODES

    async with administrator(layout, clock) as client:
        listing = await client.list(NODES)
    return [node_row(node) for node in listing.items]


def node_row(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is said of a node."""
    from hyperkube_cluster.readiness import condition_of

    status = node.get("status", {})
    addresses = {item["type"]: item["address"] for item in status.get("addresses", ())}
    return {
        "node": node["metadata"]["name"],
        "ready": condition_of(node, "Ready").get("status") == "True",
        "version": status.get("nodeInfo", {}).get("kubeletVersion", ""),
        "address": addresses.get("InternalIP", ""),
        "pods": node.get("spec", {}).get("podCIDR", ""),
    }


def services(relays: Path) -> list[Mapping[str, Any]]:
    """Where each port of a service is reached on this machine, as the proxy wrote it down."""
    try:
        found = json.loads(relays.read_bytes())
    except (OSError, ValueError):  # none is open yet
        return []
    return service_rows(found)


def service_rows(relays: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """A row for each entry `namespace/name/port: host:port`."""
    rows: list[Mapping[str, Any]] = []
    for key, address in sorted(relays.items()):
        service, _, port = key.rpartition("/")
        rows.append({"service": service, "port": port, "address": address})
    return rows
