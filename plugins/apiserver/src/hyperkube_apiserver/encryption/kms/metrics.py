"""What is counted of key services. Source: k8s.io/apiserver/pkg/storage/value/encrypt/envelope/metrics."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from hyperkube_machinery.serving.metrics import Registry, exponential_buckets

__all__ = ["KeyServiceMetrics", "hashed"]

_BUCKETS = exponential_buckets(0.0001, 2, 20)
_BY_KEY = ("transformation_type", "provider_name", "key_id_hash", "apiserver_id_hash")


@lru_cache(maxsize=256)
def hashed(name: str) -> str:
    """What names a key, or a server, where the name itself is nobody's business."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return f"sha256:{digest}" if name else ""


class KeyServiceMetrics:
    """One server's."""

    def __init__(self, registry: Registry, server_id: str) -> None:
        prefix = "apiserver_envelope_encryption"
        self._server = hashed(server_id)
        self._latency = registry.histogram(
            f"{prefix}_kms_operations_latency_seconds",
            "[ALPHA] How long calls of a key service took, by what they came to.",
            ("provider_name", "method_name", "grpc_status_code"),
            bounds=_BUCKETS,
        )
        self._used = registry.counter(
            f"{prefix}_key_id_hash_total", "[ALPHA] Values that were read or written with a key.", _BY_KEY
        )
        self._last_used = registry.gauge(
            f"{prefix}_key_id_hash_last_timestamp_seconds", "[ALPHA] When a key was last used.", _BY_KEY
        )
        self._last_told = registry.gauge(
            f"{prefix}_key_id_hash_status_last_timestamp_seconds",
            "[ALPHA] When a key service last said that it uses a key.",
            _BY_KEY[1:],
        )
        self._invalid = registry.counter(
            f"{prefix}_invalid_key_id_from_status_total",
            "[ALPHA] Times that a key service said that it uses a key of an impossible name.",
            ("provider_name", "error"),
        )
        self._cached = registry.gauge(
            f"{prefix}_dek_source_cache_size", "[ALPHA] Keys that are remembered, decrypted.", ("provider_name",)
        )

    def called(self, provider: str, method: str, seconds: float, code: str) -> None:
        self._latency.labels(provider, method, code).observe(seconds)

    def used(self, how: str, provider: str, key_id: str, now: float) -> None:
        """`how` is `to_storage` or `from_storage`."""
        labels = (how, provider, hashed(key_id), self._server)
        self._used.labels(*labels).value += 1
        self._last_used.labels(*labels).set(now)

    def told(self, provider: str, key_id: str, now: float) -> None:
        self._last_told.labels(provider, hashed(key_id), self._server).set(now)

    def invalid(self, provider: str, key_id: str) -> None:
        self._invalid.labels(provider, "too_long" if key_id else "empty").inc()

    def cached(self, provider: str, count: int) -> None:
        self._cached.labels(provider).set(count)
