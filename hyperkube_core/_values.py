"""What the text of a setting means: one `Kind` for each sort of value, the way Go's flags read them.

A kind turns text (from a flag or a variable) into a value, takes values that a config file already typed, and
writes values back so that reading what it wrote gives the same again. Every refusal is a ValueError that says what
is wrong with the text; who asked adds where the text stood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["KINDS", "Kind", "format_duration", "parse_duration", "parse_quantity"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of value."""

    name: str
    """Also what help shows behind the flag."""
    parse: Callable[[str], Any]
    format: Callable[[Any], str] = str
    native: tuple[type, ...] = (str,)
    """Types that a config file may hold for it; text is always accepted as well and parsed."""
    joint: str = "="
    """What stands between a key and its value, where the value is a mapping."""
    collects: bool = False
    """Whether repeating the flag adds to the value instead of replacing it."""

    def load(self, value: Any) -> Any:
        """The value for something that a config file holds."""
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, bool) and bool not in self.native:
            raise ValueError(f"{value!r} is not a {self.name}")
        if isinstance(value, list | tuple) and isinstance(value, self.native):
            return tuple(_text(item) for item in value)
        if isinstance(value, dict) and isinstance(value, self.native):
            return self.parse(_join(f"{key}{self.joint}{_text(item)}" for key, item in value.items()))
        if isinstance(value, self.native):
            return self.parse(_text(value))
        raise ValueError(f"{value!r} is not a {self.name}")


def _text(value: Any) -> str:
    """A plain value as it would stand on a command line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError(f"{value!r} is not a plain value")


def _join(items: Any) -> str:
    return ",".join(_quote(item) for item in items)


def _quote(item: str) -> str:
    return '"' + item.replace('"', '""') + '"' if any(c in item for c in ',"\n') else item


def _split(text: str) -> list[str]:
    """Comma-separated values, quoted as in a CSV file where they hold commas themselves."""
    if '"' not in text:
        return text.split(",") if text else []
    import csv  # rarely needed

    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as exc:
        raise ValueError(f"{text!r} is not a comma-separated list: {exc}") from None
    return rows[0] if rows else []


# Source: Go's strconv.ParseBool.
_BOOLS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "FALSE", "false", "False"), False
)


def _bool(text: str) -> bool:
    try:
        return _BOOLS[text]
    except KeyError:
        raise ValueError(f'"{text}" is neither true nor false') from None


_INT = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|[0-9]+)\Z")


def _int(text: str) -> int:
    if not _INT.match(text):
        raise ValueError(f'"{text}" is not a whole number')
    sign, digits = (-1 if text[0] == "-" else 1), text.lstrip("+-").lower()
    if digits.startswith(("0x", "0b", "0o")):
        return sign * int(digits, 0)
    # As in Go, and in C before it: a leading zero means base eight.
    try:
        return sign * int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10)
    except ValueError:
        raise ValueError(f'"{text}" is not a whole number') from None


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a number') from None


def _path(text: str) -> Any:
    import os.path
    from pathlib import Path

    # Unlike Path.expanduser, this leaves the home of somebody who isn't there alone.
    return Path(os.path.expanduser(text)) if text else None


def _ip(text: str) -> str:
    import ipaddress

    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f'"{text}" is not an IP address') from None


def _cidr(text: str) -> str:
    import ipaddress

    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError(f'"{text}" is not an address range such as 10.0.0.0/24') from None


def _strings(text: str) -> tuple[str, ...]:
    return tuple(_split(text))


def _map(text: str, joint: str = "=") -> dict[str, str]:
    pairs = (item.partition(joint) for item in _split(text))
    result = {}
    for key, found, value in pairs:
        if not found or not key.strip():
            raise ValueError(f'"{key}" is not of the form key{joint}value')
        result[key.strip()] = value.strip()
    return result


def _gates(text: str) -> dict[str, bool]:
    result = {}
    for name, value in _map(text).items():
        try:
            result[name] = _bool(value)
        except ValueError as exc:
            raise ValueError(f"invalid value of {name}: {exc}") from None
    return result


# Source: Go's time.ParseDuration.
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Seconds from what Go writes as a duration: `1m30s`, `500ms`, `-2h`, `0`."""
    body = text[1:] if text[:1] in ("-", "+") else text
    seconds, position = 0.0, 0
    if body != "0":
        for part in _DURATION_PART.finditer(body):
            if part.start() != position:
                break
            seconds += float(part[1]) * _UNIT_SECONDS[part[2]]
            position = part.end()
        if not body or position != len(body):
            raise ValueError(f'"{text}" is not a duration such as 1m30s or 500ms')
    return -seconds if text[:1] == "-" else seconds


def format_duration(seconds: float) -> str:
    """As Go writes it: `1m30s`, `1h0m0s`, `250ms`, `0s`."""
    nanoseconds = round(abs(seconds) * 1e9)
    sign = "-" if seconds < 0 and nanoseconds else ""
    if nanoseconds == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanoseconds < size * 1000:
            return f"{sign}{_decimal(nanoseconds, size)}{unit}"
    whole, rest = divmod(nanoseconds, 60_000_000_000)
    text = f"{_decimal(rest, 1_000_000_000)}s"
    hours, minutes = divmod(whole, 60)
    if whole:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _decimal(amount: int, size: int) -> str:
    whole, rest = divmod(amount, size)
    digits = str(rest).zfill(len(str(size)) - 1).rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


# Source: k8s.io/apimachinery/pkg/api/resource, the comment on Quantity.
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([KMGTPE]i|[numkMGTPE])?)\Z")
_POWERS_OF_TEN = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def parse_quantity(text: str) -> Any:
    """A Decimal from a quantity: `500Mi`, `100m`, `1.5`, `12e6`."""
    from decimal import Decimal

    match = _QUANTITY.match(text)
    if not match:
        raise ValueError(f'"{text}" is not a quantity such as 500Mi or 100m')
    number, exponent, suffix = match.groups()
    amount = Decimal(number + (exponent or ""))
    if not suffix:
        return amount
    if suffix.endswith("i"):
        return amount * 1024 ** ("KMGTPE".index(suffix[0]) + 1)
    return amount.scaleb(_POWERS_OF_TEN[suffix])


def _format_map(value: Mapping[str, Any], joint: str = "=") -> str:
    return _join(f"{key}{joint}{_text(item)}" for key, item in value.items())


def _less_than(text: str) -> dict[str, str]:
    return _map(text, "<")


def _format_less_than(value: Mapping[str, Any]) -> str:
    return _format_map(value, "<")


def _format_strings(value: Sequence[Any]) -> str:
    return _join(_text(item) for item in value)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("bool", _bool, _text, (bool,)),
        Kind("int", _int, str, (int,)),
        Kind("float", _float, str, (int, float)),
        Kind("string", str, str, (str, int, float)),
        Kind("path", _path),
        Kind("ip", _ip),
        Kind("cidr", _cidr),
        Kind("duration", parse_duration, format_duration, (int,)),
        Kind("quantity", parse_quantity, str, (int, float)),
        Kind("strings", _strings, _format_strings, (list, tuple), collects=True),
        Kind("array", lambda text: (text,), _format_strings, (list, tuple), collects=True),
        Kind("map", _map, _format_map, (dict,), collects=True),
        Kind("less-than-map", _less_than, _format_less_than, (dict,), joint="<", collects=True),
        Kind("feature-gates", _gates, _format_map, (dict,), collects=True),
    )
}
"""Every kind by the name that `flag(kind=…)` takes."""
