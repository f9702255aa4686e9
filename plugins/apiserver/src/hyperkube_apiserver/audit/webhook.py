"""A server that events are sent to. Source: k8s.io/apiserver/plugin/pkg/audit/webhook."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hyperkube_apiserver.audit.events import Event
from hyperkube_apiserver.audit.sinks import Failures
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_apiserver.webhooks.kubeconfigs import KubeconfigWebhook
from hyperkube_machinery.clock import Clock

__all__ = ["WebhookSink"]

_TIMEOUT_SECONDS = 30.0


class WebhookSink:
    """Sends events as lists; whatever goes wrong, it tries again a few times."""

    def __init__(self, path: Path, clock: Clock, failed: Failures, *, first_pause_seconds: float) -> None:
        """Raises KubeconfigError and CertificateError for what can't be used."""
        self._failed = failed
        self._webhook = KubeconfigWebhook.read(
            path, clock, timeout_seconds=_TIMEOUT_SECONDS, first_pause_seconds=first_pause_seconds
        )

    async def process(self, events: Sequence[Event]) -> bool:
        bare = [{field: value for field, value in one.items() if field not in ("kind", "apiVersion")} for one in events]
        listed = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": bare}
        try:
            await self._webhook.send(listed)
        except CallFailed as exc:
            self._failed("webhook", str(exc), events)
            return False
        return True

    async def run(self) -> NoReturn:
        try:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("a future that nobody sets has a result")
        finally:
            self._webhook.close()
