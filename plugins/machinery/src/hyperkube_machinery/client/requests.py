"""Requests, tried again as often as it helps. Source: k8s.io/client-go/rest/{request,with_retry}.go"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hyperkube_machinery.client.refusals import error_of, retry_seconds
from hyperkube_machinery.client.transport import Incoming, Outgoing, RawResponse, Transport, Unreachable
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.ratelimit import TokenBucket

__all__ = ["Requester"]

log = logging.getLogger(__name__)

_TRIES = 11  # client-go's maxRetries is 10
_BROKEN_SECONDS = 1.0
"""Before a GET whose answer broke off is sent again."""

_LONGEST_WAIT_SECONDS = 60
"""A server that asks for more patience is told of to the caller, who has better to do."""

_SECONDS = 90.0
"""For a request that isn't a watch: longer than an API server gives it, so that it is the server who says no."""

Headers = Sequence[tuple[str, str]]


class Requester:
    """Sends requests on behalf of somebody, no more often than is allowed.

    An answer 429 or 5xx with Retry-After is waited out; of what broke off, only what reads is asked again.
    """

    def __init__(
        self, transport: Transport, *, server: str, headers: Headers, limiter: TokenBucket, clock: Clock, prefix: str
    ) -> None:
        self.server = server
        self._transport = transport
        self._headers = tuple(headers)
        self._limiter = limiter
        self._clock = clock
        self._prefix = prefix  # of paths, where the server isn't at its host's root

    async def succeed(self, method: str, target: str, headers: Headers, body: bytes = b"") -> RawResponse:
        """Like `ask`, but raises APIError for a refusal."""
        response = await self.ask(method, target, headers, body)
        if response.status >= 300:
            raise error_of(response)
        return response

    async def ask(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> RawResponse:
        """The answer, whichever. Raises Unreachable."""
        request = self._outgoing(method, target, headers, body, _SECONDS)
        for left in range(_TRIES - 1, -1, -1):
            await self._limiter.wait()
            try:
                response = await self._transport.ask(request)
            except Unreachable as exc:
                await self._bear(request, exc, left)
                continue
            if not await self._patient(response, left):
                break
        return response

    async def open(self, method: str, target: str, headers: Headers, *, seconds: float) -> Incoming:
        """The answer while it comes. Raises Unreachable, and APIError for a refusal."""
        request = self._outgoing(method, target, headers, b"", seconds)
        for left in range(_TRIES - 1, -1, -1):
            await self._limiter.wait()
            try:
                incoming = await self._transport.open(request)
                if incoming.status < 300:
                    return incoming
                response = await _whole(incoming)
            except Unreachable as exc:
                await self._bear(request, exc, left)
                continue
            if not await self._patient(response, left):
                break
        raise error_of(response)

    def _outgoing(self, method: str, target: str, headers: Headers, body: bytes, seconds: float) -> Outgoing:
        return Outgoing(method, self._prefix + target, (*self._headers, *headers), body, seconds)

    async def _bear(self, request: Outgoing, exc: Unreachable, left: int) -> None:
        """Wait after what broke off, or raise it."""
        if not (exc.broke_off and request.method == "GET" and left):
            raise exc
        await self._clock.sleep(_BROKEN_SECONDS)

    async def _patient(self, response: RawResponse, left: int) -> bool:
        """Wait as `response` asks; False where it doesn't, or it has been enough."""
        seconds = retry_seconds(response)
        if seconds is None or seconds > _LONGEST_WAIT_SECONDS or not left:
            return False
        log.debug("the server answers %d and asks to try again in %d seconds", response.status, seconds)
        await self._clock.sleep(seconds)
        return True


async def _whole(incoming: Incoming) -> RawResponse:
    try:
        pieces = []
        while piece := await incoming.read():
            pieces.append(piece)
    finally:
        incoming.close()
    return RawResponse(incoming.status, incoming.headers, b"".join(pieces))
