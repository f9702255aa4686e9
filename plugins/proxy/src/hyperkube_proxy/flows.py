"""Flows of UDP that the kernel tracks: asking for them, reading one, ending it. Pure.

Source: linux/netfilter/nfnetlink_conntrack.h; net/netfilter/nf_conntrack_netlink.c for what is filtered by.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from hyperkube_proxy.netlink import Message, attribute, attributes, each_attribute, nested

__all__ = ["Flow", "ended", "listed", "read_flow"]

_NEW, _GET, _DELETE = 0x100, 0x101, 0x102  # of the subsystem 1, ctnetlink
_ORIGINAL, _REPLY, _FILTER = 1, 2, 25  # CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_FILTER
_IP, _PROTOCOL = 1, 2  # CTA_TUPLE_IP, CTA_TUPLE_PROTO
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_BY_PROTOCOL = 1 << 3
_UDP = 17
_SOURCE: dict[int, int] = {socket.AF_INET: 1, socket.AF_INET6: 3}
_DESTINATION: dict[int, int] = {socket.AF_INET: 2, socket.AF_INET6: 4}


class Flow(NamedTuple):
    """A tracked flow of UDP: where it was sent, and who answers."""

    family: int
    destination: tuple[str, int]
    endpoint: tuple[str, int]
    original: bytes  # by which the kernel finds it


def _header(family: int) -> bytes:
    return struct.pack("!BBH", family, 0, 0)


def listed(family: int) -> Message:
    """Asks for all flows of UDP of a family."""
    original = nested(_ORIGINAL, nested(_PROTOCOL, attribute(_NUMBER, bytes([_UDP]))))
    by = nested(_FILTER, attribute(1, struct.pack("=I", _BY_PROTOCOL)), attribute(2, struct.pack("=I", 0)))
    return Message(_GET, _header(family) + original + by)


def ended(flow: Flow) -> Message:
    """Has a flow forgotten: its next packet is led anew."""
    return Message(_DELETE, _header(flow.family) + nested(_ORIGINAL, flow.original))


def read_flow(message: Message) -> Flow | None:
    """What the kernel tells of one flow; None for one that isn't UDP."""
    family, found = message.body[0], attributes(message.body[4:])
    original, reply = (_tuple(found.get(kind, b"")) for kind in (_ORIGINAL, _REPLY))
    if message.kind != _NEW or family not in _SOURCE or original.get((_PROTOCOL, _NUMBER)) != bytes([_UDP]):
        return None
    return Flow(
        family,
        (socket.inet_ntop(family, original[_IP, _DESTINATION[family]]), _port(original[_PROTOCOL, _DESTINATION_PORT])),
        (socket.inet_ntop(family, reply[_IP, _SOURCE[family]]), _port(reply[_PROTOCOL, _SOURCE_PORT])),
        found[_ORIGINAL],
    )


def _tuple(data: bytes) -> dict[tuple[int, int], bytes]:
    """Addresses and ports of one direction, by what they are told in."""
    return {(outer, inner): value for outer, part in each_attribute(data) for inner, value in each_attribute(part)}


def _port(packed: bytes) -> int:
    return int.from_bytes(packed, "big")
