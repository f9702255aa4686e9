"""What rules are made of, as the kernel takes it: loads into registers, comparisons, look-ups and verdicts. Pure.

Each expression is the same as what nft makes of the rule that its docstring tells, so that nft lists it in those words.
Source: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from hyperkube_proxy.model import Family, Protocol
from hyperkube_proxy.netlink import attribute, nested, number, text

__all__ = [
    "INTERVAL_END",
    "NUMBERS",
    "Expression",
    "Fields",
    "OwnSet",
    "all_of",
    "at_random",
    "comes_in_by",
    "dnat",
    "dnat_chosen",
    "drop",
    "family_number",
    "goto",
    "headers",
    "in_network",
    "in_own_set",
    "in_set",
    "is_local",
    "is_not_loopback",
    "is_translated",
    "jump",
    "marked",
    "masquerade",
    "new",
    "packed",
    "places",
    "reject",
    "set_mark",
    "unmark",
    "update",
    "verdict",
    "vmap",
    "with_protocol",
]  # fmt: skip

NUMBERS: dict[str, int] = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": 132}

Expression: TypeAlias = "bytes | OwnSet"

_EQUAL, _DIFFERENT = 0, 1
_NETWORK, _TRANSPORT = 1, 2  # headers
_MARK, _INTERFACE_NAME, _PROTOCOL = 3, 6, 16  # of meta
_CT_STATE, _CT_STATUS, _CT_NEW, _CT_DNAT = 0, 2, 8, 0x20
_ADDRESS_TYPE, _FROM, _TO, _LOCAL = 3, 1, 2, 2  # of fib
_RANDOM = 1
_DNAT_KIND, _PORTS_GIVEN, _FULLY_RANDOM = 1, 2, 0x10
_UPDATE = 1
_CODES = {"drop": 0, "jump": -3, "goto": -4}


INTERVAL_END = number(3, 1)
"""Of an element of intervals: that from here on addresses are in none. An attribute, as data are."""


@dataclass(frozen=True, slots=True)
class Headers:
    """Where a family's packets have what rules look at."""

    number: int
    address_type: str
    size: int  # of an address, in bytes
    source: int
    destination: int
    unreachable: int  # the code of "port unreachable"


_HEADERS: dict[Family, Headers] = {
    "IPv4": Headers(socket.AF_INET, "ipv4_addr", 4, 12, 16, 3),
    "IPv6": Headers(socket.AF_INET6, "ipv6_addr", 16, 8, 24, 4),
}


def headers(family: Family) -> Headers:
    return _HEADERS[family]


def family_number(family: Family) -> int:
    return _HEADERS[family].number


@dataclass(frozen=True, slots=True)
class OwnSet:
    """A look-up in a set or map of the rule's own: `{ 0 : goto a , 1 : goto b }`.

    Keys are bytes, data are attributes.
    """

    key: Sequence[str]
    elements: tuple[tuple[bytes, bytes], ...]  # the data b"" for those of sets
    data: Sequence[str] = ()  # ("verdict",), or the types of what is looked up
    intervals: bool = False  # each second element is where the one before ends
    negated: bool = False


def _expression(name: str, *inside: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *inside))


# Loads.


def _payload(base: int, offset: int, length: int, register: int) -> bytes:
    return _expression("payload", number(1, register), number(2, base), number(3, offset), number(4, length))


def _meta(key: int, register: int = 1) -> bytes:
    return _expression("meta", number(2, key), number(1, register))


class Fields:
    """Loads of fields one after the other, as keys of sets are made of: `ip saddr . meta l4proto . th dport`."""

    def __init__(self, family: Family) -> None:
        self._headers = _HEADERS[family]
        self._loads: list[bytes] = []
        self._words = 0

    def source(self) -> Fields:
        return self._add(
            _payload(_NETWORK, self._headers.source, self._headers.size, self._register), self._headers.size
        )

    def destination(self) -> Fields:
        return self._address(self._headers.destination)

    def protocol(self) -> Fields:
        return self._add(_meta(_PROTOCOL, self._register), 4)

    def port(self) -> Fields:
        return self._add(_payload(_TRANSPORT, 2, 2, self._register), 4)

    def _address(self, offset: int) -> Fields:
        size = self._headers.size
        return self._add(_payload(_NETWORK, offset, size, self._register), size)

    @property
    def _register(self) -> int:
        return _register(self._words)

    def _add(self, load: bytes, size: int) -> Fields:
        self._loads.append(load)
        self._words += size // 4
        return self

    @property
    def loads(self) -> tuple[bytes, ...]:
        return tuple(self._loads)


def _register(words: int) -> int:
    """The register that is `words` words after the first."""
    return 1 + words // 4 if words % 4 == 0 else 8 + words


# Comparisons.


def _compare(value: bytes, operation: int = _EQUAL) -> bytes:
    return _expression("cmp", number(1, 1), number(2, operation), nested(3, attribute(1, value)))


def _bitwise(mask: bytes, flip: bytes) -> bytes:
    return _expression(
        "bitwise",
        number(1, 1), number(2, 1), number(6, 0), number(3, len(mask)),
        nested(4, attribute(1, mask)), nested(5, attribute(1, flip)),
    )  # fmt: skip


def _any_bit(load: bytes, bits: int) -> tuple[bytes, ...]:
    return load, _bitwise(_host(bits), _host(0)), _compare(_host(0), _DIFFERENT)


def _host(value: int) -> bytes:
    """In this machine's order, which marks and states have."""
    return (value & 0xFFFFFFFF).to_bytes(4, sys.byteorder)


def new() -> tuple[bytes, ...]:
    """`ct state new`."""
    return _any_bit(_expression("ct", number(2, _CT_STATE), number(1, 1)), _CT_NEW)


def is_translated() -> tuple[bytes, ...]:
    """`ct status dnat`."""
    return _any_bit(_expression("ct", number(2, _CT_STATUS), number(1, 1)), _CT_DNAT)


def with_protocol(protocol: Protocol) -> tuple[bytes, ...]:
    """`meta l4proto tcp`."""
    return _meta(_PROTOCOL), _compare(bytes([NUMBERS[protocol.lower()]]))


def in_network(family: Family, cidr: str, *, negated: bool = False) -> tuple[bytes, ...]:
    """`ip saddr 10.244.0.0/16`, or all others."""
    network = ipaddress.ip_network(cidr)
    operation = _DIFFERENT if negated else _EQUAL
    mask = network.netmask.packed
    narrowed = (_bitwise(mask, bytes(len(mask))),) if network.prefixlen < network.max_prefixlen else ()
    return *Fields(family).source().loads, *narrowed, _compare(network.network_address.packed, operation)


def comes_in_by(interface: str, *, negated: bool = False) -> tuple[bytes, ...]:
    """`iifname "hk0"`, where a * at the end stands for anything."""
    operation = _DIFFERENT if negated else _EQUAL
    name = interface.removesuffix("*").encode() if interface.endswith("*") else interface.encode().ljust(16, b"\0")
    return _meta(_INTERFACE_NAME), _compare(name, operation)


def is_local(*, source: bool) -> tuple[bytes, ...]:
    """`fib saddr type local`, or of where it goes."""
    flags = _FROM if source else _TO
    load = _expression("fib", number(2, _ADDRESS_TYPE), number(3, flags), number(1, 1))
    return load, _compare(_host(_LOCAL))


def is_not_loopback(family: Family) -> tuple[bytes, ...]:
    """`ip daddr != 127.0.0.0/8`."""
    if family == "IPv6":
        return *Fields(family).destination().loads, _compare(ipaddress.ip_address("::1").packed, _DIFFERENT)
    return _payload(_NETWORK, _HEADERS[family].destination, 1, 1), _compare(b"\x7f", _DIFFERENT)


def in_set(name: str) -> bytes:
    """`@name` of what was loaded."""
    return _expression("lookup", text(1, name), number(2, 1))


def in_own_set(family: Family, cidrs: Iterable[str], *, negated: bool) -> OwnSet:
    """`{ 10.0.0.0/8, 192.0.2.1 }` of the address that was loaded."""
    header = _HEADERS[family]
    networks: list[Any] = [ipaddress.ip_network(cidr) for cidr in cidrs]
    edges = {0: False}  # where addresses begin to be in it, or not to be
    for network in ipaddress.collapse_addresses(networks):
        edges[int(network.network_address)] = True
        edges[int(network.broadcast_address) + 1] = False
    edges.pop(1 << 8 * header.size, None)  # there is nothing behind the last address
    elements = tuple((at.to_bytes(header.size, "big"), b"" if edges[at] else INTERVAL_END) for at in sorted(edges))
    return OwnSet((header.address_type,), elements, intervals=True, negated=negated)


# Verdicts.


def verdict(word: str, target: str = "") -> bytes:
    """The data that is `drop` or `goto target`."""
    chain = (text(2, target),) if target else ()
    return nested(2, number(1, _CODES[word]), *chain)


def _immediate(data: bytes, register: int = 0) -> bytes:
    return _expression("immediate", number(1, register), nested(2, data))


def goto(chain: str) -> bytes:
    return _immediate(verdict("goto", chain))


def jump(chain: str) -> bytes:
    return _immediate(verdict("jump", chain))


def drop() -> bytes:
    return _immediate(verdict("drop"))


def vmap(name: str) -> bytes:
    """`vmap @name` of what was loaded."""
    return _expression("lookup", text(1, name), number(2, 1), number(3, 0))


def reject(family: Family) -> bytes:
    return _expression("reject", number(1, 0), attribute(2, bytes([_HEADERS[family].unreachable])))


# Marks and translations.


def marked(mask: int) -> tuple[bytes, ...]:
    """`meta mark & 0x4000 != 0`."""
    return _any_bit(_meta(_MARK), mask)


def set_mark(mask: int) -> tuple[bytes, ...]:
    """`meta mark set meta mark or 0x4000`."""
    return _meta(_MARK), _bitwise(_host(~mask), _host(mask)), _expression("meta", number(2, _MARK), number(3, 1))


def unmark(mask: int) -> tuple[bytes, ...]:
    """`meta mark set meta mark ^ 0x4000`."""
    return _meta(_MARK), _bitwise(_host(~0), _host(mask)), _expression("meta", number(2, _MARK), number(3, 1))


def masquerade() -> bytes:
    """`masquerade fully-random`."""
    return _expression("masq", number(1, _FULLY_RANDOM))


def update(name: str) -> bytes:
    """`update @name { … }` with what was loaded."""
    return _expression("dynset", number(4, 1), number(3, _UPDATE), text(1, name))


def at_random(count: int) -> bytes:
    """`numgen random mod count`."""
    return _expression("numgen", number(1, 1), number(2, count), number(3, _RANDOM), number(4, 0))


def dnat(family: Family, ip: str, port: int) -> tuple[bytes, ...]:
    """`dnat to 10.244.0.2:80`."""
    return (
        _immediate(attribute(1, ipaddress.ip_address(ip).packed), 1),
        _immediate(attribute(1, port.to_bytes(2, "big")), 2),
        _nat(family, 1, 2, flags=_PORTS_GIVEN),
    )


def dnat_chosen(family: Family, targets: Sequence[tuple[str, int]]) -> tuple[Expression, ...]:
    """`dnat ip addr . port to numgen random mod 2 map { 0 : 10.244.0.2 . 80 , 1 : … }`."""
    header = _HEADERS[family]
    types = (header.address_type, "inet_service")
    chosen = places([attribute(1, packed(types, (ip, str(port)))) for ip, port in targets], types)
    return at_random(len(targets)), chosen, _nat(family, 1, _register(header.size // 4))


def places(data: Iterable[bytes], types: tuple[str, ...] = ("verdict",)) -> OwnSet:
    """`{ 0 : … , 1 : … }`, of verdicts unless other `types` are told."""
    return OwnSet(("integer",), tuple((_host(place), each) for place, each in enumerate(data)), types)


def _nat(family: Family, address: int, port: int, *, flags: int = 0) -> bytes:
    inside = [number(1, _DNAT_KIND), number(2, _HEADERS[family].number), number(3, address), number(5, port)]
    return _expression("nat", *inside, *([number(7, flags)] if flags else []))


def all_of(*parts: Expression | tuple[Expression, ...]) -> tuple[Expression, ...]:
    """One rule's expressions in one row."""
    row: list[Expression] = []
    for part in parts:
        row += part if isinstance(part, tuple) else (part,)
    return tuple(row)


# Values.


def packed(types: Sequence[str], values: Sequence[str]) -> bytes:
    """The bytes of a key, each part of whole words."""
    return b"".join(_PACKERS[kind](value) for kind, value in zip(types, values, strict=True))


def _packed_ipv6(value: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, value)


def _packed_protocol(value: str) -> bytes:
    return bytes([NUMBERS[value], 0, 0, 0])


def _packed_port(value: str) -> bytes:
    return int(value).to_bytes(2, "big") + b"\0\0"


_PACKERS = {
    "ipv4_addr": socket.inet_aton,
    "ipv6_addr": _packed_ipv6,
    "inet_proto": _packed_protocol,
    "inet_service": _packed_port,
}
