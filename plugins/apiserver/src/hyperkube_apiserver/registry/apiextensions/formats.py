"""The formats of strings that schemas of custom resources may ask for.

Source: k8s.io/kube-openapi/pkg/validation/strfmt, k8s.io/apiextensions-apiserver/pkg/apiserver/validation/formats.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from hyperkube_machinery.gourls import parse_request_uri
from hyperkube_machinery.names import dns1123_label, dns1123_subdomain
from hyperkube_machinery.patterns import matches

__all__ = ["has_format", "known_format"]

_HEX = "[0-9a-f]"
_OCTETS = (6, 8, 20)
# Units of durations; the long ones may go on: `nano`, `nanoseconds`.
_UNITS = frozenset({"ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk"})
_LONG_UNITS = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")
_go_duration_re = re.compile(r"[-+]?(?:0|(?:(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:ns|us|µs|μs|ms|s|m|h))+)")
_duration_re = re.compile(r"(?<![0-9])[0-9]++\s*+([A-Za-zµ]++)")
_time_re = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:.[0-9]+)?(?:z|[+-][0-9]{2}:[0-9]{2})")
# A mailbox as Go's net/mail reads it: an address, or a name and an address in angle brackets, then perhaps a comment.
_ATOM = r"[-A-Za-z0-9!#$%&'*+/=?^_`{|}~\x{80}-\x{10ffff}]+"
_QUOTED = r'"(?:[^"\\\x00-\x1f\x7f]|\\[\t\x20-\x7e\x{80}-\x{10ffff}])+"'
_DOMAIN = rf"(?:{_ATOM}(?:\.{_ATOM})*|\[[0-9a-fA-F:.]+\])"
_ADDRESS = rf"(?:{_ATOM}(?:\.{_ATOM})*|{_QUOTED})@[ \t]*{_DOMAIN}"
_COMMENT = r"\((?:[^()\\]|\([^()\\]*\))*\)"
_NAME = rf'(?:(?:{_ATOM}|\.|{_QUOTED}|""|{_COMMENT})[ \t]*)*'
_MAILBOX = rf"^[ \t]*(?:{_ADDRESS}|{_NAME}<[ \t]*{_ADDRESS}[ \t]*>)[ \t]*(?:{_COMMENT}[ \t]*)?$"
_SIGNS = r"0-9a-zA-Z\p{S}\p{L}"
_HOSTNAME = (
    rf"^([{_SIGNS}](-?[{_SIGNS}]{{0,62}})?|([{_SIGNS}]([-{_SIGNS}]{{0,61}}[{_SIGNS}])?\.)+[a-zA-Z\p{{L}}]{{2,63}})$"
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
        except ValueError:
            return False
        return True

    return check


def _check_address(text: str) -> str:
    """An address with which Python can go on: leading zeros are none, where there are four octets."""
    if "%" in text:
        raise ValueError(text)
    octets = text.rpartition(":")[2]
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", octets):
        text = text[: len(text) - len(octets)] + ".".join(str(int(octet[-9:])) for octet in octets.split("."))
    ip_address(text)
    return text


def _check_network(text: str) -> None:
    address, slash, bits = text.partition("/")
    if not slash or not re.fullmatch("[0-9]{1,9}", bits):
        raise ValueError(text)
    ip_network(f"{_check_address(address)}/{int(bits)}", strict=False)


def _check_ipv4(text: str) -> None:
    """Also one that is mapped into the longer form."""
    if "." not in text:
        raise ValueError(text)
    _check_address(text)


def _check_ipv6(text: str) -> None:
    if "%" in text:
        raise ValueError(text)
    IPv6Address(text)


def _is_mac(text: str) -> bool:
    if re.fullmatch(rf"{_HEX}{{2}}(?P<sign>[:-]){_HEX}{{2}}((?P=sign){_HEX}{{2}})*", text, re.IGNORECASE):
        return (len(text) + 1) // 3 in _OCTETS
    if re.fullmatch(rf"{_HEX}{{4}}(\.{_HEX}{{4}})+", text, re.IGNORECASE):
        return (len(text) + 1) // 5 * 2 in _OCTETS
    return False


def _is_duration(text: str) -> bool:
    """As Go writes them, or any number with a unit, wherever it stands."""
    if _go_duration_re.fullmatch(text):
        return True
    units = (match[1].lower() for match in _duration_re.finditer(text))
    return any(unit in _UNITS or unit.startswith(_LONG_UNITS) for unit in units)


def _check_date(text: str) -> None:
    if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(text)
    date.fromisoformat(text.replace("0000-", "2000-"))  # Go knows that year, which was a leap year too


_is_date = _parses(_check_date)


def _is_datetime(text: str) -> bool:
    day, _, rest = text.lower().partition("t")
    match = _time_re.fullmatch(rest.partition("t")[0])
    return match is not None and _is_date(day) and match[1] <= "23" and match[2] <= "59" and match[3] <= "59"


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


def _is_hostname(text: str) -> bool:
    if len(text.encode()) > 255 or not matches(_HOSTNAME, text):
        return False
    return all(len(label.encode()) <= 63 for label in text.split("."))


_FORMATS: Mapping[str, Callable[[str], bool]] = {
    "bsonobjectid": _matcher("[0-9a-fA-F]{24}"),
    "uri": _parses(parse_request_uri),
    "email": lambda text: matches(_MAILBOX, text),
    "hostname": _is_hostname,
    "ipv4": _parses(_check_ipv4),
    "ipv6": _parses(_check_ipv6),
    "cidr": _parses(_check_network),
    "mac": _is_mac,
    "uuid": _uuid(),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4", "[89ab]"),
    "uuid5": _uuid("5", "[89ab]"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _credit_card,
    "ssn": _matcher(r"(?=.{11}$)\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _matcher("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _matcher(r"rgb\(\s*(" + r"\s*,\s*".join(["(0|[1-9]\\d?|1\\d\\d?|2[0-4]\\d|25[0-5])"] * 3) + r")\s*\)"),
    "byte": _matcher("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"),
    "password": lambda text: True,
    "date": _is_date,
    "duration": _is_duration,
    "datetime": _is_datetime,
    "k8sshortname": lambda text: not dns1123_label(text),
    "k8slongname": lambda text: not dns1123_subdomain(text),
}
_OF_NUMBERS: Mapping[str, tuple[str, ...]] = {"integer": ("int32", "int64"), "number": ("float", "double")}
