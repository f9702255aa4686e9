"""Where the server is in its life, as requests and health checks see it, and its orderly end.

    starting ─▶ serving ──stop──▶ unready ──shutdown-delay-duration──▶ refusing ──▶ drained ──▶ closed
                                  /readyz fails, all else is served    new requests are sent away, the others finish

Source: k8s.io/apiserver/pkg/server/genericapiserver.go (RunWithContext), filters/waitgroup.go, with_retry_after.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import failure
from hyperkube_machinery.serving.messages import Request, Response

__all__ = ["POLL_SECONDS", "WATCHES_A_SECOND", "Lifecycle", "Shutdown", "shut_down"]

log = logging.getLogger(__name__)

WATCHES_A_SECOND = 200.0
"""So many watches are ended a second, at least, where they are ended one after another."""

_EXEMPT_PATHS = ("/readyz", "/livez", "/healthz", "/metrics")
_EXEMPT_AGENT = "kube-apiserver/"
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """How the server ends."""

    delay_seconds: float = 0.0
    """For so long everything is served still, but /readyz fails."""
    send_retry_after: bool = False
    """Whether to listen until requests have finished, and answer new ones with 429."""
    watch_grace_seconds: float = 0.0
    """Over how long watches are ended, one after another, so that not all come back at once; 0 ends them at once."""
    drain_seconds: float = 20.0
    """What takes longer is dropped."""


class Lifecycle:
    """How far the server has come."""

    __slots__ = ("_begun", "_retry", "refusing", "stopping")

    def __init__(self) -> None:
        self.stopping = False  # not ready any more
        self.refusing = False  # new requests are sent away
        self._retry = False
        self._begun: dict[str, bool] = {}

    def step(self, name: str) -> Callable[[], Awaitable[None]]:
        """The check of a step of the start, which fails until `done`."""
        self._begun.setdefault(name, False)

        async def check() -> None:
            if not self._begun[name]:
                raise RuntimeError("not finished")

        return check

    def done(self, *names: str) -> None:
        """Tell that steps of the start are done."""
        self._begun.update(dict.fromkeys(names, True))

    async def check(self) -> None:
        """The check `shutdown` of /readyz."""
        if self.stopping:
            raise RuntimeError("process is shutting down")

    def refuse(self, *, retry: bool) -> None:
        """Send requests away from now on: with 429 if they are to be tried again elsewhere, else with 503."""
        self.refusing = True
        self._retry = retry

    def refusal(self, request: Request) -> Response | None:
        """The answer to a request that came too late; None for probes and scrapes, which are served to the last."""
        agent = request.headers.get("user-agent", "")
        if request.path.startswith(_EXEMPT_PATHS) or agent.startswith(_EXEMPT_AGENT):
            return None
        if self._retry:
            body = b"The apiserver is shutting down, please try again later.\n"
            headers = (("Retry-After", "5"), ("Connection", "close"), ("X-Content-Type-Options", "nosniff"))
            return Response(429, body, "text/plain; charset=utf-8", headers)
        status = failure(503, "ServiceUnavailable", "apiserver is shutting down")
        return Response(
            503, encode(status) + b"\n", headers=(("Retry-After", "1"), ("X-Content-Type-Options", "nosniff"))
        )


async def shut_down(
    lifecycle: Lifecycle,
    how: Shutdown,
    clock: Clock,
    *,
    running: Callable[[], int],
    end_watches: Callable[[float], Awaitable[None]],
    drain: Callable[[float], Awaitable[None]],
) -> None:
    """Bring the server to its end in order.

    `running` tells how many requests are worked on; `end_watches` ends watches over up to so many seconds; `drain`
    closes the listener and then, as they finish, the connections, for so many seconds at most.
    """
    lifecycle.stopping = True
    if how.delay_seconds > 0:
        log.info("stopping: not ready for %g s, then no new requests", how.delay_seconds)
        await clock.sleep(how.delay_seconds)
    lifecycle.refuse(retry=how.send_retry_after)
    if how.send_retry_after:
        await asyncio.gather(end_watches(how.watch_grace_seconds), _idle(running, how.drain_seconds, clock))
        await drain(how.drain_seconds)
    else:
        longest = max(how.drain_seconds, how.watch_grace_seconds)
        await asyncio.gather(end_watches(how.watch_grace_seconds), drain(longest))


async def _idle(running: Callable[[], int], seconds: float, clock: Clock) -> None:
    """Return once no request is worked on, after `seconds` at the latest."""
    end = clock.monotonic() + seconds
    while running() and clock.monotonic() < end:
        await clock.sleep(POLL_SECONDS)
