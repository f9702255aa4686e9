"""What `hk doctor` finds about pods: how far this machine can keep them apart."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hyperkube_core import Finding
from hyperkube_kubelet.runtime.errors import RuntimeUnavailable
from hyperkube_kubelet.runtime.process.description import Node, node_of
from hyperkube_kubelet.runtime.process.starting import Settings, start_reaper
from hyperkube_machinery.agents import Call
from hyperkube_machinery.podnetwork import AgentNetwork, NetworkUnavailable

__all__ = ["findings", "node_findings", "refusal"]

_PODS = "pods"
_NETLINK_NETFILTER = 12
_GET_GENERATION = struct.pack("=IHHIIBBH", 20, 10 << 8 | 16, 1, 1, 0, socket.AF_UNSPEC, 0, 0)
"""Asks nf_tables, and nobody else, which generation of rules there is. Source: linux/netfilter/nf_tables.h."""
_ERROR = 2
_GRACE_SECONDS = 10.0
_NAMESPACES = "allow user namespaces: sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns=0"


def findings() -> Iterator[Finding]:
    """Try it, with a reaper that runs for no longer than that."""
    if sys.platform != "linux":
        yield Finding(_PODS, "warning", "the process runtime runs on Linux alone", "use --container-runtime=hollow")
        return
    try:
        with tempfile.TemporaryDirectory() as folder:
            node, rules = asyncio.run(_try(Path(folder)))
    except (RuntimeUnavailable, OSError) as exc:
        yield Finding(_PODS, "problem", str(exc), "pods can't be run here but with --container-runtime=hollow")
        return
    yield from node_findings(node, rules)


async def _try(folder: Path) -> tuple[Node, str]:
    """What a reaper here can do, and why it can't have nftables ("" where it can)."""
    settings = Settings(root_dir=folder, grace_seconds=_GRACE_SECONDS)
    await start_reaper(settings)
    network = AgentNetwork(settings.network_socket)
    try:
        async with Call(settings.socket, {"op": "describe"}) as call:
            node = node_of(await call.answer(), ())
        return node, await _rules(network) if node.network == "namespace" else ""
    finally:
        await network.end(0)


async def _rules(network: AgentNetwork) -> str:
    """The proxy writes rules by netlink as well, and needs no program for it."""
    try:
        with await network.netlink(_NETLINK_NETFILTER) as conversation:
            conversation.settimeout(_GRACE_SECONDS)
            conversation.send(_GET_GENERATION)
            return refusal(conversation.recv(4096))
    except (NetworkUnavailable, OSError) as exc:
        return str(exc)


def refusal(answer: bytes) -> str:
    """Why the kernel refused what it answers so; "" where it did not. Source: linux/netlink.h."""
    kind, error = struct.unpack_from("=4xH10xi", answer)
    return os.strerror(-error) if kind == _ERROR and error else ""


def node_findings(node: Node, rules: str) -> Iterator[Finding]:
    """What there is to be said of a node; `rules` is why its network has no nftables."""
    if node.isolated:
        users = "all users" if node.all_users else "one user each"
        yield Finding("pods: isolation", "ok", f"user, mount and process namespaces; {users}")
    else:
        why = node.why.get("isolation", "")
        yield Finding("pods: isolation", "warning", f"pods are plain processes: {why}", _NAMESPACES)
    if node.isolated and node.overlay:
        yield Finding("pods: images", "ok", "overlays")
    elif node.isolated:
        detail = f"a copy of the image for each container: {node.why.get('overlay', '')}"
        yield Finding("pods: images", "warning", detail, "use Linux 5.11 or newer")
    if len(node.limits) == 2:
        yield Finding("pods: limits", "ok", "control groups hold containers to cpu and memory limits")
    else:
        detail = f"not all are enforced: {node.why.get('limits', 'a controller is missing')}"
        yield Finding("pods: limits", "warning", detail, "run it as root, or in a service with Delegate=yes")
    if node.network != "namespace":
        why = node.why.get("network") or node.why.get("isolation", "")
        yield Finding("pods: network", "warning", f"addresses 127.x.y.z of this machine: {why}", _NAMESPACES)
        return
    yield Finding("pods: network", "ok", "a network of their own, with a bridge")
    if rules:
        yield Finding(
            "pods: services",
            "warning",
            f"no nftables: {rules}",
            "use a kernel with nf_tables; services are relayed without",
        )
    else:
        yield Finding("pods: services", "ok", "nftables")
