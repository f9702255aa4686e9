"""The front desk: what every request passes before and after it is answered, for those who run the server.

    receive ─→ Visit ─ admit ─→ (answered elsewhere) ─ leave ─ dismiss ─→ metrics, access log

A visit has a name, the audit ID; it is counted while it is worked on, sent away where there are too many, and told of
once it is answered; that of a watch, once it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from hyperkube_apiserver.auditing import Trail
from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.operations.accesslog import AuditIDs, enabled, log_request
from hyperkube_apiserver.operations.inflight import InFlight, Lane
from hyperkube_apiserver.operations.instruments import Instruments
from hyperkube_apiserver.operations.lifecycle import Lifecycle
from hyperkube_apiserver.operations.requests import RequestMetrics, Route, reported_verb, system_client
from hyperkube_apiserver.requestinfo import Query, RequestInfo, parse_query, request_info
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.serving.compression import body_size
from hyperkube_machinery.serving.messages import Answer, BodyWriter, Request, Response, StreamingResponse

__all__ = ["Desk", "Visit"]

_SETTLE_SECONDS = 1.0
_TOLD_NAMES = frozenset(("admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"))
_KINDS_OF_NAMES = ("email_id", "other")
"""Names of users are not told in metrics, but for those that upstream tells."""


class Visit:
    """A request on its way through the server."""

    __slots__ = ("_lane", "audit_id", "authorized", "began", "info", "query", "request", "trail")

    def __init__(self, request: Request, query: Query, info: RequestInfo, audit_id: str, began: float) -> None:
        self.request = request
        self.query = query
        self.info = info
        self.audit_id = audit_id
        self.began = began  # on the monotonic clock
        self.authorized = False
        self.trail: Trail | None = None  # what is told of it, where an audit log is kept
        self._lane: Lane | None = None

    def enter(self, lane: Lane | None, groups: tuple[str, ...]) -> bool:
        """Whether there is room in `lane` for a member of `groups`."""
        if lane is None:
            return True
        if not lane.enter(groups):
            return False
        self._lane = lane
        return True

    def leave(self) -> None:
        """Make room; harmless for who never entered."""
        if self._lane is not None:
            self._lane.leave()
            self._lane = None


class Desk:
    """One server's."""

    def __init__(
        self,
        instruments: Instruments,
        clock: Clock,
        *,
        knows: Callable[[RequestInfo], bool],
        deprecated: Callable[[RequestInfo], bool],
        in_flight: InFlight | None = None,
        lifecycle: Lifecycle | None = None,
    ) -> None:
        """`knows` tells whether a request is for something that is served, `deprecated` whether not for long."""
        self.in_flight = in_flight or InFlight()
        self.lifecycle = lifecycle or Lifecycle()
        self._clock = clock
        self._monotonic = clock.monotonic
        self._audit_ids = AuditIDs()
        self._metrics = RequestMetrics(instruments, knows, deprecated)
        self._users = {name: instruments.authenticated_users.labels(name) for name in (*_TOLD_NAMES, *_KINDS_OF_NAMES)}
        self._authenticated = instruments.authentications.labels("success")
        self._unauthenticated = instruments.authentications.labels("failure")
        self._allowed = instruments.authorizations.labels("allowed")
        self._not_allowed = instruments.authorizations.labels("no-opinion")
        self.in_flight.register(instruments.registry)

    def receive(self, request: Request) -> Visit:
        """Begin a visit."""
        query = parse_query(request.query)
        info = request_info(request.method, request.path, query)
        return Visit(request, query, info, self._audit_ids.of(request), self._monotonic())

    def admit(self, visit: Visit, identity: Identity) -> bool:
        """Whether `visit`, which is by `identity`, may be worked on; who is sent away is counted."""
        if visit.enter(self.in_flight.lane(visit.info), identity.groups):
            return True
        route = self._metrics.route(visit.request, visit.info, visit.query)
        if route is not None:
            route.dropped(429)
        return False

    def authenticated(self, identity: Identity | None, visit: Visit) -> float:
        """Tell that it was found out who sent a request, or (None) that it wasn't; returns the time."""
        now = self._monotonic()
        if identity is None:
            self._unauthenticated.observe(now - visit.began)
            return now
        self._authenticated.observe(now - visit.began)
        name = identity.name
        users = self._users
        (users.get(name) or users["email_id" if "@" in name else "other"]).value += 1
        return now

    def authorized(self, visit: Visit, began: float, *, allowed: bool) -> None:
        """Tell what came of the question to the authorizer that was asked at `began`."""
        visit.authorized = allowed
        (self._allowed if allowed else self._not_allowed).observe(self._monotonic() - began)

    def timed_out(self, visit: Visit) -> None:
        """Tell of a visit that took too long."""
        route = self._route(visit)
        if route is not None:
            route.terminated(504)

    def dismiss(self, visit: Visit, answer: Answer) -> None:
        """Tell of a visit that was answered with `answer`."""
        if isinstance(answer, StreamingResponse):
            self._accompany(visit, answer)
            return
        seconds = self._monotonic() - visit.began
        if isinstance(answer, Response):
            route = self._route(visit)
            if route is not None:
                client = system_client(visit.request.headers.get("user-agent", ""))
                route.answered(answer.status, body_size(answer.body), seconds, client)
        if enabled():
            self._log(visit, seconds, answer.status if isinstance(answer, Response) else None)

    def _accompany(self, visit: Visit, answer: StreamingResponse) -> None:
        """Have a streaming answer counted as open until it ends, and told of then."""
        produce = answer.produce
        route = self._route(visit)

        async def accompanied(writer: BodyWriter) -> None:
            if route is not None:
                route.opened()
            try:
                await produce(writer)
            finally:
                seconds = self._monotonic() - visit.began
                if route is not None:
                    client = system_client(visit.request.headers.get("user-agent", ""))
                    route.closed(answer.status, seconds, client)
                if enabled():
                    self._log(visit, seconds, answer.status)

        answer.produce = accompanied

    def _route(self, visit: Visit) -> Route | None:
        """Where a visit is counted; None if it did not come as far as to be answered by what it is for."""
        return self._metrics.route(visit.request, visit.info, visit.query) if visit.authorized else None

    def _log(self, visit: Visit, seconds: float, status: int | None) -> None:
        verb = reported_verb(visit.request, visit.info)
        log_request(visit.request, verb=verb, seconds=seconds, audit_id=visit.audit_id, status=status)

    async def keep_settled(self) -> NoReturn:
        """End a period of the in-flight counts every second, until cancelled."""
        while True:
            await self._clock.sleep(_SETTLE_SECONDS)
            self.in_flight.settle()
