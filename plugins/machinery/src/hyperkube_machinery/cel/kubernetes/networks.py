"""IP addresses and networks in expressions: `cidr("10.0.0.0/8").containsIP("10.1.2.3")`.

Source: k8s.io/apiserver/pkg/cel/library/{ip,cidr}.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network
from typing import ClassVar

from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.kubernetes import typenames
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.types import BOOL, INT, STRING, Type
from hyperkube_machinery.goaddresses import CIDR, Address, AddressError, parse_address, parse_network

__all__ = ["CIDRS", "IPS", "IPValue", "NetworkValue"]

# Python counts the deprecated site-local and other ranges in; Go does not.
_MULTICAST_6 = IPv6Network("ff00::/8")
_LINK_LOCAL_6 = IPv6Network("fe80::/10")


@dataclass(frozen=True, slots=True)
class IPValue:
    address: Address

    cel_type: ClassVar[Type] = typenames.IP

    @property
    def bytes_long(self) -> int:
        return self.address.max_prefixlen // 8

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class NetworkValue:
    network: CIDR

    cel_type: ClassVar[Type] = typenames.CIDR

    @property
    def bytes_long(self) -> int:
        """Of the prefix, which is what comparing looks at."""
        return -(-self.network.prefix // 8)

    def __str__(self) -> str:
        return str(self.network)


def _ip(text: str) -> IPValue:
    try:
        return IPValue(parse_address(text))
    except AddressError as exc:
        raise EvaluationError(str(exc)) from None


def _is_ip(text: str) -> bool:
    try:
        parse_address(text)
    except AddressError:
        return False
    return True


def _is_canonical(text: str) -> bool:
    return str(_ip(text)) == text


def _is_link_local_multicast(ip: IPValue) -> bool:
    packed = ip.address.packed
    if isinstance(ip.address, IPv4Address):
        return packed[:3] == bytes((224, 0, 0))
    return packed[0] == 0xFF and packed[1] & 0x0F == 0x02


def _is_link_local_unicast(ip: IPValue) -> bool:
    if isinstance(ip.address, IPv4Address):
        return ip.address.packed[:2] == bytes((169, 254))
    return ip.address in _LINK_LOCAL_6


def _is_multicast(ip: IPValue) -> bool:
    if isinstance(ip.address, IPv4Address):
        return ip.address.packed[0] & 0xF0 == 0xE0
    return ip.address in _MULTICAST_6


def _is_global_unicast(ip: IPValue) -> bool:
    if isinstance(ip.address, IPv4Address) and int(ip.address) == 0xFFFFFFFF:
        return False
    special = ip.address.is_unspecified or ip.address.is_loopback
    return not (special or _is_multicast(ip) or _is_link_local_unicast(ip))


def _cidr(text: str) -> NetworkValue:
    try:
        return NetworkValue(parse_network(text))
    except AddressError as exc:
        raise EvaluationError(f"network address parse error during conversion from string: {exc}") from None


def _is_cidr(text: str) -> bool:
    try:
        parse_network(text)
    except AddressError:
        return False
    return True


def _contains_ip(network: NetworkValue, ip: IPValue) -> bool:
    return network.network.holds(ip.address)


def _contains_text(network: NetworkValue, text: str) -> bool:
    try:
        return network.network.holds(parse_address(text))
    except AddressError:
        raise EvaluationError("no such overload") from None  # upstream loses what it was


def _contains_cidr(network: NetworkValue, other: NetworkValue) -> bool:
    return network.network.covers(other.network)


_I, _C = typenames.IP, typenames.CIDR

IPS = Library(
    name="kubernetes.net.ip",
    types={_I.name: _I},
    functions=(
        Function("ip", Overload("string_to_ip", (STRING,), _I, _ip)),
        Function("family", Overload("ip_family", (_I,), INT, lambda ip: ip.address.version, member=True)),
        Function("ip.isCanonical", Overload("ip_is_canonical", (STRING,), BOOL, _is_canonical)),
        Function(
            "isUnspecified",
            Overload("ip_is_unspecified", (_I,), BOOL, lambda ip: ip.address.is_unspecified, member=True),
        ),
        Function("isLoopback", Overload("ip_is_loopback", (_I,), BOOL, lambda ip: ip.address.is_loopback, member=True)),
        Function(
            "isLinkLocalMulticast",
            Overload("ip_is_link_local_multicast", (_I,), BOOL, _is_link_local_multicast, member=True),
        ),
        Function(
            "isLinkLocalUnicast",
            Overload("ip_is_link_local_unicast", (_I,), BOOL, _is_link_local_unicast, member=True),
        ),
        Function("isGlobalUnicast", Overload("ip_is_global_unicast", (_I,), BOOL, _is_global_unicast, member=True)),
        Function("isIP", Overload("is_ip", (STRING,), BOOL, _is_ip)),
        Function("string", Overload("ip_to_string", (_I,), STRING, str)),
    ),
)

CIDRS = Library(
    name="kubernetes.net.cidr",
    types={_C.name: _C},
    functions=(
        Function("cidr", Overload("string_to_cidr", (STRING,), _C, _cidr)),
        Function(
            "containsIP",
            Overload(
                "cidr_contains_ip_string",
                (_C, STRING),
                BOOL,
                _contains_text,
                member=True,
            ),
            Overload("cidr_contains_ip_ip", (_C, _I), BOOL, _contains_ip, member=True),
        ),
        Function(
            "containsCIDR",
            Overload(
                "cidr_contains_cidr_string",
                (_C, STRING),
                BOOL,
                lambda network, text: _contains_cidr(network, _cidr(text)),
                member=True,
            ),
            Overload("cidr_contains_cidr", (_C, _C), BOOL, _contains_cidr, member=True),
        ),
        Function("ip", Overload("cidr_ip", (_C,), _I, lambda network: IPValue(network.network.address), member=True)),
        Function(
            "prefixLength",
            Overload("cidr_prefix_length", (_C,), INT, lambda network: network.network.prefix, member=True),
        ),
        Function(
            "masked",
            Overload("cidr_masked", (_C,), _C, lambda network: NetworkValue(network.network.masked), member=True),
        ),
        Function("isCIDR", Overload("is_cidr", (STRING,), BOOL, _is_cidr)),
        Function("string", Overload("cidr_to_string", (_C,), STRING, str)),
    ),
)
