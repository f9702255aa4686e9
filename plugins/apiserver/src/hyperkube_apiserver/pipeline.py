"""The steps that every request passes, in order.

    request info → authenticate → impersonate → count in flight → authorize → route → negotiate → handle → dress

Every refusal but those for lack of room is an APIError, which knows its Status.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import NoReturn

from hyperkube_apiserver.auditing import Auditor, Trail
from hyperkube_apiserver.authn import Authenticator, Identity, ignored_credentials_warning
from hyperkube_apiserver.authz import (
    Decision,
    LastModes,
    ReviewingAuthorizer,
    deciding,
    forbidden,
    impersonate,
    impersonates,
    require_create,
)
from hyperkube_apiserver.authz.bindings import GROUP as RBAC_GROUP
from hyperkube_apiserver.authz.escalation import Escalation
from hyperkube_apiserver.authz.forbidden import quote
from hyperkube_apiserver.call import Call
from hyperkube_apiserver.deadlines import Deadlines, Late, in_time
from hyperkube_apiserver.handlers.nonresource import NonResource
from hyperkube_apiserver.handlers.router import Router
from hyperkube_apiserver.operations.desk import Desk, Visit
from hyperkube_apiserver.operations.inflight import too_many_requests
from hyperkube_apiserver.parameters import timeout_seconds
from hyperkube_apiserver.printers import PROTOBUF, YAML, error_media_type, negotiate
from hyperkube_apiserver.registry.generic import Guard
from hyperkube_apiserver.requestinfo import RequestInfo
from hyperkube_apiserver.rewriting import as_protobuf, as_yaml, indented, wants_indentation
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.remembering import Latest
from hyperkube_machinery.serving.compression import accepts_gzip, body_size, compressed
from hyperkube_machinery.serving.eager import eagerly
from hyperkube_machinery.serving.messages import Answer, Request, Response
from hyperkube_machinery.storage.interface import NoSpace, Unavailable

__all__ = ["Pipeline"]

log = logging.getLogger(__name__)

_PLAIN_ACCEPTS = ("", "*/*", "application/json")
_READS = frozenset(("GET", "HEAD"))
_NO_STORE = ("Cache-Control", "no-cache, private")
_WARNING_BYTES = 4096
_REMEMBERED_REQUESTERS = 10_000
"""Of those that act as others."""
_LONG_BYTES = 8192
"""From here on it takes some five milliseconds to make YAML of JSON: too long for the others."""
_GZIP_BYTES = 128 * 1024
"""Above, answers are compressed. Source: k8s.io/apiserver/pkg/endpoints/handlers/responsewriters."""
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_UNAUDITED = "failed to store audit event"
_TOO_LATE = "Timeout: request did not complete within the allotted timeout"


class Pipeline:
    """Answers requests; it is the handler of the HTTP server."""

    def __init__(
        self,
        authenticator: Authenticator,
        authorizer: ReviewingAuthorizer,
        escalation: Escalation,
        router: Router,
        nonresource: NonResource,
        *,
        desk: Desk,
        clock: Clock,
        longest_seconds: float,
        auditor: Auditor | None = None,
    ) -> None:
        self.desk = desk
        self._clock = clock
        self._timeout_seconds = longest_seconds
        self._deadlines = Deadlines(clock, longest_seconds)
        self._escalation = escalation
        self._last_modes: LastModes = Latest(_REMEMBERED_REQUESTERS)
        self._auditor = auditor
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._router = router
        self._nonresource = nonresource

    def __call__(self, request: Request) -> Answer | Awaitable[Answer]:
        """Answer at once what needs no waiting, as most reads don't."""
        visit = self.desk.receive(request)
        answer = eagerly(self._answer(visit))
        return self._in_time(visit, answer) if isinstance(answer, Awaitable) else answer

    async def keep_deadlines(self) -> NoReturn:
        """Give up on what takes too long, until cancelled."""
        await self._deadlines.expire()

    async def _in_time(self, visit: Visit, pending: Awaitable[Answer]) -> Answer:
        """Give up on an answer that takes too long; what it has begun to write may still come to pass."""
        asked = timeout_seconds(visit.query)
        shorter = asked is not None and 0 < asked < self._timeout_seconds
        try:
            if asked is not None and shorter:
                return await in_time(self._clock, asked, pending)
            return await self._deadlines.keep(pending)
        except Late:
            refusal = _refusal(APIError.of(504, "Timeout", _TOO_LATE, {}))
            if visit.trail is not None:
                await visit.trail.answered(refusal)
            answer = await _dressed(visit, _as_accepted(visit.request, refusal), _warnings(visit.request, None))
            self.desk.timed_out(visit)
            self.desk.dismiss(visit, answer)
            return answer
        except asyncio.CancelledError:
            if visit.trail is not None:
                visit.trail.abandoned()
            raise

    async def _answer(self, visit: Visit) -> Answer:
        desk, request = self.desk, visit.request
        call: Call | None = None
        refusal: Response | None = None
        try:
            if desk.lifecycle.refusing and (goodbye := desk.lifecycle.refusal(request)) is not None:
                answer: Answer = goodbye
            else:
                timeout_seconds(visit.query)  # for its refusal: an answer that is had at once needs no time
                admitted = await self._admitted(visit)
                if not isinstance(admitted, Call):
                    answer = admitted
                else:
                    call = admitted
                    answer = await self._answer_to(call)
        except APIError as error:
            answer = refusal = _refusal(error)
        except NoSpace as exc:
            answer = refusal = _refusal(APIError.of(500, "", str(exc)))
        except Unavailable as exc:
            log.error("%s %s: %s", request.method, request.path, exc)
            answer = refusal = _refusal(APIError.internal(str(exc)))
        except Exception as exc:
            if visit.trail is not None:
                await visit.trail.panicked(exc)
            raise
        finally:
            visit.leave()
        if visit.trail is not None:
            await visit.trail.answered(answer)
        if answer is refusal:
            answer = _as_accepted(request, refusal)
        answer = await _dressed(visit, answer, _warnings(request, call), call)
        desk.dismiss(visit, answer)
        return answer

    async def _answer_to(self, call: Call) -> Answer:
        if not call.info.is_resource:
            delegate = self._router.elsewhere(call.request.path)
            if delegate is not None:
                return await delegate.answer(call)
            return await self._nonresource.answer(call.request, call.query)
        return await self._router.answer(call, lambda: require_create(self._authorizer, call.identity, call.info))

    async def _admitted(self, visit: Visit) -> Call | Response:
        """The call that a visit makes, once it is known whose it is and that he may; or why it is sent away.

        Waits only where the authenticator or the authorizer has to ask somebody else.
        """
        desk, request, info = self.desk, visit.request, visit.info
        try:
            sender = self._authenticator.authenticate(request)
            if not isinstance(sender, Identity):
                sender = await sender
        except APIError:
            desk.authenticated(None, visit)
            self._begin_trail(visit, None)
            raise
        began = desk.authenticated(sender, visit)
        trail = self._begin_trail(visit, sender)
        if trail is not None:
            trail.spent("authentication", began - visit.began)
            if not await trail.received():
                return _internal_error(visit, _UNAUDITED)
            began = self._clock.monotonic()
        identity = await self._impersonated(visit, sender) if impersonates(request.headers) else sender
        if trail is not None and identity is not sender:
            trail.spent("impersonation", self._clock.monotonic() - began)
            began = self._clock.monotonic()
            trail.impersonated(identity)
            mode = self._last_modes.get(sender.name)
            if mode is not None and mode.name:
                trail.constrained(f"impersonate:{mode.name}")
        if not desk.admit(visit, identity):
            return too_many_requests()
        authorizer = self._authorizer
        # Auditors are told why a request was allowed, which takes longer to find out.
        decision = (authorizer.explain if trail is not None else authorizer.authorize)(identity, info)
        if not isinstance(decision, Decision):
            decision = await decision
        desk.authorized(visit, began, allowed=decision.allowed)
        if trail is not None:
            trail.spent("authorization", self._clock.monotonic() - began)
            _note(trail, decision)
        if not decision.allowed:
            if decision.error:
                return _internal_error(visit, decision.error)
            raise forbidden(identity, info, decision.reason)
        call = Call(request, info, visit.query, identity, guard=self._guard(identity, info))
        if request.method not in _READS:
            call.ends = self._end(visit)
        if trail is not None:
            call.trail, call.annotate = trail, trail.annotate
        return call

    def _end(self, visit: Visit) -> float:
        """When a request is given up, on the monotonic clock. Raises APIError 400."""
        longest, asked = self._timeout_seconds, timeout_seconds(visit.query)
        return visit.began + (asked if asked and 0 < asked < longest else longest)

    def _begin_trail(self, visit: Visit, sender: Identity | None) -> Trail | None:
        """What is told of a visit from here on, if anything is."""
        auditor = self._auditor
        if auditor is not None:
            age = self._clock.monotonic() - visit.began
            visit.trail = auditor.begin(visit.request, visit.info, visit.audit_id, sender, age_seconds=age)
        return visit.trail

    async def _impersonated(self, visit: Visit, sender: Identity) -> Identity:
        """Whom a request acts as that says so. Raises APIError."""
        request, info, last = visit.request, visit.info, self._last_modes
        found = deciding(
            self._authorizer,
            lambda asked: impersonate(sender, request.headers, asked, info, request.repeated, last=last),
        )
        return found if isinstance(found, Identity) else await found

    def _guard(self, identity: Identity, info: RequestInfo) -> Guard | None:
        """What keeps writers of roles and bindings from giving away more than they have."""
        escalation = self._escalation
        if info.group != RBAC_GROUP or not info.is_resource:
            return None
        return lambda tree, old: escalation.check(identity, info, tree, old)


def _note(trail: Trail, decision: Decision) -> None:
    """Tell auditors what the authorizers decided, and why. Source: k8s.io/apiserver/pkg/endpoints/filters."""
    if decision.error and not decision.allowed:
        trail.annotate("authorization.k8s.io/reason", "internal error")
        return
    trail.annotate("authorization.k8s.io/decision", "allow" if decision.allowed else "forbid")
    trail.annotate("authorization.k8s.io/reason", decision.reason)


def _internal_error(visit: Visit, why: str) -> Response:
    """The answer where a step before the handler failed. Source: responsewriters.InternalError."""
    request = visit.request
    target = f"{request.path}?{request.query}" if request.query else request.path
    text = f"Internal Server Error: {quote(target)}: {why}".translate(_MARKUP) + "\n"
    return Response(500, text.encode(), "text/plain; charset=utf-8", [("X-Content-Type-Options", "nosniff")])


def _refusal(error: APIError) -> Response:
    return Response(error.code, encode(error.status), headers=error.headers)


def _as_accepted(request: Request, refusal: Response) -> Response:
    """A refusal in the form that its client reads."""
    media_type = error_media_type(request.headers.get("accept", ""))
    if media_type == YAML:
        return as_yaml(refusal)
    if media_type == PROTOBUF:
        return as_protobuf(refusal)
    return refusal


def _warnings(request: Request, call: Call | None) -> list[str]:
    ignored = ignored_credentials_warning(request.headers)
    warnings = list(call.warnings) if call is not None else []
    return [ignored, *warnings] if ignored else warnings


async def _dressed(visit: Visit, answer: Answer, warnings: Sequence[str], call: Call | None = None) -> Answer:
    """The answer with the headers that all have, laid out as the client wants it."""
    given = answer.headers
    headers = [("Audit-Id", visit.audit_id), *given] if given else [("Audit-Id", visit.audit_id), _NO_STORE]
    if given and not any(name == "Cache-Control" for name, _ in given):
        headers.append(_NO_STORE)
    if warnings:
        headers += _warning_headers(warnings)
    answer.headers = headers
    if not isinstance(answer, Response):
        return answer
    if answer.content_type == "application/json":
        laid_out = _laid_out(visit, answer, call)
        answer = laid_out if isinstance(laid_out, Response) else await laid_out
    return await compressed(answer) if _gains_by_gzip(visit.request, answer) else answer


def _gains_by_gzip(request: Request, answer: Response) -> bool:
    return (
        accepts_gzip(request.headers.get("accept-encoding", ""))
        and body_size(answer.body) > _GZIP_BYTES
        and not any(name == "Content-Encoding" for name, _ in answer.headers)
    )


def _warning_headers(warnings: Sequence[str]) -> list[tuple[str, str]]:
    """As many as fit, for clients bound the headers that they read."""
    headers = []
    left = _WARNING_BYTES
    for text in warnings:
        value = _warning(text)
        left -= len(value)
        if left >= 0:
            headers.append(("Warning", value))
    return headers


def _laid_out(visit: Visit, answer: Response, call: Call | None) -> Response | Awaitable[Response]:
    """A JSON answer as the client wants to read it."""
    accept = visit.request.headers.get("accept", "")
    if visit.info.is_resource and accept not in _PLAIN_ACCEPTS and answer.status < 400:
        representation = (call.layout if call is not None else None) or negotiate(accept)
        if representation.media_type == YAML:
            return asyncio.to_thread(as_yaml, answer) if _is_long(answer) else as_yaml(answer)
        if representation.media_type == PROTOBUF:
            return as_protobuf(answer)
        if representation.pretty:
            return indented(answer)
    pretty = visit.query.get("pretty")
    if wants_indentation(pretty[0] if pretty else None, visit.request.headers.get("user-agent", "")):
        return indented(answer)
    return answer


def _is_long(response: Response) -> bool:
    return body_size(response.body) > _LONG_BYTES


def _warning(text: str) -> str:
    """The value of a Warning header. Source: RFC 7234, 5.5; k8s.io/apimachinery/pkg/util/net (NewWarningHeader)."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'
