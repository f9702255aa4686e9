"""Whether the proxy works, for who asks by HTTP: of all of it at /healthz, of one service at its health check port.

Source: k8s.io/kubernetes/pkg/proxy/healthcheck.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.timestamps import format_micro
from hyperkube_proxy.model import Family, PortName, ServiceName
from hyperkube_proxy.parts import Routes

__all__ = ["Health", "ServiceHealth"]

log = logging.getLogger(__name__)

_TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
_NO_SNIFF = (("X-Content-Type-Options", "nosniff"),)


class Health:
    """Healthy is a proxy none of whose changes waits longer than `timeout_seconds` to be made effective."""

    def __init__(self, clock: Clock, *, timeout_seconds: float) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._queued_at: float | None = None  # the oldest change that waits, on the monotonic clock
        self._updated_at = clock.now()
        self._families: Sequence[Family] = ("IPv4",)
        self.node: Mapping[str, Any] | None = None

    def use(self, families: Sequence[Family]) -> None:
        """Tell of these, which are brought in step at once."""
        self._families = families

    def queued(self) -> None:
        if self._queued_at is None:
            self._queued_at = self._clock.monotonic()

    def updated(self) -> None:
        self._queued_at = None
        self._updated_at = self._clock.now()

    @property
    def healthy(self) -> bool:
        return self._queued_at is None or self._clock.monotonic() - self._queued_at < self._timeout_seconds

    @property
    def node_eligible(self) -> bool:
        """Whether load balancers may send traffic here: the node is not about to go."""
        if self.node is None or self.node["metadata"].get("deletionTimestamp"):
            return False
        taints = (self.node.get("spec") or {}).get("taints") or ()
        return all(taint["key"] != _TO_BE_DELETED for taint in taints)

    def answer(self, path: str) -> Response:
        """To GET /healthz or /livez; the latter leaves the node out of it."""
        healthy, now = self.healthy, self._clock.now()
        body: dict[str, Any] = {"lastUpdated": self._updated_at, "currentTime": now}
        if path == "/healthz":
            eligible = self.node_eligible
            body["nodeEligible"] = eligible
        else:
            eligible = True
        if healthy and eligible:
            body["lastUpdated"] = now
        body["healthy"] = healthy
        each = {"lastUpdated": self._updated_at, "healthy": healthy}
        body["status"] = dict.fromkeys(self._families, each)
        text = json.dumps(_timed(body), separators=(",", ":"))
        return Response(200 if healthy and eligible else 503, text.encode(), headers=_NO_SNIFF)


def _timed(value: Any) -> Any:
    """With timestamps as Go writes them."""
    if isinstance(value, dict):
        return {key: _timed(inner) for key, inner in value.items()}
    return format_micro(value) if isinstance(value, float) else value


_Port = tuple[ServiceName, Family]


class ServiceHealth:
    """A port in each family for each service whose load balancer asks which nodes have endpoints of it."""

    def __init__(
        self,
        clock: Clock,
        health: Health,
        hosts: Mapping[Family, Sequence[str]],
        *,
        on_failure: Callable[[ServiceName, str], None],
    ) -> None:
        """`hosts` are the addresses to listen on; a service in a family that has none has no port there."""
        self._clock = clock
        self._health = health
        self._hosts = hosts
        self._on_failure = on_failure
        self._ports: dict[_Port, int] = {}  # as they are wanted
        self._stacks: dict[_Port, AsyncExitStack] = {}
        self._endpoints: dict[_Port, int] = {}

    async def sync(self, routes: Routes, changed: Collection[PortName] | None) -> None:
        """Follow `routes`; a port that can't be had is told of and tried again at the next change of its service."""
        wanted, self._endpoints = _wanted(routes)
        wanted = {key: port for key, port in wanted.items() if key[1] in self._hosts}
        again = {(name.service_name, name.family) for name in changed} if changed is not None else set(wanted)
        for key in list(self._ports):
            if wanted.get(key) != self._ports[key]:
                await self._close(key)
        for key, port in wanted.items():
            if key not in self._stacks and (key not in self._ports or key in again):
                self._ports[key] = port
                await self._open(key, port)

    async def close(self) -> None:
        for key in list(self._ports):
            await self._close(key)

    async def _open(self, key: _Port, port: int) -> None:
        service, family = key
        async with AsyncExitStack() as stack:
            for host in self._hosts[family]:
                server = HTTPServer(lambda request: self._answer(key, request), clock=self._clock)
                try:
                    await stack.enter_async_context(server.listening(host, port))
                except OSError as exc:
                    log.error("cannot open the health check port %d of %s: %s", port, service, exc)
                    self._on_failure(service, f"failed to start healthcheck {str(service)!r} on port {port}: {exc}")
                    return
            self._stacks[key] = stack.pop_all()

    async def _close(self, key: _Port) -> None:
        self._ports.pop(key, None)
        stack = self._stacks.pop(key, None)
        if stack is not None:
            await stack.aclose()

    def _answer(self, key: _Port, request: Request) -> Response:
        service, healthy, count = key[0], self._health.healthy, self._endpoints.get(key, 0)
        body = {
            "service": {"namespace": service.namespace, "name": service.name},
            "localEndpoints": count,
            "serviceProxyHealthy": healthy,
        }
        headers = (*_NO_SNIFF, ("X-Load-Balancing-Endpoint-Weight", str(count)))
        return Response(200 if count and healthy else 503, json.dumps(body, indent="\t").encode(), headers=headers)


def _wanted(routes: Routes) -> tuple[dict[_Port, int], dict[_Port, int]]:
    """The health check ports, and how many endpoints on this node each of their services has."""
    ports: dict[_Port, int] = {}
    addresses: dict[_Port, set[str]] = {}
    for name, route in routes.items():
        if route.port.health_check_node_port:
            key = name.service_name, name.family
            ports[key] = route.port.health_check_node_port
            ready = (endpoint.ip for endpoint in route.local if endpoint.ready and endpoint.local)
            addresses.setdefault(key, set()).update(ready)
    return ports, {key: len(found) for key, found in addresses.items()}
