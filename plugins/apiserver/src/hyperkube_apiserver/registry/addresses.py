"""IP addresses and ranges in fields. Source: k8s.io/apimachinery/pkg/util/validation/ip.go."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from hyperkube_machinery.errors import FieldError

__all__ = [
    "Address",
    "Network",
    "address_warnings",
    "network_warnings",
    "parse_address",
    "parse_network",
    "validate_address",
    "validate_canonical_address",
    "validate_canonical_network",
    "validate_endpoint_address",
    "validate_interface_address",
    "validate_network",
]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_NOT_NETWORK = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def parse_address(text: str) -> Address | None:
    """The address in `text`, with the leading zeros that were once accepted; None if it is none."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", text):
        parts = [int(part[-9:]) for part in text.split(".")]
        return IPv4Address(bytes(parts)) if max(parts) < 256 else None
    if "%" in text or "/" in text or ":" not in text:
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None


def validate_address(text: str, path: str) -> list[FieldError]:
    address = parse_address(text)
    if address is None:
        return [FieldError.invalid(path, text, _NOT_ADDRESS)]
    if _leading_zero(text):
        return [FieldError.invalid(path, text, "must not have leading 0s")]
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return [FieldError.invalid(path, text, "must not be an IPv4-mapped IPv6 address")]
    return []


def validate_canonical_address(text: str, path: str) -> list[FieldError]:
    """The same where there is one spelling only, as in fields that are not older than the rule."""
    if errors := validate_address(text, path):
        return errors
    canonical = str(parse_address(text))
    return [] if text == canonical else [FieldError.invalid(path, text, f'must be in canonical form ("{canonical}")')]


def address_warnings(text: str, path: str) -> list[str]:
    """A better spelling of an address that is accepted all the same; nothing for what is no address."""
    address = parse_address(text)
    if address is None:
        return []
    preferred = _preferred(address)
    if _leading_zero(text) or preferred is not address:
        return [f'{path}: non-standard IP address "{text}" is invalid: use "{preferred}"']
    if str(address) != text:
        return [f'{path}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{address}")']
    return []


def network_warnings(text: str, path: str) -> list[str]:
    """The same for a range."""
    host, _, length = text.partition("/")
    address = parse_address(host)
    if address is None or not re.fullmatch("[0-9]{1,4}", length) or int(length) > address.max_prefixlen:
        return []
    network: Network = ip_network((address, int(length)), strict=False)
    mapped = _preferred(network.network_address) is not network.network_address
    shown = f"{_preferred(network.network_address)}/{int(length) - 96}" if mapped else str(network)
    texts = []
    if network.network_address != address:
        alone = f"{_preferred(address)}/{address.max_prefixlen}"
        texts.append(f'{path}: CIDR value "{text}" is ambiguous in this context (should be "{shown}" or "{alone}"?)')
    if _leading_zero(host) or length != str(int(length)) or mapped:
        texts.append(f'{path}: non-standard CIDR value "{text}" is invalid: use "{shown}"')
    if not texts and str(network) != text:
        texts.append(f'{path}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{network}")')
    return texts


def _preferred(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for; any other address itself."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _leading_zero(text: str) -> bool:
    return ":" not in text and any(len(part) > 1 and part.startswith("0") for part in text.split("."))


def parse_network(text: str) -> Network | None:
    """The range in `text`, with the forms that were once accepted: leading zeros, bits beyond the prefix length."""
    host, slash, length = text.partition("/")
    address = parse_address(host)
    if address is None or not slash or not re.fullmatch("[0-9]{1,4}", length) or int(length) > address.max_prefixlen:
        return None
    return ip_network((address, int(length)), strict=False)


def validate_network(text: str, path: str) -> list[FieldError]:
    network = parse_network(text)
    if network is None:
        return [FieldError.invalid(path, text, _NOT_NETWORK)]
    host, _, length = text.partition("/")
    if _leading_zero(host) or (len(length) > 1 and length.startswith("0")):
        return [FieldError.invalid(path, text, "must not have leading 0s in IP or prefix length")]
    address = parse_address(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return [FieldError.invalid(path, text, "must not have an IPv4-mapped IPv6 address")]
    if network.network_address != address:
        return [FieldError.invalid(path, text, "must not have bits set beyond the prefix length")]
    return []


def validate_canonical_network(text: str, path: str) -> list[FieldError]:
    """The same where there is one spelling only."""
    if errors := validate_network(text, path):
        return errors
    canonical = str(ip_network(text))
    return [] if text == canonical else [FieldError.invalid(path, text, f'must be in canonical form ("{canonical}")')]


def validate_endpoint_address(text: str, path: str, *, loopback: bool) -> list[FieldError]:
    """An address that endpoints may have: one that another machine can mean, unless `loopback` addresses pass."""
    address = parse_address(text)
    if address is None:
        return [FieldError.invalid(path, text, "must be a valid IP address")]
    if address.is_unspecified:
        return [FieldError.invalid(path, text, f"may not be unspecified ({text})")]
    if address.is_loopback and not loopback:
        return [FieldError.invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")]
    if address.is_link_local:
        return [FieldError.invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")]
    link_local_multicast = (ip_network("224.0.0.0/24"), ip_network("ff02::/16"))
    if any(address in network for network in link_local_multicast):
        text_ = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        return [FieldError.invalid(path, text, text_)]
    return []


def validate_interface_address(text: str, path: str) -> list[FieldError]:
    """An address with the length of its network's prefix, as interfaces have it, in the canonical form."""
    host, slash, length = text.partition("/")
    address = parse_address(host)
    if address is None or not slash or not re.fullmatch("[0-9]{1,4}", length) or int(length) > address.max_prefixlen:
        example = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
        return [FieldError.invalid(path, text, example)]
    mapped = _preferred(address) is not address
    canonical = f"{_preferred(address)}/{int(length) - 96 if mapped and int(length) > 32 else int(length)}"
    return [] if text == canonical else [FieldError.invalid(path, text, f'must be in canonical form ("{canonical}")')]
