"""Decides what is told of each request, and counts it. Source: k8s.io/apiserver/pkg/audit (metrics.go), filters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import NoReturn

from hyperkube_apiserver.audit.events import Event, metadata_of
from hyperkube_apiserver.audit.policy import Policy
from hyperkube_apiserver.audit.sinks import Failures, Sink
from hyperkube_apiserver.audit.trail import RequestTrail
from hyperkube_apiserver.operations.requests import is_long_running
from hyperkube_apiserver.requestinfo import RequestInfo
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.identity import Identity
from hyperkube_machinery.serving.messages import Request
from hyperkube_machinery.serving.metrics import Registry

__all__ = ["AuditLog", "AuditMetrics"]

log = logging.getLogger(__name__)

_NAMED = 10
"""So many events that are lost are told of by their IDs."""


class AuditMetrics:
    """What is counted."""

    def __init__(self, registry: Registry) -> None:
        prefix = "apiserver_audit"
        self.events = registry.counter(
            f"{prefix}_event_total", "[ALPHA] Audit events that were made and handed on."
        ).labels()
        self._errors = registry.counter(
            f"{prefix}_error_total", "[ALPHA] Audit events that were not kept, by what failed.", ("plugin",)
        )
        self.levels = registry.counter(
            f"{prefix}_level_total", "[ALPHA] Requests, by how much the audit policy has told of them.", ("level",)
        )
        self.rejected = registry.counter(
            f"{prefix}_requests_rejected_total", "[ALPHA] Requests that were refused, for they could not be audited."
        ).labels()

    def failed(self, plugin: str, why: str, events: Collection[Event]) -> None:
        """Count events that were not kept, and say so; not what was in them, for this log is for other eyes."""
        self._errors.labels(plugin).value += len(events)
        named = ", ".join(f"{event['auditID']} ({event['stage']})" for event in list(events)[:_NAMED])
        log.error("%d audit events were not kept by %r: %s; they are %s", len(events), plugin, why, named)


class AuditLog:
    """An audit log as a policy wants it."""

    def __init__(self, policy: Policy, sink: Sink, metrics: AuditMetrics, clock: Clock) -> None:
        self._policy = policy
        self._sink = sink
        self._metrics = metrics
        self._clock = clock
        self._later: set[asyncio.Task[bool]] = set()

    @property
    def failed(self) -> Failures:
        return self._metrics.failed

    def begin(
        self, request: Request, info: RequestInfo, audit_id: str, sender: Identity | None, *, age_seconds: float
    ) -> RequestTrail | None:
        """The trail of a request that came so long ago; None where the policy wants nothing told of it."""
        ruling = self._policy.rule(info, sender)
        self._metrics.levels.labels(ruling.level).value += 1
        if not ruling.depth:
            return None
        now = self._clock.now
        received = now() - age_seconds
        event = metadata_of(request, info, audit_id, sender, ruling.level, received)
        return RequestTrail(
            *(ruling, event, self, now, received), long_running=is_long_running(info), unknown=sender is None
        )

    async def record(self, event: Event) -> bool:
        """Hand an event on; whether its request may go on."""
        self._metrics.events.value += 1
        kept = await self._sink.process([event])
        if not kept and event["stage"] == "RequestReceived":
            self._metrics.rejected.value += 1
        return kept

    def record_later(self, event: Event) -> None:
        """Hand an event on that nobody waits for."""
        task = asyncio.get_running_loop().create_task(self.record(event))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def run(self) -> NoReturn:
        """Keep what was handed on, until cancelled."""
        running = asyncio.create_task(self._sink.run())
        try:
            await asyncio.wait({running})
            running.result()
            raise AssertionError("a sink returned")
        finally:
            if self._later:
                await asyncio.wait(self._later)
            running.cancel()
            await asyncio.wait({running})
