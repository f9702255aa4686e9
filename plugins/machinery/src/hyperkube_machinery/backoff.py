"""How long to wait after a failure: longer each time, and never all at once."""

from __future__ import annotations

from collections.abc import Callable
from random import random

from hyperkube_machinery.clock import Clock

__all__ = ["Backoff"]


class Backoff:
    """The pauses between attempts: `first` seconds, each `factor` times the one before, at most `longest`.

    To each is added up to `jitter` of it by chance. After `reset_seconds` in which nobody asked it begins anew.
    Source: k8s.io/apimachinery/pkg/util/wait, NewExponentialBackoffManager.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        first: float,
        longest: float,
        factor: float = 2.0,
        jitter: float = 0.0,
        reset_seconds: float = 0.0,
        chance: Callable[[], float] = random,
    ) -> None:
        self._clock = clock
        self._first = first
        self._longest = longest
        self._factor = factor
        self._jitter = jitter
        self._reset_seconds = reset_seconds
        self._chance = chance
        self._next = first
        self._asked = clock.monotonic()

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        now = self._clock.monotonic()
        if self._reset_seconds and now - self._asked > self._reset_seconds:
            self._next = self._first
        self._asked = now
        seconds = min(self._next, self._longest)
        self._next = min(self._next * self._factor, self._longest)
        return seconds + seconds * self._jitter * self._chance()

    def reset(self) -> None:
        """Begin anew, for an attempt has succeeded."""
        self._next = self._first
