"""What clients count, in upstream's names. Source: k8s.io/component-base/metrics/prometheus/restclient/metrics.go"""

from __future__ import annotations

from hyperkube_machinery.serving.metrics import Registry

__all__ = ["ClientMetrics", "Meter"]

_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
_BYTES = (64, 256, 512, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216)


class ClientMetrics:
    """The families of one server, for all its clients."""

    def __init__(self, registry: Registry) -> None:
        labels = ("verb", "host")
        self.requests = registry.counter(
            "rest_client_requests_total", "Requests sent, by the status of their answer.", ("code", "method", "host")
        )
        self.retries = registry.counter(
            "rest_client_request_retries_total", "Requests sent again, by what came of them before.", ("code", *labels)
        )
        self.seconds = registry.histogram(
            "rest_client_request_duration_seconds", "How long requests took.", labels, bounds=_SECONDS
        )
        self.waits = registry.histogram(
            "rest_client_rate_limiter_duration_seconds", "How long requests waited to be sent.", labels, bounds=_SECONDS
        )
        self.sent = registry.histogram(
            "rest_client_request_size_bytes", "How large bodies of requests were.", labels, bounds=_BYTES
        )
        self.received = registry.histogram(
            "rest_client_response_size_bytes", "How large bodies of answers were.", labels, bounds=_BYTES
        )

    def of(self, host: str) -> Meter:
        """What the clients of one server count on."""
        return Meter(self, host)


class Meter:
    """The metrics of one host."""

    def __init__(self, metrics: ClientMetrics, host: str) -> None:
        self._metrics = metrics
        self._host = host

    def waited(self, method: str, seconds: float) -> None:
        self._metrics.waits.labels(method, self._host).observe(seconds)

    def answered(self, method: str, status: int, seconds: float, *, sent: int, received: int | None) -> None:
        """`status` is 0 where there was no answer; a stream has no size."""
        metrics, host = self._metrics, self._host
        metrics.requests.labels(_code(status), method, host).inc()
        metrics.seconds.labels(method, host).observe(seconds)
        metrics.sent.labels(method, host).observe(sent)
        if received is not None:
            metrics.received.labels(method, host).observe(received)

    def tried_again(self, method: str, status: int) -> None:
        self._metrics.retries.labels(_code(status), method, self._host).inc()


def _code(status: int) -> str:
    return str(status) if status else "<error>"
