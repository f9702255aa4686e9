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
from hyperkube_proxy.model import PortName, ServiceName
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
        self.node: Mapping[str, Any] | None = None

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
        body["status"] = {"IPv4": {"lastUpdated": self._updated_at, "healthy": healthy}}
        text = json.dumps(_timed(body), separators=(",", ":"))
        return Response(200 if healthy and eligible else 503, text.encode(), headers=_NO_SNIFF)


def _timed(value: Any) -> Any:
    """With timestamps as Go writes them."""
    if isinstance(value, dict):
        return {key: _timed(inner) for key, inner in value.items()}
    return format_micro(value) if isinstance(value, float) else value


class ServiceHealth:
    """A port for each service whose load balancer asks which nodes have endpoints of it."""

    def __init__(
        self,
        clock: Clock,
        health: Health,
        hosts: Sequence[str],
        *,
        on_failure: Callable[[ServiceName, str], None],
    ) -> None:
        self._clock = clock
        self._health = health
        self._hosts = tuple(hosts)
        self._on_failure = on_failure
        self._ports: dict[ServiceName, int] = {}  # as they are wanted
        self._stacks: dict[ServiceName, AsyncExitStack] = {}
        self._endpoints: dict[ServiceName, int] = {}

    async def sync(self, routes: Routes, changed: Collection[PortName] | None) -> None:
        """Follow `routes`; a port that can't be had is told of and tried again at the next change of its service."""
        wanted, endpoints = _wanted(routes)
        self._endpoints = endpoints
        again = {name.service_name for name in changed} if changed is not None else set(wanted)
        for service in list(self._ports):
            if wanted.get(service) != self._ports[service]:
                await self._close(service)
        for service, port in wanted.items():
            if service not in self._stacks and (service not in self._ports or service in again):
                self._ports[service] = port
                await self._open(service, port)

    async def close(self) -> None:
        for service in list(self._ports):
            await self._close(service)

    async def _open(self, service: ServiceName, port: int) -> None:
        async with AsyncExitStack() as stack:
            for host in self._hosts:
                server = HTTPServer(lambda request: self._answer(service, request), clock=self._clock)
                try:
                    await stack.enter_async_context(server.listening(host, port))
                except OSError as exc:
                    log.error("cannot open the health check port %d of %s: %s", port, service, exc)
                    self._on_failure(service, f"failed to start healthcheck {str(service)!r} on port {port}: {exc}")
                    return
            self._stacks[service] = stack.pop_all()

    async def _close(self, service: ServiceName) -> None:
        self._ports.pop(service, None)
        stack = self._stacks.pop(service, None)
        if stack is not None:
            await stack.aclose()

    def _answer(self, service: ServiceName, request: Request) -> Response:
        count, healthy = self._endpoints.get(service, 0), self._health.healthy
        body = {
            "service": {"namespace": service.namespace, "name": service.name},
            "localEndpoints": count,
            "serviceProxyHealthy": healthy,
        }
        headers = (*_NO_SNIFF, ("X-Load-Balancing-Endpoint-Weight", str(count)))
        return Response(200 if count and healthy else 503, json.dumps(body, indent="\t").encode(), headers=headers)


def _wanted(routes: Routes) -> tuple[dict[ServiceName, int], dict[ServiceName, int]]:
    """The health check ports, and how many endpoints on this node each of their services has."""
    ports: dict[ServiceName, int] = {}
    addresses: dict[ServiceName, set[str]] = {}
    for name, route in routes.items():
        if route.port.health_check_node_port:
            service = name.service_name
            ports[service] = route.port.health_check_node_port
            ready = (endpoint.ip for endpoint in route.local if endpoint.ready and endpoint.local)
            addresses.setdefault(service, set()).update(ready)
    return ports, {service: len(found) for service, found in addresses.items()}
