"""When a server that ended is started again: plain decisions, over values that the caller's clock gives.

The delays are the kubelet's for a container that keeps crashing, but begin at one second, since a server is not
a container that has to be pulled: 1 s, 2 s, 4 s … 5 min, and again from the start after ten healthy minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from hyperkube_core._errors import HyperkubeError, ServerError

Restart: TypeAlias = Literal["never", "on-failure", "always"]


@dataclass(slots=True, kw_only=True)
class CrashLoop:
    """The back-off of one server: how long to wait before it is started once more."""

    first_seconds: float = 1.0
    limit_seconds: float = 300.0
    healthy_seconds: float = 600.0
    """A run that served this long proves that the loop is over."""
    failures: int = 0
    """Runs that ended since the last healthy one."""

    def delay(self, served_seconds: float) -> float:
        """Note that a run ended which had been ready for so long (0: never), and say how long to wait."""
        if served_seconds >= self.healthy_seconds:
            self.failures = 0
        # The exponent is bounded, because a float overflows after a thousand failures.
        delay = min(self.first_seconds * 2.0 ** min(self.failures, 64), self.limit_seconds)
        self.failures += 1
        return delay


def starts_again(restart: Restart, error: HyperkubeError | None) -> bool:
    """Whether a server that ended with `error` (None: it did its job and returned) is started again.

    A bad command line, setting or plugin is as bad the next time, so only failures of the server itself are.
    """
    if error is None:
        return restart == "always"
    return restart != "never" and isinstance(error, ServerError)
