"""Points in time and lengths of time as text, and their parts.

Source: Go's package time, whose forms these are: RFC 3339, and durations such as `1h30m`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.values import Duration, Timestamp

__all__ = [
    "MAX_SECONDS",
    "MIN_SECONDS",
    "SECOND",
    "in_zone",
    "parse_duration",
    "parse_timestamp",
    "show_duration",
    "show_timestamp",
]

SECOND = 1_000_000_000
MIN_SECONDS, MAX_SECONDS = -62135596800, 253402300799  # the years 1 and 9999
_EPOCH = datetime(1970, 1, 1)
_TIMESTAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
_DURATION = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNITS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}


def parse_timestamp(text: str) -> Timestamp | None:
    """The point in time that RFC 3339 text names, or None."""
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction, sign, zone_hours, zone_minutes = found.groups()[6:]
    offset = 0
    if sign is not None:
        if int(zone_hours) > 24 or int(zone_minutes) > 59:
            return None
        offset = (int(zone_hours) * 3600 + int(zone_minutes) * 60) * (1 if sign == "+" else -1)
    if hour > 23 or minute > 59 or second > 59:
        return None
    try:
        days = date(year, month, day).toordinal() if year else date(4, month, day).toordinal() - 366 - 3 * 365
    except ValueError:
        return None
    seconds = (days - _EPOCH.toordinal()) * 86400 + hour * 3600 + minute * 60 + second - offset
    return Timestamp(seconds * SECOND + int((fraction or "0").ljust(9, "0")[:9]), offset)


def show_timestamp(timestamp: Timestamp) -> str:
    moment = _EPOCH + timedelta(seconds=timestamp.nanoseconds // SECOND + timestamp.offset_seconds)
    text = f"{moment.year:04}-{moment.month:02}-{moment.day:02}T{moment:%H:%M:%S}"
    fraction = timestamp.nanoseconds % SECOND
    if fraction:
        text += f".{fraction:09}".rstrip("0")
    if not timestamp.offset_seconds:
        return text + "Z"
    minutes = abs(timestamp.offset_seconds) // 60
    return f"{text}{'-' if timestamp.offset_seconds < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"


def parse_duration(text: str) -> Duration | None:
    """The length that text such as `-1h30.5m` names, or None."""
    negative = text.startswith("-")
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return Duration(0)
    total, at = 0, 0
    while at < len(rest):
        found = _DURATION.match(rest, at)
        if found is None or not (found[1] or found[2]) or len(found[1]) > 20:
            return None
        unit = _UNITS[found[3]]
        total += int(found[1] or "0") * unit
        fraction = (found[2] or "")[:18]
        if fraction:
            total += int(fraction) * unit // 10 ** len(fraction)
        at = found.end()
    if not rest or total > 2**63 - (0 if negative else 1):
        return None
    return Duration(-total if negative else total)


def show_duration(duration: Duration) -> str:
    """In seconds, with as many decimals as a double of it has: `5400s`, `0.5s`."""
    whole, rest = divmod(abs(duration.nanoseconds), SECOND)
    seconds = float(whole) + float(rest) / 1e9
    text = _decimal(seconds)
    return f"{'-' if duration.nanoseconds < 0 else ''}{text}s"


def _decimal(number: float) -> str:
    """The shortest digits that read back as the number, without an exponent."""
    digits = repr(number)
    if "e" not in digits:
        return digits.removesuffix(".0")
    mantissa, _, exponent = digits.partition("e")
    whole, _, fraction = mantissa.partition(".")
    places = int(exponent)
    if places < 0:
        return f"0.{'0' * (-places - 1)}{whole}{fraction}"
    return whole + fraction.ljust(places, "0")


def in_zone(timestamp: Timestamp, zone: str) -> datetime:
    """The calendar's view of the moment in a zone such as `Europe/Paris` or `-08:30`. Raises EvaluationError."""
    moment = _EPOCH + timedelta(microseconds=timestamp.nanoseconds // 1000)
    if zone in ("UTC", ""):
        return moment
    try:
        return moment.replace(tzinfo=UTC).astimezone(_find_zone(zone))
    except OverflowError:
        raise EvaluationError("timestamp overflow") from None


@lru_cache(maxsize=64)
def _find_zone(zone: str) -> tzinfo:
    hours, colon, minutes = zone.partition(":")
    if colon:
        return timezone(_offset(zone, hours, minutes))
    if zone == "Local":
        return UTC
    try:
        return ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise EvaluationError(f"unknown time zone {zone}") from None


def _offset(zone: str, hours: str, minutes: str) -> timedelta:
    for digits in (hours, minutes):
        if not re.fullmatch(r"[+-]?\d{1,4}", digits, re.ASCII):
            raise EvaluationError(f'strconv.Atoi: parsing "{digits}": invalid syntax')
    total = int(hours) * 60 + (-int(minutes) if zone.startswith("-") else int(minutes))
    if abs(total) >= 24 * 60:
        raise EvaluationError(f"unknown time zone {zone}")
    return timedelta(minutes=total)
