"""IP addresses and networks as Go's net/netip reads them, in its words: no leading zeros, no zones.

Source: Go's net/netip, k8s.io/apiserver/pkg/cel/library/{ip,cidr}.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network

from hyperkube_machinery.quoting import quoted

__all__ = ["CIDR", "Address", "AddressError", "parse_address", "parse_network", "parse_zoned"]

Address = IPv4Address | IPv6Address

_hex_re = re.compile("[0-9a-fA-F]*")


class AddressError(ValueError):
    """A text is no address, or no network."""


@dataclass(frozen=True, slots=True)
class CIDR:
    """A network; its address may have bits beyond the prefix."""

    address: Address
    prefix: int

    @property
    def masked(self) -> CIDR:
        network = ip_network((self.address, self.prefix), strict=False)
        return CIDR(network.network_address, self.prefix)

    def holds(self, address: Address) -> bool:
        if address.version != self.address.version:
            return False
        shift = self.address.max_prefixlen - self.prefix
        return int(address) >> shift == int(self.address) >> shift

    def covers(self, other: CIDR) -> bool:
        return self.prefix <= other.prefix and self.holds(other.address)

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix}"


def parse_address(text: str) -> Address:
    """Raises AddressError."""
    try:
        address, zone = parse_zoned(text)
    except AddressError as exc:
        raise AddressError(f"IP Address {quoted(text)} parse error during conversion from string: {exc}") from None
    if zone:
        raise AddressError(f"IP address {quoted(text)} with zone value is not allowed")
    _refuse_mapped(address, text)
    return address


def parse_network(text: str) -> CIDR:
    """Raises AddressError."""
    try:
        network = _parse_prefix(text)
    except AddressError as exc:
        why = f"netip.ParsePrefix({quoted(text)}): {exc}"
        raise AddressError(f"network address parse error during conversion from string: {why}") from None
    _refuse_mapped(network.address, text)
    return network


def _refuse_mapped(address: Address, text: str) -> None:
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        raise AddressError(f"IPv4-mapped IPv6 address {quoted(text)} is not allowed")


def _parse_prefix(text: str) -> CIDR:
    host, slash, bits = text.rpartition("/")
    if not slash:
        raise AddressError("no '/'")
    address, zone = parse_zoned(host)
    if zone:
        raise AddressError("IPv6 zones cannot be present in a prefix")
    if not re.fullmatch("0|[1-9][0-9]*", bits) or len(bits) > 18:
        raise AddressError(f"bad bits after slash: {quoted(bits)}")
    if int(bits) > address.max_prefixlen:
        raise AddressError("prefix length out of range")
    return CIDR(address, int(bits))


def parse_zoned(text: str) -> tuple[Address, str]:
    """An address and its zone, "" if it has none. Raises AddressError, in Go's words alone."""
    for char in text:
        if char == ".":
            return IPv4Address(_octets(text, text)), ""
        if char == ":":
            return _parse_v6(text)
        if char == "%":
            raise _wrong(text, "missing IPv6 address")
    raise _wrong(text, "unable to parse IP")


def _wrong(text: str, why: str, at: str = "") -> AddressError:
    where = f" (at {quoted(at)})" if at else ""
    return AddressError(f"ParseAddr({quoted(text)}): {why}{where}")


def _octets(text: str, part: str) -> bytes:
    """The four bytes that `part` of an address gives; what is wrong first is told, from left to right."""
    octets = [""]
    for index, char in enumerate(part):
        if char == ".":
            if not octets[-1] or index == len(part) - 1:
                raise _wrong(text, "IPv4 field must have at least one digit", part[index:])
            if len(octets) == 4:
                raise _wrong(text, "IPv4 address too long")
            octets.append("")
        elif char not in "0123456789":
            raise _wrong(text, "unexpected character", part[index:])
        elif octets[-1] == "0":
            raise _wrong(text, "IPv4 field has octet with leading zero")
        else:
            octets[-1] += char
            if int(octets[-1]) > 255:
                raise _wrong(text, "IPv4 field has value >255")
    if len(octets) < 4:
        raise _wrong(text, "IPv4 address too short")
    return bytes(map(int, octets))


def _parse_v6(text: str) -> tuple[Address, str]:
    rest, percent, zone = text.partition("%")
    if percent and not zone:
        raise _wrong(text, "zone must be a non-empty string")
    found = bytearray()
    gap = -1  # where zeros were left out
    if rest.startswith("::"):
        gap, rest = 0, rest[2:]
        if not rest:
            return IPv6Address(0), zone
    while len(found) < 16:
        match = _hex_re.match(rest)
        digits = match[0] if match else ""
        if len(digits) > 4:
            raise _wrong(text, "each group must have 4 or less digits", rest)
        if not digits:
            raise _wrong(text, "each colon-separated field must have at least one digit", rest)
        after = rest[len(digits) :]
        if after.startswith("."):
            if gap < 0 and len(found) != 12:
                why = "embedded IPv4 address must replace the final 2 fields of the address"
                raise _wrong(text, why, rest)
            if len(found) > 12:
                why = "too many hex fields to fit an embedded IPv4 at the end of the address"
                raise _wrong(text, why, rest)
            found += _octets(text, rest)
            rest = ""
            break
        found += int(digits, 16).to_bytes(2, "big")
        rest = after
        if not rest:
            break
        if not rest.startswith(":"):
            raise _wrong(text, "unexpected character, want colon", rest)
        if len(rest) == 1:
            raise _wrong(text, "colon must be followed by more characters", rest)
        rest = rest[1:]
        if rest.startswith(":"):
            if gap >= 0:
                raise _wrong(text, "multiple :: in address", rest)
            gap, rest = len(found), rest[1:]
            if not rest:
                break
    return IPv6Address(_filled(text, found, gap, rest)), zone


def _filled(text: str, found: bytearray, gap: int, rest: str) -> bytes:
    if rest:
        raise _wrong(text, "trailing garbage after address", rest)
    if len(found) < 16:
        if gap < 0:
            raise _wrong(text, "address string too short")
        return bytes(found[:gap] + bytes(16 - len(found)) + found[gap:])
    if gap >= 0:
        raise _wrong(text, "the :: must expand to at least one field of zeros")
    return bytes(found)
