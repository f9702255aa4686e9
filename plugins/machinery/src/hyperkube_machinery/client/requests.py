"""Requests, tried again as often as it helps. Source: k8s.io/client-go/rest/{request,with_retry}.go"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hyperkube_machinery.client.credentials import Credentials
from hyperkube_machinery.client.metrics import Meter
from hyperkube_machinery.client.refusals import error_of, retry_seconds
from hyperkube_machinery.client.transport import Incoming, Outgoing, RawResponse, Transport, Unreachable
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.ratelimit import TokenBucket
from hyperkube_machinery.tls import CertificateError

__all__ = ["Requester"]

log = logging.getLogger(__name__)

_TRIES = 11  # client-go's maxRetries is 10
_BROKEN_SECONDS = 1.0
"""Before a GET whose answer broke off is sent again."""

_LONGEST_WAIT_SECONDS = 60
"""A server that asks for more patience is told of to the caller, who has better to do."""

_SECONDS = 90.0
"""For a request that isn't a watch: longer than an API server gives it, so that it is the server who says no."""

_BROKEN = 0
"""The status of what got no answer."""

Pairs = Sequence[tuple[str, str]]


class Requester:
    """Sends requests on behalf of somebody, no more often than is allowed.

    An answer 429 or 5xx with Retry-After is waited out; of what broke off, only what reads is asked again.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        *,
        server: str,
        host: str,
        prefix: str,
        user_agent: str,
        limiter: TokenBucket,
        clock: Clock,
        meter: Meter | None = None,
    ) -> None:
        self.server = server
        self.host = host  # with its port
        self._transport = transport
        self._credentials = credentials
        self._certificate = credentials.certificate  # as the transport shows it
        self._user_agent = (("user-agent", user_agent),)
        self._limiter = limiter
        self._clock = clock
        self._prefix = prefix  # of paths, where the server isn't at its host's root
        self._meter = meter

    async def succeed(self, method: str, target: str, headers: Pairs, body: bytes = b"") -> RawResponse:
        """Like `ask`, but raises APIError for a refusal."""
        response = await self.ask(method, target, headers, body)
        if response.status >= 300:
            raise error_of(response)
        return response

    async def ask(self, method: str, target: str, headers: Pairs = (), body: bytes = b"") -> RawResponse:
        """The answer, whichever. Raises ClientError."""
        for left in range(_TRIES - 1, -1, -1):
            request = await self._outgoing(method, target, headers, body, _SECONDS)
            began = self._clock.monotonic()
            try:
                response = await self._transport.ask(request)
            except Unreachable as exc:
                self._note(request, began, _BROKEN)
                await self._bear(request, exc, left)
                continue
            self._note(request, began, response.status, len(response.body))
            if not await self._patient(request, response, left):
                break
        return response

    async def open(self, method: str, target: str, headers: Pairs, *, seconds: float) -> Incoming:
        """The answer while it comes. Raises ClientError, and APIError for a refusal."""
        for left in range(_TRIES - 1, -1, -1):
            request = await self._outgoing(method, target, headers, b"", seconds)
            began = self._clock.monotonic()
            try:
                incoming = await self._transport.open(request)
                self._note(request, began, incoming.status)
                if incoming.status < 300:
                    return incoming
                response = await _whole(incoming)
            except Unreachable as exc:
                self._note(request, began, _BROKEN)
                await self._bear(request, exc, left)
                continue
            if not await self._patient(request, response, left):
                break
        raise error_of(response)

    async def _outgoing(self, method: str, target: str, headers: Pairs, body: bytes, seconds: float) -> Outgoing:
        """The request, once it may be sent, as who we are then."""
        waited = await self._limiter.wait()
        if self._meter is not None:
            self._meter.waited(method, waited)
        credentials = self._credentials.known()
        if credentials is None:
            credentials = await self._credentials.find()
        if self._credentials.certificate is not self._certificate:
            self._show(self._credentials.certificate)
        return Outgoing(method, self._prefix + target, (*self._user_agent, *credentials, *headers), body, seconds)

    def _show(self, certificate: tuple[bytes, bytes]) -> None:
        if certificate != self._certificate:
            try:
                self._transport.show(*certificate)
            except CertificateError as exc:  # half of a renewal, perhaps
                log.error("cannot use the renewed client certificate: %s", exc)
        self._certificate = certificate

    def _note(self, request: Outgoing, began: float, status: int, size: int | None = None) -> None:
        if status == 401:
            self._credentials.refused()
        if self._meter is not None:
            seconds = self._clock.monotonic() - began
            self._meter.answered(request.method, status, seconds, sent=len(request.body), received=size)

    async def _bear(self, request: Outgoing, exc: Unreachable, left: int) -> None:
        """Wait after what broke off, or raise it."""
        if not (exc.broke_off and request.method == "GET" and left):
            raise exc
        await self._again(request, _BROKEN, _BROKEN_SECONDS)

    async def _patient(self, request: Outgoing, response: RawResponse, left: int) -> bool:
        """Wait as `response` asks; False where it doesn't, or it has been enough."""
        seconds = retry_seconds(response)
        if seconds is None or seconds > _LONGEST_WAIT_SECONDS or not left:
            return False
        log.debug("the server answers %d and asks to try again in %d seconds", response.status, seconds)
        await self._again(request, response.status, seconds)
        return True

    async def _again(self, request: Outgoing, status: int, seconds: float) -> None:
        if self._meter is not None:
            self._meter.tried_again(request.method, status)
        await self._clock.sleep(seconds)


async def _whole(incoming: Incoming) -> RawResponse:
    try:
        pieces = []
        while piece := await incoming.read():
            pieces.append(piece)
    finally:
        incoming.close()
    return RawResponse(incoming.status, incoming.headers, b"".join(pieces))
