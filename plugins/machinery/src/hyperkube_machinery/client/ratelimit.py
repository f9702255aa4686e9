"""How often a client may ask. Source: k8s.io/client-go/util/flowcontrol/throttle.go"""

from __future__ import annotations

import math

from hyperkube_machinery.clock import Clock

__all__ = ["TokenBucket"]


class TokenBucket:
    """`burst` requests at once, then `qps` a second, in the order they came."""

    def __init__(self, qps: float, burst: int, clock: Clock) -> None:
        """`qps` of 0 or less sets no limit; `burst` is then of no meaning, else at least 1."""
        self._qps = qps
        self._burst = max(1, burst)
        self._clock = clock
        self._tokens = float(self._burst)
        self._counted = clock.monotonic()

    async def wait(self) -> float:
        """Wait for one's turn; returns how long that took, in seconds."""
        if self._qps <= 0:
            return 0.0
        seconds = self._take()
        if seconds > 0:
            try:
                await self._clock.sleep(seconds)
            except BaseException:
                self._tokens += 1  # nobody will use it
                raise
        return seconds

    def _take(self) -> float:
        """Take one token, from the future if need be; returns the seconds until it is there."""
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._counted) * self._qps)
        self._counted = now
        self._tokens -= 1
        return 0.0 if self._tokens >= 0 or math.isclose(self._tokens, 0, abs_tol=1e-9) else -self._tokens / self._qps
