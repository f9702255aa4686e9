"""EventRateLimit: how many events a second are taken. Source: k8s.io/kubernetes/plugin/pkg/admission/eventratelimit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.configuration import ConfigurationError
from hyperkube_apiserver.admission.plugin import CREATE, UPDATE, AdmissionSettings, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery.errors import APIError

__all__ = ["EventRateLimit"]

_CACHE_SIZE = 4096
_OBJECT = ("kind", "namespace", "name", "uid", "apiVersion")

Tree = dict[str, Any]


def _source_and_object(attributes: Attributes) -> str:
    event = attributes.obj or {}
    source, subject = event.get("source") or {}, event.get("involvedObject") or {}
    parts = [source.get("component"), source.get("host"), *(subject.get(field) for field in _OBJECT)]
    return "".join(part or "" for part in parts)


_KEYS: Mapping[str, Callable[[Attributes], str]] = {
    "Server": lambda attributes: "",
    "Namespace": lambda attributes: attributes.namespace,
    "User": lambda attributes: attributes.identity.name,
    "SourceAndObject": _source_and_object,
}


class _Limit:
    """One limit, for each of the latest keys apart: a bucket that holds `burst` events and gets `rate` a second."""

    def __init__(self, told: Tree, path: str) -> None:
        kind = str(told.get("type") or "")
        if kind not in _KEYS:
            raise ConfigurationError(f'{path}.type: "{kind}" is none of {", ".join(_KEYS)}')
        for field in ("burst", "qps"):
            if not isinstance(told.get(field), int) or told[field] <= 0:
                raise ConfigurationError(f"{path}.{field}: must be positive")
        size = told.get("cacheSize") or 0
        if not isinstance(size, int) or size < 0:
            raise ConfigurationError(f"{path}.cacheSize: must not be negative")
        self.kind = kind
        self._rate, self._burst, self._size = float(told["qps"]), float(told["burst"]), size or _CACHE_SIZE
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and as of when

    def takes(self, attributes: Attributes, now: float) -> str | None:
        """Count an event: None where it is within the limit, else the key for which there are too many."""
        key = _KEYS[self.kind](attributes)
        left, then = self._buckets.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > self._size:
            self._buckets.popitem(last=False)
        return None if left >= 1 else key


class EventRateLimit(Plugin):
    """Events beyond the limits of its configuration are refused."""

    operations = CREATE | UPDATE
    about = ("events",)

    def __init__(self, cluster: Cluster, settings: AdmissionSettings) -> None:
        super().__init__(cluster, settings)
        told = settings.configurations.get("EventRateLimit")
        limits = told.get("limits") if isinstance(told, dict) else None
        if not isinstance(limits, list) or not limits or not all(isinstance(limit, dict) for limit in limits):
            raise ConfigurationError("EventRateLimit: limits: must not be empty")
        self._limits = [_Limit(limit, f"EventRateLimit: limits[{index}]") for index, limit in enumerate(limits)]

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 429 for an event too many; a trial is none."""
        if attributes.dry_run:
            return None
        now, reached = self.cluster.clock.monotonic(), []
        for limit in self._limits:
            if (key := limit.takes(attributes, now)) is not None:
                reached.append(f"limit reached on type {limit.kind} for key {key}")
        if reached:
            told = reached[0] if len(reached) == 1 else f"[{', '.join(reached)}]"
            raise APIError.of(429, "TooManyRequests", f"Too many requests: {told}")
        return None
