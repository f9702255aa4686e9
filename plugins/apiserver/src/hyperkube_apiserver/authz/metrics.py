"""What is counted of those who are asked about users and permissions; nothing is before the first of it happens.

Source: k8s.io/apiserver/plugin/pkg/authorizer/webhook/metrics, plugin/pkg/authenticator/token/oidc/metrics.go,
pkg/server/options/{authenticationconfig,authorizationconfig}/metrics.
"""

from __future__ import annotations

import hashlib
from functools import cached_property, partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyperkube_machinery.clock import Clock
    from hyperkube_machinery.serving.metrics import Counter, Family, Gauge, Histogram, Registry

__all__ = ["AccessMetrics"]

_WEBHOOK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_TOKEN_BUCKETS = (0.001, *_WEBHOOK_BUCKETS)
_BY_WEBHOOK = ("name", "result")
_BY_STATUS = ("status", "apiserver_id_hash")


class AccessMetrics:
    """One server's."""

    def __init__(self, registry: Registry, clock: Clock, server_id: str) -> None:
        self._registry = registry
        self._clock = clock
        self._server = _hashed(server_id)
        self._reloads: dict[str, tuple[Family[Counter], Family[Gauge]]] = {}

    # Webhooks that authorize

    def webhook(self, name: str) -> Callable[[str, float, bool], None]:
        """What is told of each answer of a webhook: the result, the seconds, and whether others are asked instead."""
        return partial(self._evaluated, name)

    def _evaluated(self, name: str, result: str, seconds: float, passed_over: bool) -> None:
        self._evaluations.labels(name, result).inc()
        self._durations.labels(name, result).observe(seconds)
        if passed_over:
            self._passed_over.labels(name, result).inc()

    @cached_property
    def _evaluations(self) -> Family[Counter]:
        told = "[ALPHA] Questions to webhooks that authorize, by what came of them."
        return self._registry.counter("apiserver_authorization_webhook_evaluations_total", told, _BY_WEBHOOK)

    @cached_property
    def _durations(self) -> Family[Histogram]:
        told = "[ALPHA] How long webhooks that authorize took to answer."
        name = "apiserver_authorization_webhook_duration_seconds"
        return self._registry.histogram(name, told, _BY_WEBHOOK, bounds=_WEBHOOK_BUCKETS)

    @cached_property
    def _passed_over(self) -> Family[Counter]:
        told = "[ALPHA] Questions to webhooks that were not answered, so that the next authorizer was asked."
        return self._registry.counter("apiserver_authorization_webhook_evaluations_fail_open_total", told, _BY_WEBHOOK)

    # Issuers of tokens

    def issuer(self, url: str) -> Callable[[bool, float], None]:
        """What is told of each token that is verified: whether it counts, and the seconds."""
        return partial(self._verified, _hashed(url))

    def _verified(self, issuer: str, well: bool, seconds: float) -> None:
        self._tokens.labels("success" if well else "failure", issuer).observe(seconds)

    @cached_property
    def _tokens(self) -> Family[Histogram]:
        told = "[ALPHA] How long it took to verify tokens of issuers that were not remembered."
        name, labels = "apiserver_authentication_jwt_authenticator_latency_seconds", ("result", "jwt_issuer_hash")
        return self._registry.histogram(name, told, labels, bounds=_TOKEN_BUCKETS)

    # Files that are read again

    def reloaded(self, what: str, *, well: bool) -> None:
        """Tell that the file about `what` (authentication, authorization) was read again."""
        if what not in self._reloads:
            prefix = f"apiserver_{what}_config_controller_automatic_reload"
            told = f"[BETA] Times that the configuration of {what} was read again."
            when = f"[BETA] When the configuration of {what} was last read again."
            counts = self._registry.counter(f"{prefix}s_total", told, _BY_STATUS)
            self._reloads[what] = counts, self._registry.gauge(f"{prefix}_last_timestamp_seconds", when, _BY_STATUS)
        counts, times = self._reloads[what]
        labels = ("success" if well else "failure", self._server)
        counts.labels(*labels).inc()
        times.labels(*labels).set(self._clock.now())


def _hashed(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
