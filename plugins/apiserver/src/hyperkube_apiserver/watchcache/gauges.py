"""Metrics of what is stored, read off the caches when they are asked for, and so costing nothing in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hyperkube_apiserver.watchcache.cache import RING_EVENTS, WatchCache
from hyperkube_machinery.serving.metrics import Registry, Sample

__all__ = ["register_caches"]

_VERSION_DIGITS = 10**15


def register_caches(registry: Registry, caches: Callable[[], Iterable[WatchCache]]) -> None:
    """Tell of the objects that are stored, and of the caches that hold them.

    Source: k8s.io/apiserver/pkg/storage/etcd3/metrics, storage/cacher/metrics.
    """

    def tell(name: str, text: str, read: Callable[[WatchCache], float]) -> None:
        def samples() -> Iterable[Sample]:
            return [((cache.kind.resource.group, cache.kind.resource.resource), read(cache)) for cache in caches()]

        registry.collect(name, text, samples, ("group", "resource"))

    tell("apiserver_resource_objects", "[ALPHA] Objects that are stored, by resource.", len)
    tell(
        "apiserver_watch_cache_resource_version",
        "[ALPHA] The resource version that the watch cache has come to; its last fifteen digits.",
        lambda cache: cache.last_revision % _VERSION_DIGITS,
    )
    tell(
        "watch_cache_capacity",
        "[ALPHA] Events that the watch cache keeps at most for watches that begin in the past.",
        lambda cache: RING_EVENTS,
    )
    registry.collect(
        "apiserver_storage_objects",
        "[STABLE] Objects that are stored, by resource; apiserver_resource_objects tells the group apart.",
        lambda: [((_qualified(cache),), len(cache)) for cache in caches()],
        ("resource",),
    )


def _qualified(cache: WatchCache) -> str:
    resource = cache.kind.resource
    return f"{resource.resource}.{resource.group}" if resource.group else resource.resource
