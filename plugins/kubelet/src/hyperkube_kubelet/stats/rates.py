"""How much processor time is used a second, by what was used at two times."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from hyperkube_kubelet.stats.figures import Usage

__all__ = ["Rates"]

LEAST_SECONDS = 1.0
"""Between two times that are compared: within less there is more noise than use."""


class Rates:
    """Remembers what each was last seen to have used."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int, int | None]] = {}  # when, nanoseconds, and the rate until then

    def applied(self, key: str, usage: Usage) -> Usage:
        """`usage` with its rate; without one where `key` is new, or was made anew meanwhile."""
        total = usage.cpu_nanoseconds
        if usage.cpu_nanocores is not None or total is None:
            return usage
        at, before, rate = self._last.get(key, (usage.at, total, None))
        seconds = usage.at - at
        if total < before:
            rate, seconds = None, LEAST_SECONDS
        elif seconds >= LEAST_SECONDS:
            rate = round((total - before) / seconds)
        if key not in self._last or seconds >= LEAST_SECONDS:
            self._last[key] = (usage.at, total, rate)
        return replace(usage, cpu_nanocores=rate)

    def keep(self, keys: Collection[str]) -> None:
        """Forget all others."""
        for key in self._last.keys() - set(keys):
            del self._last[key]
