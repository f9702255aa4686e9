"""The formats of strings that schemas of custom resources may ask for.

Source: k8s.io/kube-openapi/pkg/validation/strfmt, k8s.io/apiextensions-apiserver/pkg/apiserver/validation/formats.go.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import date
from email.utils import parseaddr
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

from hyperkube_machinery.gourls import parse_request_uri
from hyperkube_machinery.names import dns1123_label, dns1123_subdomain
from hyperkube_machinery.timestamps import TimestampError, normal_micro

__all__ = ["has_format", "known_format"]

_HEX = "[0-9a-f]"
_UNITS = (
    r"(ns|nanos?|nanoseconds?|µs|us|micros?|microseconds?|ms|millis?|milliseconds?|s|secs?|seconds?|m|mins?|minutes?"
    r"|h|hrs?|hours?|d|days?|w|wks?|weeks?)"
)


def known_format(schema: Mapping[str, Any]) -> str:
    """The format that the values of `schema` must have, "" if there is none or it is not known."""
    name = str(schema.get("format") or "")
    kind = schema.get("type") or ""
    if kind in ("", "string"):
        name = name.replace("-", "")
        return name if name in _FORMATS else ""
    return name if name in _OF_NUMBERS.get(kind, ()) else ""


def has_format(text: str, name: str) -> bool:
    """Whether `text` has a format that `known_format` told."""
    check = _FORMATS.get(name)
    return check is None or check(text)


def _matcher(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    compiled = re.compile(pattern, flags | re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


def _uuid(version: str = _HEX, variant: str = _HEX) -> Callable[[str], bool]:
    pattern = f"{_HEX}{{8}}-?{_HEX}{{4}}-?{version}{_HEX}{{3}}-?{variant}{_HEX}{{3}}-?{_HEX}{{12}}"
    return _matcher(pattern, re.IGNORECASE)


def _parses(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return check


def _network(text: str) -> None:
    address, slash, bits = text.partition("/")
    if not slash or not bits.isdecimal() or "%" in address:
        raise ValueError(text)
    ip_network(text, strict=False)


def _ipv6(text: str) -> None:
    if "%" in text:
        raise ValueError(text)
    IPv6Address(text)


def _date(text: str) -> None:
    if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(text)
    date.fromisoformat(text)


def _datetime(text: str) -> bool:
    if re.fullmatch(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:?[0-9]{2})", text
    ):
        text = re.sub("([+-][0-9]{2})([0-9]{2})$", r"\1:\2", text)
    try:
        normal_micro(text)
    except TimestampError:
        return False
    return True


def _email(text: str) -> bool:
    address = parseaddr(text)[1] if "\n" not in text else ""
    local, at, domain = address.rpartition("@")
    return bool(at and local and domain and " " not in address)


def _isbn10(text: str) -> bool:
    digits = re.sub("[ -]", "", text)
    if not re.fullmatch("[0-9]{9}[0-9X]", digits):
        return False
    return sum(weight * (10 if digit == "X" else int(digit)) for weight, digit in enumerate(digits, 1)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = re.sub("[ -]", "", text)
    if not re.fullmatch("[0-9]{13}", digits):
        return False
    return sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(digits)) % 10 == 0


def _credit_card(text: str) -> bool:
    digits = re.sub("[^0-9]", "", text)
    pattern = (
        "4[0-9]{12}([0-9]{3})?|5[1-5][0-9]{14}|6(011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
        "|3(0[0-5]|[68][0-9])[0-9]{11}|(2131|1800|35[0-9]{3})[0-9]{11}"
    )
    if not re.fullmatch(pattern, digits):
        return False
    doubled = (int(digit) * (2 if index % 2 else 1) for index, digit in enumerate(reversed(digits)))
    return sum(one - 9 if one > 9 else one for one in doubled) % 10 == 0


def _hostname(text: str) -> bool:
    label = r"[a-zA-Z0-9\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef]"
    pattern = rf"{label}(({label}|-){{0,61}}{label})?(\.{label}(({label}|-){{0,61}}{label})?)*\.?"
    return len(text) <= 255 and re.fullmatch(pattern, text) is not None


_FORMATS: Mapping[str, Callable[[str], bool]] = {
    "bsonobjectid": _matcher("[0-9a-fA-F]{24}"),
    "uri": _parses(parse_request_uri),
    "email": _email,
    "hostname": _hostname,
    "ipv4": _parses(IPv4Address),
    "ipv6": _parses(_ipv6),
    "cidr": _parses(_network),
    "mac": _matcher(f"{_HEX}{{2}}([:-]{_HEX}{{2}}){{5}}|{_HEX}{{4}}(\\.{_HEX}{{4}}){{2,3}}", re.IGNORECASE),
    "uuid": _uuid(),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4", "[89ab]"),
    "uuid5": _uuid("5", "[89ab]"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _credit_card,
    "ssn": _matcher(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _matcher("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _matcher(r"rgb\(\s*(" + r"\s*,\s*".join(["(0|[1-9]\\d?|1\\d\\d?|2[0-4]\\d|25[0-5])"] * 3) + r")\s*\)"),
    "byte": _parses(lambda text: b64decode(text, validate=True)),
    "password": lambda text: True,
    "date": _parses(_date),
    "duration": _matcher(rf"[-+]?(\d*\.?\d+|\d+\.)\s*{_UNITS}(\s*(\d*\.?\d+|\d+\.)\s*{_UNITS})*|0"),
    "datetime": _datetime,
    "k8sshortname": lambda text: not dns1123_label(text),
    "k8slongname": lambda text: not dns1123_subdomain(text),
}
_OF_NUMBERS: Mapping[str, tuple[str, ...]] = {"integer": ("int32", "int64"), "number": ("float", "double")}
