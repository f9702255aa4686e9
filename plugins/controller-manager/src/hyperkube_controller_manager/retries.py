"""How long to wait before something that failed is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperkube_machinery.clock import Clock

__all__ = ["Retries"]


class Retries:
    """Counts tries by key, and spaces them ever further: `first` seconds, then twice that, up to `longest`.

    What was not tried for twice the longest wait starts afresh. Source: k8s.io/client-go/util/flowcontrol/backoff.go.
    """

    def __init__(self, clock: Clock, *, first: float, longest: float) -> None:
        self._clock = clock
        self._first = first
        self._longest = longest
        self._tried: dict[str, tuple[float, float]] = {}  # when last, and how long to wait after it

    def next(self, key: str) -> float:
        """Seconds until the next try is allowed; 0 is now, and counts as that try."""
        now = self._clock.monotonic()
        self._forget_old(now)
        known = self._tried.get(key)
        if known is not None and (left := known[0] + known[1] - now) > 0:
            return left
        self._tried.pop(key, None)
        self._tried[key] = (now, self._first if known is None else min(2 * known[1], self._longest))
        return 0.0

    def _forget_old(self, now: float) -> None:
        # In the order of their tries, as a key that is tried again is put last.
        for key, (when, _) in list(self._tried.items()):
            if now - when <= 2 * self._longest:
                return
            del self._tried[key]
