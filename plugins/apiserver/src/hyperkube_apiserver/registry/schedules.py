"""Whether a text is a cron schedule. Source: github.com/robfig/cron/v3, which the API server parses them with."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["complaint", "is_time_zone"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Least, most, and names for minutes, hours, days of the month, months and days of the week.
_BOUNDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_DURATION = r"[+-]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)"


class _Wrong(Exception):
    """What is wrong with a schedule."""


def is_time_zone(name: str) -> bool:
    if name in ("", "UTC"):
        return True
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def complaint(schedule: str) -> str:
    """What the parser says of `schedule`; empty if it is one."""
    try:
        _parse(schedule)
    except _Wrong as exc:
        return str(exc)
    return ""


def _parse(text: str) -> None:
    if text.startswith(("TZ=", "CRON_TZ=")):
        prefix, space, rest = text.partition(" ")
        if not space:
            raise _Wrong("invalid schedule format: runtime error: slice bounds out of range [:-1]")
        zone = prefix.partition("=")[2]
        if not is_time_zone(zone):
            raise _Wrong(f"provided bad location {zone}: unknown time zone {zone}")
        text = rest.strip()
    if text.startswith("@"):
        _parse_descriptor(text)
        return
    fields = text.split()
    if len(fields) != len(_BOUNDS):
        raise _Wrong(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    for field, bounds in zip(fields, _BOUNDS, strict=True):
        for expression in filter(None, field.split(",")):
            _parse_range(expression, *bounds)


def _parse_descriptor(text: str) -> None:
    if text in _DESCRIPTORS:
        return
    if not text.startswith("@every "):
        raise _Wrong(f"unrecognized descriptor: {text}")
    duration = text.removeprefix("@every ")
    if not re.fullmatch(_DURATION, duration):
        raise _Wrong(f'failed to parse duration {duration}: time: invalid duration "{duration}"')


def _parse_range(expression: str, least: int, most: int, names: dict[str, int]) -> None:
    span, *steps = expression.split("/")
    low, *highs = span.split("-")
    if low in ("*", "?"):
        start, end = least, most
    else:
        start = end = _number(low, names)
        if len(highs) > 1:
            raise _Wrong(f"too many hyphens: {expression}")
        if highs:
            end = _number(highs[0], names)
    if len(steps) > 1:
        raise _Wrong(f"too many slashes: {expression}")
    step = 1
    if steps:
        step = _number(steps[0], {})
        if not highs:
            end = most
    if start < least:
        raise _Wrong(f"beginning of range ({start}) below minimum ({least}): {expression}")
    if end > most:
        raise _Wrong(f"end of range ({end}) above maximum ({most}): {expression}")
    if start > end:
        raise _Wrong(f"beginning of range ({start}) beyond end of range ({end}): {expression}")
    if step == 0:
        raise _Wrong(f"step of range should be a positive number: {expression}")


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not re.fullmatch("[+-]?[0-9]+", text):
        raise _Wrong(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    number = int(text[:25])
    if not -(1 << 63) <= number < 1 << 63:
        raise _Wrong(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": value out of range')
    if number < 0:
        raise _Wrong(f"negative number ({number}) not allowed: {text}")
    return number
