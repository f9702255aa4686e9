"""Times as people read them: how long ago, in a few characters.

Source: k8s.io/apimachinery/pkg/util/duration.HumanDuration.
"""

from __future__ import annotations

from datetime import datetime

__all__ = ["human_duration", "seconds_of", "since"]

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_YEAR = 365 * _DAY


def since(timestamp: str | None, now: float) -> str:
    """How long before `now` (seconds since the epoch) `timestamp` (RFC 3339) was."""
    return human_duration(now - seconds_of(timestamp)) if timestamp else "<unknown>"


def seconds_of(timestamp: str) -> float:
    """An RFC 3339 time as seconds since the epoch."""
    return datetime.fromisoformat(timestamp).timestamp()


def human_duration(duration: float) -> str:
    """`duration` (seconds) with two units at most; clocks may differ by two seconds before it is invalid."""
    seconds = int(duration)
    if seconds < -1:
        return "<invalid>"
    if seconds < 2 * _MINUTE:
        return f"{max(seconds, 0)}s"
    if seconds < 10 * _MINUTE:
        return _two(seconds, _MINUTE, "m", 1, "s")
    if seconds < 3 * _HOUR:
        return f"{seconds // _MINUTE}m"
    if seconds < 8 * _HOUR:
        return _two(seconds, _HOUR, "h", _MINUTE, "m")
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR}h"
    if seconds < 8 * _DAY:
        return _two(seconds, _DAY, "d", _HOUR, "h")
    if seconds < 2 * _YEAR:
        return f"{seconds // _DAY}d"
    if seconds < 8 * _YEAR:
        return _two(seconds, _YEAR, "y", _DAY, "d")
    return f"{seconds // _YEAR}y"


def _two(seconds: int, unit: int, name: str, smaller: int, smaller_name: str) -> str:
    whole, rest = divmod(seconds, unit)
    rest //= smaller
    return f"{whole}{name}{rest}{smaller_name}" if rest else f"{whole}{name}"
