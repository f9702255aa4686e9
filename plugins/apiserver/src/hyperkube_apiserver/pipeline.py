"""The steps that every request passes, in order.

    request info → authenticate → impersonate → authorize → route → negotiate → handle → dress

Every refusal is an APIError, which knows its Status.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence

from hyperkube_apiserver.authn import Authenticator, Identity, ignored_credentials_warning
from hyperkube_apiserver.authz import Authorizer, ResourceAttributes, forbidden, impersonate
from hyperkube_apiserver.authz.escalation import Escalation
from hyperkube_apiserver.authz.rbac import GROUP as RBAC_GROUP
from hyperkube_apiserver.call import Call
from hyperkube_apiserver.deadlines import Deadlines, Late
from hyperkube_apiserver.handlers.nonresource import NonResource
from hyperkube_apiserver.handlers.router import Router
from hyperkube_apiserver.parameters import timeout_seconds
from hyperkube_apiserver.printers import error_media_type, negotiate
from hyperkube_apiserver.registry.generic import Guard
from hyperkube_apiserver.requestinfo import RequestInfo, parse_query, request_info
from hyperkube_apiserver.rewriting import as_yaml, indented, wants_indentation
from hyperkube_apiserver.storage.interface import Unavailable
from hyperkube_core import verbose
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.eager import eagerly
from hyperkube_machinery.serving.messages import Answer, Request, Response

__all__ = ["Pipeline"]

log = logging.getLogger(__name__)

_REQUEST_VERBOSITY = 3
_REQUEST_LEVEL = logging.INFO - _REQUEST_VERBOSITY  # a level asked for before anything is put together
_PLAIN_ACCEPTS = ("", "*/*", "application/json")
_NO_STORE = ("Cache-Control", "no-cache, private")
_WARNING_BYTES = 4096
_LONG_BYTES = 8192
"""From here on it takes some five milliseconds to make YAML of JSON: too long for the others."""
_TOO_LATE = "Timeout: request did not complete within the allotted timeout"


class Pipeline:
    """Answers requests; it is the handler of the HTTP server."""

    def __init__(
        self,
        authenticator: Authenticator,
        authorizer: Authorizer,
        escalation: Escalation | None,
        router: Router,
        nonresource: NonResource,
        *,
        clock: Clock,
        longest_seconds: float,
    ) -> None:
        self._clock = clock
        self._timeout_seconds = longest_seconds
        self._deadlines = Deadlines(clock, longest_seconds)
        self._escalation = escalation
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._router = router
        self._nonresource = nonresource

    def __call__(self, request: Request) -> Answer | Awaitable[Answer]:
        """Answer at once what needs no waiting, as most reads don't."""
        answer = eagerly(self._answer(request))
        return self._in_time(request, answer) if isinstance(answer, Awaitable) else answer

    async def _in_time(self, request: Request, pending: Awaitable[Answer]) -> Answer:
        """Give up on an answer that takes too long; what it has begun to write may still come to pass."""
        query = parse_query(request.query)
        asked = timeout_seconds(query)
        shorter = asked is not None and 0 < asked < self._timeout_seconds
        deadlines = Deadlines(self._clock, asked) if asked is not None and shorter else self._deadlines
        try:
            return await deadlines.keep(pending)
        except Late:
            refusal = _refusal(request, APIError.of(504, "Timeout", _TOO_LATE, {}))
            return await _dressed(request, query.get("pretty"), refusal, _warnings(request, None), is_resource=True)

    async def _answer(self, request: Request) -> Answer:
        began = self._clock.monotonic()
        query = parse_query(request.query)
        info = request_info(request.method, request.path, query)
        call: Call | None = None
        try:
            timeout_seconds(query)  # for its refusal: an answer that is had at once needs no time
            identity = impersonate(self._authenticator.authenticate(request), request.headers, self._authorizer, info)
            decision = self._authorizer.authorize(identity, info)
            if not decision.allowed:
                raise forbidden(identity, info, decision.reason)
            call = Call(request, info, query, identity, guard=self._guard(identity, info))
            if info.is_resource:
                answer = await self._router.answer(call, lambda: self._check_create(identity, info))
            else:
                answer = await self._nonresource.answer(request, query)
        except APIError as error:
            answer = _refusal(request, error)
        except Unavailable as exc:
            log.error("%s %s: %s", request.method, request.path, exc)
            answer = _refusal(request, APIError.internal(str(exc)))
        if log.isEnabledFor(_REQUEST_LEVEL):
            self._log(request, info, answer, began)
        warnings = _warnings(request, call)
        return await _dressed(request, query.get("pretty"), answer, warnings, is_resource=info.is_resource)

    def _log(self, request: Request, info: RequestInfo, answer: Answer, began: float) -> None:
        """Tell of a request in upstream's words. Source: k8s.io/apiserver/pkg/server/httplog."""
        verbose(
            log,
            _REQUEST_VERBOSITY,
            "HTTP",
            verb=info.verb,
            URI=f"{request.path}?{request.query}" if request.query else request.path,
            latency=f"{(self._clock.monotonic() - began) * 1000:.3f}ms",
            userAgent=request.headers.get("user-agent", ""),
            srcIP=request.connection.peer_address,
            resp=getattr(answer, "status", 101),
        )

    def _guard(self, identity: Identity, info: RequestInfo) -> Guard | None:
        """What keeps writers of roles and bindings from giving away more than they have."""
        escalation = self._escalation
        if escalation is None or info.group != RBAC_GROUP or not info.is_resource:
            return None
        return lambda tree, old: escalation.check(identity, info, tree, old)

    def _check_create(self, identity: Identity, info: RequestInfo) -> None:
        """An update that makes an object is a creation too."""
        wanted = ResourceAttributes(
            verb="create",
            group=info.group,
            resource=info.resource,
            subresource=info.subresource,
            namespace=info.namespace,
            name=info.name,
        )
        decision = self._authorizer.authorize(identity, wanted)
        if not decision.allowed:
            raise forbidden(identity, wanted, decision.reason)


def _refusal(request: Request, error: APIError) -> Response:
    response = Response(error.code, encode(error.status), headers=error.headers)
    if error_media_type(request.headers.get("accept", "")) == "application/yaml":
        return as_yaml(response)
    return response


def _warnings(request: Request, call: Call | None) -> list[str]:
    ignored = ignored_credentials_warning(request.headers)
    warnings = list(call.warnings) if call is not None else []
    return [ignored, *warnings] if ignored else warnings


async def _dressed(
    request: Request, pretty: Sequence[str] | None, answer: Answer, warnings: Sequence[str], *, is_resource: bool
) -> Answer:
    """The answer with the headers that all have, laid out as the client wants it."""
    headers = list(answer.headers)
    if not any(name == "Cache-Control" for name, _ in headers):
        headers.append(_NO_STORE)
    left = _WARNING_BYTES
    for text in warnings:
        value = _warning(text)
        left -= len(value)
        if left >= 0:
            headers.append(("Warning", value))
    answer.headers = headers
    if not isinstance(answer, Response) or answer.content_type != "application/json":
        return answer
    accept = request.headers.get("accept", "")
    if is_resource and accept not in _PLAIN_ACCEPTS and answer.status < 400:
        representation = negotiate(accept)
        if representation.media_type == "application/yaml":
            return await asyncio.to_thread(as_yaml, answer) if _is_long(answer) else as_yaml(answer)
        if representation.pretty:
            return indented(answer)
    if wants_indentation(pretty[0] if pretty else None, request.headers.get("user-agent", "")):
        return indented(answer)
    return answer


def _is_long(response: Response) -> bool:
    body = response.body
    return (len(body) if isinstance(body, bytes) else sum(map(len, body))) > _LONG_BYTES


def _warning(text: str) -> str:
    """The value of a Warning header. Source: RFC 7234, 5.5; k8s.io/apimachinery/pkg/util/net (NewWarningHeader)."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'
