"""What is counted and measured of each request for a resource.

    route(request, info, query) ─→ Route: the instruments of one verb, dry run, resource and scope, found once
        .answered(status, size, seconds)    a request with an end
        .opened(), then .closed(…)          a long-running one, which is counted when it ends

Requests that don't get as far as a served resource (401, 403, a path that nothing is at) are not counted, as upstream:
that keeps the number of label values bounded. Source: k8s.io/apiserver/pkg/endpoints/metrics (MonitorRequest).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from hyperkube_apiserver.operations.instruments import DURATION_BOUNDS, SLI_BOUNDS, Instruments
from hyperkube_apiserver.requestinfo import Query, RequestInfo
from hyperkube_machinery.serving.messages import Request
from hyperkube_machinery.serving.metrics import Counter

__all__ = ["RequestMetrics", "Route", "is_long_running", "reported_verb", "system_client"]

COMPONENT = "apiserver"

_LONG_RUNNING_VERBS = frozenset(("watch", "proxy"))
_CONNECTED = frozenset(("log", "exec", "portforward", "attach", "proxy"))
_METHODS = {"get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH"}
_METHODS |= {"delete": "DELETE", "deletecollection": "DELETE", "head": "GET", "post": "POST", "put": "PUT"}
_PROBES = ("/healthz", "/livez", "/readyz")
_APPLY = "application/apply-patch+yaml"
_SYSTEM_CLIENTS = frozenset(
    ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "cluster-policy-controller")
)
_NOT_IN_SLI = len(DURATION_BOUNDS) - len(SLI_BOUNDS)  # bounds below the first of the SLI's


def is_long_running(info: RequestInfo) -> bool:
    """Whether a request goes on for as long as its client likes. Source: cmd/kube-apiserver/app, BuildGenericConfig."""
    return info.verb in _LONG_RUNNING_VERBS or (info.is_resource and info.subresource in _CONNECTED)


def reported_verb(request: Request, info: RequestInfo) -> str:
    """The verb as metrics and the access log have it; "" for one that a resource can't be asked for."""
    if info.is_resource and info.subresource in _CONNECTED:
        return "CONNECT"
    if info.verb == "patch" and request.headers.get("content-type") == _APPLY:
        return "APPLY"
    return _METHODS.get(info.verb, "" if info.is_resource else request.method)


class Route:
    """The instruments of requests that differ in their status alone."""

    __slots__ = ("_codes", "_durations", "_instruments", "_labels", "_long_running", "_rest", "_sizes", "_sli", "_verb")

    def __init__(self, instruments: Instruments, verb: str, dry_run: str, rest: tuple[str, ...]) -> None:
        self._instruments = instruments
        self._verb = verb
        self._rest = rest
        self._labels = (verb, dry_run, *rest)
        self._codes: dict[tuple[int, str], Counter] = {}
        self._durations = instruments.durations.labels(*self._labels)
        self._sli = None if dry_run else instruments.sli_durations.labels(verb, *rest)
        self._sizes = instruments.sizes.labels(verb, *rest) if verb in ("GET", "LIST") else None
        self._long_running = instruments.long_running.labels(verb, *rest) if verb in ("WATCH", "CONNECT") else None

    def answered(self, status: int, size: int, seconds: float, client: str = "") -> None:
        """Count an answer of `size` bytes, given after `seconds`; `client` is what `system_client` says."""
        counter = self._codes.get((status, client))
        if counter is None:
            counter = self._instruments.requests.labels(*self._labels, str(status), client)
            self._codes[status, client] = counter
        counter.value += 1
        # One search finds the bucket of both.
        bucket = bisect_left(DURATION_BOUNDS, seconds)
        durations = self._durations
        durations.counts[bucket] += 1
        durations.sum += seconds
        sli = self._sli
        if sli is not None:
            sli.counts[bucket - _NOT_IN_SLI if bucket > _NOT_IN_SLI else 0] += 1
            sli.sum += seconds
        if self._sizes is not None:
            self._sizes.observe(size)

    def terminated(self, status: int) -> None:
        """Count a request that the server gave up to protect itself."""
        self._instruments.terminations.labels(self._verb, *self._rest, str(status)).inc()

    def dropped(self, status: int) -> None:
        """Count a request that was refused for there being too many."""
        self._instruments.requests.labels(*self._labels, str(status), "").inc()
        self.terminated(status)

    def opened(self) -> None:
        """Count a long-running request as open."""
        if self._long_running is not None:
            self._long_running.inc()

    def closed(self, status: int, seconds: float, client: str = "") -> None:
        """Count a long-running request that has ended."""
        if self._long_running is not None:
            self._long_running.dec()
        self.answered(status, 0, seconds, client)


class RequestMetrics:
    """Finds the route of a request."""

    def __init__(
        self, instruments: Instruments, knows: Callable[[RequestInfo], bool], deprecated: Callable[[RequestInfo], bool]
    ) -> None:
        """`knows` tells whether a request is for something that is served, `deprecated` whether not for long."""
        self._deprecated = deprecated
        self._instruments = instruments
        self._knows = knows
        self._routes: dict[tuple[object, ...], Route] = {}
        self._probes = {path: Route(instruments, "GET", "", ("", "", "", path, "", "")) for path in _PROBES}

    def route(self, request: Request, info: RequestInfo, query: Query) -> Route | None:
        """The instruments of `request`, or None if its like isn't counted."""
        if not info.is_resource:
            return self._probes.get(info.path) if info.verb == "get" else None
        dry_run = _dry_run(query) if "dryRun" in query else ""
        apply = info.verb == "patch" and request.headers.get("content-type") == _APPLY
        names, namespaced = info.names_object, info.in_namespace
        key = (info.verb, info.group, info.version, info.resource, info.subresource, names, namespaced, dry_run, apply)
        return self._routes.get(key) or self._new_route(key, request, info, dry_run)

    def _new_route(self, key: tuple[object, ...], request: Request, info: RequestInfo, dry_run: str) -> Route | None:
        verb = reported_verb(request, info)
        if not verb or info.rest or not self._knows(info):
            return None
        rest = (info.group, info.version, info.resource, info.subresource, _scope(info), COMPONENT)
        if self._deprecated(info):
            self._instruments.deprecated.labels(*rest[:4], "").set(1)
        route = self._routes[key] = Route(self._instruments, verb, dry_run, rest)
        return route


def system_client(user_agent: str) -> str:
    """The system's component that a user agent names; "" for all others."""
    if not user_agent.startswith(("kube-", "cluster-")):
        return ""
    name, slash, _ = user_agent.partition("/")
    return name if slash and name in _SYSTEM_CLIENTS else ""


def _scope(info: RequestInfo) -> str:
    if info.names_object or info.verb == "create":
        return "resource"
    return "namespace" if info.in_namespace else "cluster"


def _dry_run(query: Query) -> str:
    """What was asked for, if it is one of what can be."""
    asked = set(query.get("dryRun", ()))
    return ",".join(sorted(asked)) if asked <= {"", "All"} and len(asked) == 1 else "invalid"
