"""Cron schedules: when they are due next.

Source: github.com/robfig/cron/v3, by which Kubernetes reads them; the API server has checked what comes here.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["Schedule", "parse", "zone_of"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {name: number for number, name in enumerate(_MONTHS, 1)} | {name: n for n, name in enumerate(_DAYS)}
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))  # minutes, hours, days, months, days of the week
_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_MOST_YEARS = 5  # ahead; a schedule that is not due by then (30 February) never is


class Schedule(Protocol):
    """Times are seconds since the epoch."""

    def next(self, after: float) -> float | None:
        """The first time later than `after` that it is due; None if there is none."""


def zone_of(zone_name: str) -> tzinfo:
    """Raises ValueError for a time zone that is not known."""
    try:
        return ZoneInfo(zone_name or "UTC")
    except (ZoneInfoNotFoundError, OSError) as exc:
        raise ValueError(f"unknown time zone {zone_name}") from exc


def parse(text: str, zone: tzinfo | None = None) -> Schedule:
    """`zone` is for schedules that name none; without it they are by the clock of this machine.

    Raises ValueError for what is no schedule.
    """
    if text.startswith(("TZ=", "CRON_TZ=")):
        prefix, _, text = text.partition(" ")
        zone = zone_of(prefix.partition("=")[2])
    text = text.strip()
    if text.startswith("@every "):
        return _Every(max(1, math.floor(_duration(text.removeprefix("@every ").strip()))))
    fields = _WORDS.get(text, text).split()
    if len(fields) != len(_BOUNDS):
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    parsed = [_field(field, *bounds) for field, bounds in zip(fields, _BOUNDS, strict=True)]
    minutes, hours, days, months, weekdays = (numbers for numbers, _ in parsed)
    # Where both kinds of days are named either will do.
    return _Times(minutes, hours, days, months, weekdays, either=not parsed[2][1] and not parsed[4][1], zone=zone)


def _field(text: str, least: int, most: int) -> tuple[frozenset[int], bool]:
    """The numbers that a field allows, and whether it is a star."""
    numbers: set[int] = set()
    is_star = False
    for expression in filter(None, text.split(",")):
        span, _, step_text = expression.partition("/")
        low, _, high = span.partition("-")
        step = _number(step_text) if step_text else 1
        if low in ("*", "?"):
            first, last = least, most
            is_star |= step == 1
        else:
            first = _number(low)
            last = _number(high) if high else most if step_text else first
        if not least <= first <= last <= most or step < 1:
            raise ValueError(f"range out of bounds: {expression}")
        numbers.update(range(first, last + 1, step))
    return frozenset(numbers), is_star


def _number(text: str) -> int:
    known = _NAMES.get(text.lower())
    if known is not None:
        return known
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"failed to parse int from {text}")
    return int(text)


def _duration(text: str) -> float:
    parts = re.findall(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", text)
    if not parts or "".join(amount + unit for amount, unit in parts) != text.lstrip("+"):
        raise ValueError(f"failed to parse duration {text}")
    return sum(float(amount) * _UNITS[unit] for amount, unit in parts)


@dataclass(frozen=True, slots=True)
class _Every:
    seconds: int

    def next(self, after: float) -> float:
        return math.floor(after) + float(self.seconds)


@dataclass(frozen=True, slots=True)
class _Times:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    zone: tzinfo | None

    def next(self, after: float) -> float | None:
        moment = math.floor(after / 60) * 60 + 60
        last = moment + _MOST_YEARS * 366 * 86400
        while moment <= last:
            local = datetime.fromtimestamp(moment, self.zone)
            if local.month not in self.months:
                moment = self._midnight(local.replace(day=1) + timedelta(days=32), day=1)
            elif not self._fits_day(local):
                moment = self._midnight(local + timedelta(days=1))
            elif local.hour not in self.hours:
                moment += 3600 - 60 * local.minute
            elif local.minute not in self.minutes:
                moment += 60
            else:
                return float(moment)
        return None

    def _fits_day(self, local: datetime) -> bool:
        by_date, by_weekday = local.day in self.days, (local.weekday() + 1) % 7 in self.weekdays
        return (by_date or by_weekday) if self.either else (by_date and by_weekday)

    def _midnight(self, local: datetime, day: int | None = None) -> int:
        wall = datetime(local.year, local.month, day or local.day, tzinfo=self.zone)
        return int(wall.timestamp())
