"""How many requests are worked on at a time: beyond that, clients are told to come again.

Reads and writes have a limit each. Long-running requests are not counted, and members of system:masters are never
turned away, so that an administrator gets through to a server that drowns.
Source: k8s.io/apiserver/pkg/server/filters/maxinflight.go.
"""

from __future__ import annotations

from hyperkube_apiserver.operations.requests import is_long_running
from hyperkube_apiserver.requestinfo import RequestInfo
from hyperkube_machinery.serving.messages import Response
from hyperkube_machinery.serving.metrics import Registry

__all__ = ["InFlight", "Lane", "too_many_requests"]

MASTERS = "system:masters"

_READS = frozenset(("get", "list", "watch"))


class Lane:
    """The reads, or the writes."""

    __slots__ = ("limit", "peak", "running")

    def __init__(self, limit: int) -> None:
        self.limit = limit  # 0: none
        self.running = 0
        self.peak = 0  # of `running`, since the last `settle`

    def enter(self, groups: tuple[str, ...]) -> bool:
        """Whether a request of a member of `groups` may be worked on; if so, `leave` must follow."""
        if 0 < self.limit <= self.running and MASTERS not in groups:
            return False
        self.running += 1
        if self.running > self.peak:
            self.peak = self.running
        return True

    def leave(self) -> None:
        """The request is answered."""
        self.running -= 1


class InFlight:
    """The two lanes."""

    def __init__(self, *, reads: int = 400, writes: int = 200) -> None:
        """How many of each may be in flight; 0 for any number."""
        self.reads = Lane(reads)
        self.writes = Lane(writes)
        self._peaks = (0, 0)

    def lane(self, info: RequestInfo) -> Lane | None:
        """Where a request is counted; None for a long-running one."""
        if is_long_running(info):
            return None
        return self.reads if info.verb in _READS else self.writes

    @property
    def running(self) -> int:
        """How many requests are worked on."""
        return self.reads.running + self.writes.running

    def settle(self) -> None:
        """End a period: what is told of it are its peaks, as the moment of a scrape says little."""
        self._peaks = (self.reads.peak, self.writes.peak)
        for lane in (self.reads, self.writes):
            lane.peak = lane.running

    def register(self, registry: Registry) -> None:
        """Tell of it in `registry`."""
        registry.collect(
            "apiserver_current_inflight_requests",
            "[STABLE] The most requests that were worked on at a time in the last second, by kind.",
            lambda: zip((("readOnly",), ("mutating",)), map(float, self._peaks), strict=True),
            ("request_kind",),
        )


def too_many_requests() -> Response:
    """The answer to who is turned away."""
    body = b"Too many requests, please try again later.\n"
    headers = (("Retry-After", "1"), ("X-Content-Type-Options", "nosniff"))
    return Response(429, body, "text/plain; charset=utf-8", headers)
