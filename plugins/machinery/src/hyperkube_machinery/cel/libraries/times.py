"""The parts of timestamps and durations: `t.getFullYear("Europe/Paris")`, `d.getHours()`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from hyperkube_machinery.cel.library import Function, Overload
from hyperkube_machinery.cel.times import SECOND, in_zone
from hyperkube_machinery.cel.types import DURATION, INT, STRING, TIMESTAMP
from hyperkube_machinery.cel.values import Duration

__all__ = ["TIME_FUNCTIONS"]

_PARTS: tuple[tuple[str, str, str, Callable[[datetime], int]], ...] = (
    ("getFullYear", "timestamp_to_year", "timestamp_to_year_with_tz", lambda t: t.year),
    ("getMonth", "timestamp_to_month", "timestamp_to_month_with_tz", lambda t: t.month - 1),
    (
        "getDayOfYear",
        "timestamp_to_day_of_year",
        "timestamp_to_day_of_year_with_tz",
        lambda t: t.timetuple().tm_yday - 1,
    ),
    ("getDayOfMonth", "timestamp_to_day_of_month", "timestamp_to_day_of_month_with_tz", lambda t: t.day - 1),
    ("getDate", "timestamp_to_day_of_month_1_based", "timestamp_to_day_of_month_1_based_with_tz", lambda t: t.day),
    ("getDayOfWeek", "timestamp_to_day_of_week", "timestamp_to_day_of_week_with_tz", lambda t: t.isoweekday() % 7),
    ("getHours", "timestamp_to_hours", "timestamp_to_hours_with_tz", lambda t: t.hour),
    ("getMinutes", "timestamp_to_minutes", "timestamp_to_minutes_with_tz", lambda t: t.minute),
    ("getSeconds", "timestamp_to_seconds", "timestamp_to_seconds_tz", lambda t: t.second),
    (
        "getMilliseconds",
        "timestamp_to_milliseconds",
        "timestamp_to_milliseconds_with_tz",
        lambda t: t.microsecond // 1000,
    ),
)
_UNITS = {
    "getHours": ("duration_to_hours", 3600 * SECOND),
    "getMinutes": ("duration_to_minutes", 60 * SECOND),
    "getSeconds": ("duration_to_seconds", SECOND),
    "getMilliseconds": ("duration_to_milliseconds", SECOND // 1000),
}


def _part(function: str, id: str, zoned_id: str, part: Callable[[datetime], int]) -> Function:
    overloads = [
        Overload(id, (TIMESTAMP,), INT, lambda t: part(in_zone(t, "UTC")), member=True),
        Overload(zoned_id, (TIMESTAMP, STRING), INT, lambda t, zone: part(in_zone(t, zone)), member=True),
    ]
    if function in _UNITS:
        unit_id, unit = _UNITS[function]
        overloads.append(Overload(unit_id, (DURATION,), INT, lambda d: _whole(d, unit), member=True))
    return Function(function, *overloads)


def _whole(duration: Duration, unit: int) -> int:
    """How many whole units it is long, towards zero."""
    count = abs(duration.nanoseconds) // unit
    return -count if duration.nanoseconds < 0 else count


TIME_FUNCTIONS = tuple(_part(*each) for each in _PARTS)
