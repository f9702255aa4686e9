"""By which addresses a node is reached. Source: NodeAddress in k8s.io/kubernetes/pkg/kubelet/nodestatus/setters.go."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

__all__ = ["LOOPBACK", "default_address", "is_here", "is_loopback", "node_addresses", "parse_node_ips"]

LOOPBACK = "127.0.0.1"

# Documentation's (RFC 5737, RFC 3849): they lie behind the default route, and nothing is sent there.
_FAR = {4: ("192.0.2.1", socket.AF_INET), 6: ("2001:db8::1", socket.AF_INET6)}


def parse_node_ips(text: str) -> tuple[str, ...]:
    """One address, or one of each family. Raises ValueError. Source: k8s.io/component-helpers/node/util/ips.go"""
    if not text:
        return ()
    found = [ip_address(part.strip()) for part in text.split(",")]
    if len(found) > 2 or (len(found) == 2 and found[0].version == found[1].version):
        raise ValueError("must contain either a single IP or a dual-stack pair of IPs")
    if len(found) == 2 and any(one.is_unspecified for one in found):
        raise ValueError("dual-stack node IP cannot include '0.0.0.0' or '::'")
    return tuple(map(str, found))


def node_addresses(
    wanted: Sequence[str],
    server: str,
    *,
    here: Callable[[str], bool],
    default: Callable[[int], str],
) -> tuple[str, ...]:
    """The node's addresses, the primary one first, for an API server at the URL `server`.

    `wanted` is what --node-ip says; `here` tells whether an address is this machine's, `default` which one its default
    route leads by, in a family (4 or 6). Where all of the cluster is on loopback, so is the node. Raises ValueError.
    """
    if wanted and not ip_address(wanted[0]).is_unspecified:
        for address in wanted:
            if not here(address):
                raise ValueError(f'node IP: "{address}" not found in the host\'s network interfaces')
        return tuple(wanted)
    family = ip_address(wanted[0]).version if wanted else 4
    if not wanted and is_loopback(server):
        return (LOOPBACK,)
    return (default(family) or default(10 - family) or LOOPBACK,)


def is_loopback(server: str) -> bool:
    """Whether a URL, or an address, is of this machine alone; so is none at all."""
    try:
        return ip_address(server).is_loopback
    except ValueError:
        pass
    host = urlsplit(server if "://" in server else f"http://{server}").hostname
    if not host or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_here(address: str) -> bool:
    """Whether this machine has the address."""
    family = socket.AF_INET6 if isinstance(ip_address(address), IPv6Address) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def default_address(family: int) -> str:
    """The address of this machine that what is far away is reached from; "" where it is not reached."""
    far, kind = _FAR[family]
    try:
        with socket.socket(kind, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            address: str = probe.getsockname()[0]
    except OSError:
        return ""
    found = ip_address(address)
    return "" if found.is_loopback or found.is_link_local or found.is_unspecified else address
