"""Where other machines reach a server that listens on an address of this one.

Source: k8s.io/apimachinery/pkg/util/net (ResolveBindAddress).
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

__all__ = ["advertised_address"]

_ELSEWHERE = {4: (socket.AF_INET, "192.0.2.1"), 6: (socket.AF_INET6, "2001:db8::1")}
"""Addresses for documentation, which no machine has: the way there is the way out."""


def advertised_address(bound: str, *, loopback: bool) -> str | None:
    """`bound` itself, or of what says nothing to others the address that this machine has on its way out, if any.

    With `loopback` there are no others, and a loopback address says enough.
    """
    address = ip_address(bound)
    if not address.is_unspecified and (loopback or not address.is_loopback):
        return bound
    family, elsewhere = _ELSEWHERE[address.version]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))  # sends nothing
        except OSError:
            return None
        found = str(probe.getsockname()[0])
    return None if ip_address(found).is_loopback or ip_address(found).is_link_local else found
