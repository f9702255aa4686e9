"""What is counted of webhooks. Source: k8s.io/apiserver/pkg/admission/metrics."""

from __future__ import annotations

from hyperkube_machinery.serving.metrics import Registry

__all__ = ["Instruments"]

_LARGEST_CODE = 600
"""Codes are cut off there: a webhook can make up any number."""


class Instruments:
    """The families of one server, for mutating and validating webhooks alike."""

    def __init__(self, registry: Registry) -> None:
        sort = ("name", "type", "operation")
        self._durations = registry.histogram(
            "apiserver_admission_webhook_admission_duration_seconds",
            "[STABLE] How long webhooks of admission took, in seconds.",
            (*sort, "rejected"),
            bounds=(0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10, 25),
        )
        self._rejections = registry.counter(
            "apiserver_admission_webhook_rejection_count",
            "[ALPHA] Requests that were refused because of a webhook.",
            (*sort, "error_type", "rejection_code"),
        )
        self._requests = registry.counter(
            "apiserver_admission_webhook_request_total",
            "[ALPHA] Calls of webhooks.",
            (*sort, "code", "rejected"),
        )
        self._open = registry.counter(
            "apiserver_admission_webhook_fail_open_count",
            "[ALPHA] Requests that passed although a webhook could not be asked.",
            ("name", "type"),
        )

    def called(self, name: str, step: str, operation: str, seconds: float, code: int, *, rejected: bool) -> None:
        """A call ended, with this status."""
        told = "true" if rejected else "false"
        self._requests.labels(name, step, operation, str(min(code, _LARGEST_CODE)), told).inc()
        self._durations.labels(name, step, operation, told).observe(seconds)

    def rejected(self, name: str, step: str, operation: str, why: str, code: int) -> None:
        """A request was refused: `why` is no_error, calling_webhook_error or apiserver_internal_error."""
        self._rejections.labels(name, step, operation, why, str(min(code, _LARGEST_CODE))).inc()

    def passed(self, name: str, step: str) -> None:
        """A failure was ignored."""
        self._open.labels(name, step).inc()
