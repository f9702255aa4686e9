"""Timestamps of the API: RFC 3339 in whole seconds (`Time`) and with six decimals (`MicroTime`), both in UTC.

Source: k8s.io/apimachinery/pkg/apis/meta/v1 and Go's package time, whose error texts a client sees.
"""

from __future__ import annotations

import re
from calendar import monthrange, timegm
from datetime import UTC, datetime, timedelta
from functools import lru_cache

__all__ = ["TimestampError", "format_micro", "format_seconds", "normal_micro", "normal_seconds", "parse"]

_SECONDS_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_ZERO = datetime(1, 1, 1, tzinfo=UTC)  # Go's zero time, which the API writes as null


class TimestampError(ValueError):
    """A text is no timestamp; the message is the API server's."""


def format_seconds(when: float) -> str:
    """`when`, in seconds since the epoch, as metadata shows it: `2026-01-02T03:04:05Z`."""
    return _format_second(int(when // 1))


@lru_cache(maxsize=16)  # all writes of a second show the same
def _format_second(when: int) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat()[:19] + "Z"


def format_micro(when: float) -> str:
    """`when`, in seconds since the epoch, as leases and events show it: `2026-01-02T03:04:05.000006Z`."""
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="microseconds")[:26] + "Z"


def parse(text: str) -> float:
    """Seconds since the epoch; accepts both forms. Raises TimestampError."""
    moment = _read(text, _SECONDS_LAYOUT)
    return timegm(moment.timetuple()) + moment.microsecond / 1_000_000


@lru_cache(maxsize=2048)
def normal_seconds(text: str) -> str | None:
    """`text` as the API writes it back, or None for the zero time. Raises TimestampError."""
    moment = _read(text, _SECONDS_LAYOUT)
    return None if moment == _ZERO else moment.isoformat(timespec="seconds")[:19] + "Z"


@lru_cache(maxsize=2048)
def normal_micro(text: str) -> str | None:
    """The same for a MicroTime, which must be given with six decimals."""
    moment = _read(text, _MICRO_LAYOUT)
    return None if moment == _ZERO else moment.isoformat(timespec="microseconds")[:26] + "Z"


def _read(text: str, layout: str) -> datetime:
    """Read `text` field by field, as Go's time.Parse does, so that errors name the same rest."""
    reader = _Reader(text, layout)
    year = reader.number("2006", 4, 4)
    reader.literal("-")
    month = reader.number("01", 2, 2)
    if not 1 <= month <= 12:
        raise reader.out_of_range("month")
    reader.literal("-")
    day = reader.number("02", 2, 2)
    reader.literal("T")
    hour = reader.number("15", 1, 2)
    if hour > 23:
        raise reader.out_of_range("hour")
    reader.literal(":")
    minute = reader.number("04", 2, 2)
    if minute > 59:
        raise reader.out_of_range("minute")
    reader.literal(":")
    second = reader.number("05", 2, 2)
    if second > 59:
        raise reader.out_of_range("second")
    micro = reader.fraction(exact=layout is _MICRO_LAYOUT)
    offset = reader.zone()
    if reader.rest:
        raise TimestampError(f"parsing time {_quote(text)}: extra text: {_quote(reader.rest)}")
    if not 1 <= day <= (monthrange(year, month)[1] if year else 31):
        raise reader.out_of_range("day")
    try:
        return datetime(year, month, day, hour, minute, second, micro, UTC) - timedelta(seconds=offset)
    except (ValueError, OverflowError):  # the year 0, and beyond 9999 after the offset
        raise reader.out_of_range("year") from None


class _Reader:
    def __init__(self, text: str, layout: str) -> None:
        self.text = text
        self.layout = layout
        self.rest = text

    def number(self, element: str, least: int, most: int) -> int:
        match = re.match(rf"[0-9]{{{least},{most}}}", self.rest)
        if match is None:
            raise self.mismatch(element)
        self.rest = self.rest[match.end() :]
        return int(match[0])

    def literal(self, char: str) -> None:
        if not self.rest.startswith(char):
            raise self.mismatch(char)
        self.rest = self.rest[1:]

    def fraction(self, *, exact: bool) -> int:
        """Microseconds. `exact`: six digits must stand there; else any number may."""
        match = re.match(r"[.,]([0-9]{6})" if exact else r"[.,]([0-9]+)", self.rest)
        if match is None:
            if exact:
                raise self.mismatch(".000000")
            return 0
        self.rest = self.rest[match.end() :]
        return int(match[1][:6].ljust(6, "0"))

    def zone(self) -> int:
        """Seconds east of Greenwich."""
        if self.rest.startswith("Z"):
            self.rest = self.rest[1:]
            return 0
        match = re.match(r"([+-])([0-9]{2}):([0-9]{2})", self.rest)
        if match is None:
            raise self.mismatch("Z07:00")
        hours, minutes = int(match[2]), int(match[3])
        if hours > 24:
            raise self.out_of_range("time zone offset hour")
        if minutes > 60:
            raise self.out_of_range("time zone offset minute")
        self.rest = self.rest[match.end() :]
        seconds = hours * 3600 + minutes * 60
        return -seconds if match[1] == "-" else seconds

    def mismatch(self, element: str) -> TimestampError:
        return TimestampError(
            f"parsing time {_quote(self.text)} as {_quote(self.layout)}: "
            f"cannot parse {_quote(self.rest)} as {_quote(element)}"
        )

    def out_of_range(self, what: str) -> TimestampError:
        return TimestampError(f"parsing time {_quote(self.text)}: {what} out of range")


def _quote(text: str) -> str:
    """As package time quotes: bytes beyond ASCII are escaped one by one."""
    shown = []
    for char in text:
        if char in '"\\':
            shown.append("\\" + char)
        elif " " <= char <= "~":
            shown.append(char)
        else:
            shown.extend(f"\\x{byte:02x}" for byte in char.encode())
    return '"' + "".join(shown) + '"'
