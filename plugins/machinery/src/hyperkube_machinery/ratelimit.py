"""How often something may be done. Source: k8s.io/client-go/util/flowcontrol/throttle.go"""

from __future__ import annotations

from hyperkube_machinery.clock import Clock

__all__ = ["TokenBucket"]

_ROUNDING = 1e-9


class TokenBucket:
    """`burst` times at once, then `qps` times a second."""

    def __init__(self, qps: float, burst: int, clock: Clock) -> None:
        """`qps` of 0 or less sets no limit; `burst` is then of no meaning, else at least 1."""
        self._qps = qps
        self._burst = max(1, burst)
        self._clock = clock
        self._tokens = float(self._burst)
        self._counted = clock.monotonic()

    def accept(self) -> bool:
        """Take a token, if there is one."""
        if self._qps > 0:
            self._fill()
            if self._tokens < 1 - _ROUNDING:
                return False
            self._tokens -= 1
        return True

    def reserve(self) -> float:
        """Take a token, from the future if need be; returns the seconds until it is there."""
        if self._qps <= 0:
            return 0.0
        self._fill()
        self._tokens -= 1
        return 0.0 if self._tokens >= -_ROUNDING else -self._tokens / self._qps

    async def wait(self) -> float:
        """Wait until it is one's turn, which come in order; returns how long that took, in seconds."""
        seconds = self.reserve()
        if seconds > 0:
            try:
                await self._clock.sleep(seconds)
            except BaseException:
                self._tokens += 1  # nobody will use it
                raise
        return seconds

    def _fill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._counted) * self._qps)
        self._counted = now
