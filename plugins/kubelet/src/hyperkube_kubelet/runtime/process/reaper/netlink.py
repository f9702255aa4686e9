"""The few requests to the kernel's routing that a pod's network takes. Source: man 7 rtnetlink."""

from __future__ import annotations

import os
import socket
import struct

__all__ = ["Netlink"]

_NLMSG_ERROR = 2
_REQUEST, _ACK, _EXCL, _CREATE = 0x1, 0x4, 0x200, 0x400
_NEWLINK, _NEWADDR, _NEWROUTE = 16, 20, 24
_IFF_UP = 1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 10, 18, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_RT_TABLE_MAIN, _RTPROT_BOOT, _RTN_UNICAST = 254, 3, 1
_SCOPE_UNIVERSE, _SCOPE_LINK = 0, 253
_RTNH_F_ONLINK = 4

_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


class Netlink:
    """A way to the network namespace that it was opened in, whatever namespace its user is in later."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))
        self._serial = 0

    def close(self) -> None:
        self._socket.close()

    def _ask(self, kind: int, flags: int, body: bytes, what: str) -> None:
        self._serial += 1
        header = _HEADER.pack(_HEADER.size + len(body), kind, flags | _REQUEST | _ACK, self._serial, 0)
        self._socket.send(header + body)
        answer = self._socket.recv(65536)
        number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        if struct.unpack_from("=H", answer, 4)[0] != _NLMSG_ERROR or number:
            raise OSError(number, f"{what}: {os.strerror(number)}")

    def index(self, name: str) -> int:
        """The number of an interface of the namespace that the caller is in."""
        return socket.if_nametoindex(name)

    def add_bridge(self, name: str, mac: bytes) -> None:
        """Add a bridge whose address stays `mac`, whatever hangs on it later: others remember it."""
        body = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name) + _attribute(_IFLA_ADDRESS, mac)
        body += _attribute(_IFLA_LINKINFO, _text(_IFLA_INFO_KIND, "bridge"))
        self._ask(_NEWLINK, _CREATE | _EXCL, body, f"add bridge {name}")

    def add_pair(self, name: str, master: int, peer: str, peer_namespace: int, peer_mac: bytes) -> None:
        """Add a virtual cable: the end `name` up on the bridge `master`, the end `peer` in another namespace."""
        there = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, peer) + _attribute(_IFLA_ADDRESS, peer_mac)
        there += _number(_IFLA_NET_NS_FD, peer_namespace)
        kind = _text(_IFLA_INFO_KIND, "veth") + _attribute(_IFLA_INFO_DATA, _attribute(_VETH_INFO_PEER, there))
        body = _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP) + _text(_IFLA_IFNAME, name) + _number(_IFLA_MASTER, master)
        self._ask(_NEWLINK, _CREATE | _EXCL, body + _attribute(_IFLA_LINKINFO, kind), f"add interface {name}")

    def bring_up(self, index: int) -> None:
        self._ask(_NEWLINK, 0, _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP), f"bring interface {index} up")

    def add_address(self, index: int, address: str, prefix: int) -> None:
        packed = socket.inet_aton(address)
        body = struct.pack("=BBBBI", socket.AF_INET, prefix, 0, _SCOPE_UNIVERSE, index)
        body += _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
        self._ask(_NEWADDR, _CREATE | _EXCL, body, f"add address {address}")

    def add_route(self, index: int, destination: str = "", prefix: int = 0, gateway: str = "") -> None:
        """Add a route through an interface: to `destination` ("" is everywhere), by `gateway` if there is one."""
        scope, flags = (_SCOPE_UNIVERSE, _RTNH_F_ONLINK) if gateway else (_SCOPE_LINK, 0)
        body = struct.pack(
            "=BBBBBBBBI", socket.AF_INET, prefix, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, scope, _RTN_UNICAST, flags
        )
        if destination:
            body += _attribute(_RTA_DST, socket.inet_aton(destination))
        if gateway:
            body += _attribute(_RTA_GATEWAY, socket.inet_aton(gateway))
        self._ask(_NEWROUTE, _CREATE | _EXCL, body + _number(_RTA_OIF, index), f"add a route to {destination or 'all'}")
