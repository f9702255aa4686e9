"""A program that changes the routes of the network it runs in.

    python -I -S netroutes.py add|delete < addresses, one a line: make them local, so that sockets can listen on them
    python -I -S netroutes.py list                                those that were made local
    python -I -S netroutes.py prepare BRIDGE                      have rules see all that pods behind it send

It is run inside the pods' network, on a machine that may have no `ip`: it speaks rtnetlink itself, with the standard
library alone. Routes carry a protocol number of ours, by which `list` finds them. Adding one that is there and deleting
one that isn't are no errors. Source: rtnetlink(7), linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress

PROTOCOL = 104
"""What our routes say of who made them (rtm_protocol); numbers above 4 are free for programs to use."""

_NEW, _DELETE, _GET, _DONE, _ERROR = 24, 25, 26, 3, 2  # RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE, NLMSG_DONE …
_REQUEST, _ACK, _EXCLUSIVE, _DUMP, _CREATE = 0x1, 0x4, 0x200, 0x300, 0x400
_DESTINATION, _INTERFACE = 1, 4  # RTA_DST, RTA_OIF
_MAIN_TABLE, _LOCAL_TABLE = 254, 255
_SCOPE_HOST, _SCOPE_LINK = 254, 253
_UNICAST, _LOCAL = 1, 2
_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")


def main() -> int:
    command = sys.argv[1]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.bind((0, 0))
        if command == "list":
            for address in _ours(kernel):
                print(address)
            return 0
        if command == "prepare":
            _prepare(kernel, sys.argv[2])
            return 0
        for address in sys.stdin.read().split():
            try:
                _change(kernel, _NEW if command == "add" else _DELETE, address)
            except OSError as exc:
                expected = errno.EEXIST if command == "add" else errno.ESRCH
                if exc.errno != expected:
                    print(f"{address}: {exc.strerror}", file=sys.stderr)
                    return 1
    return 0


def _change(kernel: socket.socket, kind: int, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    loopback = struct.pack("=I", socket.if_nametoindex("lo"))
    body = _ROUTE.pack(family, 8 * len(packed), 0, 0, _LOCAL_TABLE, PROTOCOL, _SCOPE_HOST, _LOCAL, 0)
    _ask(kernel, kind, body + _attribute(_DESTINATION, packed) + _attribute(_INTERFACE, loopback))


def _prepare(kernel: socket.socket, bridge: str) -> None:
    """Have what pods send routed, wherever it goes: rules refuse and translate what is on its way somewhere."""
    # Else the bridge would lead translated packets on by itself, and none back to the pod that it is from.
    _write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0")
    # Telling pods of shorter ways, which they don't take, uses up what the kernel may send of refusals.
    for interface in ("all", bridge):
        _write(f"/proc/sys/net/ipv4/conf/{interface}/send_redirects", "0")
    _add_default(kernel, bridge)


def _write(path: str, text: str) -> None:
    with suppress(FileNotFoundError), open(path, "w") as file:  # this kernel has no such thing
        file.write(text)


def _add_default(kernel: socket.socket, interface: str) -> None:
    body = _ROUTE.pack(socket.AF_INET, 0, 0, 0, _MAIN_TABLE, PROTOCOL, _SCOPE_LINK, _UNICAST, 0)
    with suppress(FileExistsError):  # there is a way already
        _ask(kernel, _NEW, body + _attribute(_INTERFACE, struct.pack("=I", socket.if_nametoindex(interface))))


def _ask(kernel: socket.socket, kind: int, body: bytes) -> None:
    flags = _REQUEST | _ACK | (_CREATE | _EXCLUSIVE if kind == _NEW else 0)
    kernel.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
    answer = kernel.recv(65536)
    (code,) = struct.unpack_from("=i", answer, _HEADER.size)
    if code:
        raise OSError(-code, os.strerror(-code))


def _ours(kernel: socket.socket) -> Iterator[str]:
    body = _ROUTE.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)
    kernel.send(_HEADER.pack(_HEADER.size + len(body), _GET, _REQUEST | _DUMP, 1, 0) + body)
    while True:
        data = kernel.recv(1 << 20)
        at = 0
        while at < len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, at)
            if kind in (_DONE, _ERROR):
                return
            address = _address(data[at + _HEADER.size : at + length])
            if address:
                yield address
            at += (length + 3) & ~3


def _address(route: bytes) -> str:
    """The address of a route of ours, "" of any other."""
    family, _, _, _, table, protocol, _, _, _ = _ROUTE.unpack_from(route)
    if protocol != PROTOCOL or table != _LOCAL_TABLE:
        return ""
    at = _ROUTE.size
    while at < len(route):
        length, kind = _ATTRIBUTE.unpack_from(route, at)
        if kind == _DESTINATION:
            return socket.inet_ntop(family, route[at + _ATTRIBUTE.size : at + length])
        at += (length + 3) & ~3
    return ""


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


if __name__ == "__main__":
    sys.exit(main())
