"""Metrics of APIServices. Source: k8s.io/kube-aggregator/pkg/controllers/status/metrics."""

from __future__ import annotations

from collections.abc import Iterable

from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery.serving.metrics import Counter, Family, Registry, Sample

__all__ = ["register_availability", "unavailabilities"]


def register_availability(registry: Registry, api_services: WatchCache) -> None:
    """Tell which APIServices are unavailable, as alerts want to know."""

    def samples() -> Iterable[Sample]:
        return [((item.name,), float(not _is_available(item))) for item in list(api_services.items())]

    registry.collect(
        "aggregator_unavailable_apiservice",
        "[ALPHA] Whether an APIService is marked as unavailable (1) or not (0), by its name.",
        samples,
        ("name",),
    )


def unavailabilities(registry: Registry) -> Family[Counter]:
    """Counts how often an APIService became unavailable, by its name and the reason."""
    return registry.counter(
        "aggregator_unavailable_apiservice_total",
        "[ALPHA] How often an APIService was marked as unavailable, by its name and the reason.",
        ("name", "reason"),
    )


def _is_available(item: Item) -> bool:
    if b'"service":{' not in item.body:  # this server's own
        return True
    conditions = (decode_body(item.body).get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Available" and one.get("status") == "True" for one in conditions)
