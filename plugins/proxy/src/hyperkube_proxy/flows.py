"""A program that ends flows of UDP to endpoints that are gone, in the network it runs in.

    python -I -S flows.py < {"services": {"10.96.0.10 53": ["10.244.0.2 53", …]}, "node_ports": {"30053": […]}}

The kernel remembers where a flow was translated to, and a client that keeps sending from one port would be led to an
endpoint that is no more for as long as it does. Ended are flows to a service, or a node port, whose endpoint is not
among those it is listed with. It speaks ctnetlink itself, with the standard library alone, for few machines have a
`conntrack`.
Source: linux/netfilter/nfnetlink_conntrack.h; k8s.io/kubernetes/pkg/proxy/conntrack (CleanStaleEntries).
"""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

_NETFILTER = 12  # NETLINK_NETFILTER
_GET, _DELETE, _ERROR, _DONE = 0x101, 0x102, 2, 3  # of the subsystem 1, ctnetlink
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ORIGINAL, _REPLY = 1, 2  # CTA_TUPLE_ORIG, CTA_TUPLE_REPLY
_IP, _PROTOCOL = 1, 2  # CTA_TUPLE_IP, CTA_TUPLE_PROTO
_SOURCE: dict[int, int] = {socket.AF_INET: 1, socket.AF_INET6: 3}
_DESTINATION: dict[int, int] = {socket.AF_INET: 2, socket.AF_INET6: 4}
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_UDP = 17
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF  # without the flags of nested and of network order


class Flow(NamedTuple):
    """A tracked flow of UDP: where it was sent, and who answers."""

    family: int
    destination: tuple[str, int]
    endpoint: tuple[str, int]
    original: bytes  # by which the kernel finds it


def main() -> int:
    wanted = json.load(sys.stdin)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as kernel:
        kernel.bind((0, 0))
        stale = [flow for family in _SOURCE for flow in _listed(kernel, family) if is_stale(flow, wanted)]
        for flow in stale:
            _end(kernel, flow)
    print(len(stale))
    return 0


def is_stale(flow: Flow, wanted: dict[str, Any]) -> bool:
    """Whether the flow is to a service, and none of its endpoints answers."""
    address, port = flow.destination
    endpoints = wanted["services"].get(f"{address} {port}", wanted["node_ports"].get(str(port)))
    return endpoints is not None and f"{flow.endpoint[0]} {flow.endpoint[1]}" not in endpoints


def _listed(kernel: socket.socket, family: int) -> Iterator[Flow]:
    body = struct.pack("=BBH", family, 0, 0)
    kernel.send(_HEADER.pack(_HEADER.size + len(body), _GET, _REQUEST | _DUMP, 1, 0) + body)
    while True:
        data = kernel.recv(1 << 20)
        at = 0
        while at < len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, at)
            if kind in (_DONE, _ERROR):
                return
            flow = read_flow(family, data[at + _HEADER.size + 4 : at + length])
            if flow is not None:
                yield flow
            at += (length + 3) & ~3


def read_flow(family: int, body: bytes) -> Flow | None:
    """What the kernel tells of one flow; None for one that isn't UDP."""
    attributes = dict(_attributes(body))
    original, reply = (_tuple(attributes.get(kind, b"")) for kind in (_ORIGINAL, _REPLY))
    if original.get(_NUMBER) != bytes([_UDP]):
        return None
    return Flow(
        family,
        (socket.inet_ntop(family, original[0x100 | _DESTINATION[family]]), _port(original[_DESTINATION_PORT])),
        (socket.inet_ntop(family, reply[0x100 | _SOURCE[family]]), _port(reply[_SOURCE_PORT])),
        attributes[_ORIGINAL],
    )


def _tuple(nested: bytes) -> dict[int, bytes]:
    """Addresses and ports of one direction; the addresses' kinds are told apart from the ports' by 0x100."""
    found: dict[int, bytes] = {}
    for kind, value in _attributes(nested):
        for inner, each in _attributes(value):
            found[inner | (0x100 if kind == _IP else 0)] = each
    return found


def _port(packed: bytes) -> int:
    return int.from_bytes(packed, "big")


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind & _TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def _end(kernel: socket.socket, flow: Flow) -> None:
    nested = 0x8000 | _ORIGINAL
    body = struct.pack("=BBH", flow.family, 0, 0)
    body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(flow.original), nested) + flow.original
    kernel.send(_HEADER.pack(_HEADER.size + len(body), _DELETE, _REQUEST | _ACK, 2, 0) + body)
    (code,) = struct.unpack_from("=i", kernel.recv(65536), _HEADER.size)
    with suppress(FileNotFoundError):  # it ended by itself
        if code:
            raise OSError(-code, os.strerror(-code))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as exc:
        print(f"{errno.errorcode.get(exc.errno or 0, '')} {exc.strerror}", file=sys.stderr)
        sys.exit(1)
