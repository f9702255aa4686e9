"""The server's own metrics, under upstream's names, labels and buckets.

Source of these: k8s.io/apiserver/pkg/endpoints/metrics, endpoints/filters, storage/cacher/metrics,
storage/etcd3/metrics, component-base/version; what no other server has begins with `hk_`.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from hyperkube_machinery.serving.metrics import Family, Histogram, Registry, Sample, exponential_buckets
from hyperkube_machinery.serving.process import LAG_BOUNDS, register_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Instruments", "Traffic"]

DURATION_BOUNDS = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3),
    *(4, 5, 6, 8, 10, 15, 20, 30, 45, 60),
)
SLI_BOUNDS = DURATION_BOUNDS[2:]
EVENT_BOUNDS = tuple(exponential_buckets(1024, 2, 8))
_BLOCK_BYTES = 512
_ROUTE = ("group", "version", "resource", "subresource", "scope", "component")
_REQUEST = ("verb", "dry_run", *_ROUTE)


class Traffic:
    """What passes through the cache of one resource, counted by whoever passes it."""

    __slots__ = ("dropped", "fetched", "initial", "listed", "received", "returned", "sent")

    def __init__(self, sent: Histogram) -> None:
        self.sent = sent  # bytes of each event that a watcher was sent
        self.received = 0  # events from the store, offered to watchers right away
        self.initial = 0  # objects sent as ADDED because they were there already
        self.dropped = 0  # watchers that were too slow
        self.listed = 0  # LIST requests
        self.fetched = 0  # objects looked at for them
        self.returned = 0  # objects in their answers

    @classmethod
    def uncounted(cls) -> Traffic:
        """Of a cache that nobody asks about."""
        return cls(Histogram("", EVENT_BOUNDS))


class Instruments:
    """Every family that has instruments of its own; what can be read off elsewhere is collected (see `collected`)."""

    def __init__(self, registry: Registry | None = None, *, version: str = "") -> None:
        self.registry = registry = registry or Registry()
        self.requests = registry.counter(
            "apiserver_request_total",
            "[STABLE] Requests that were answered, by verb, dry run, resource, scope, component, status code and system"
            " client.",
            (*_REQUEST, "code", "system_client"),
        )
        self.durations = registry.histogram(
            "apiserver_request_duration_seconds",
            "[STABLE] How long requests took, in seconds, from their arrival to their answer; watches, to their end.",
            _REQUEST,
            bounds=DURATION_BOUNDS,
        )
        self.sli_durations = registry.histogram(
            "apiserver_request_sli_duration_seconds",
            "[ALPHA] How long requests took, in seconds, without what webhooks and queues took of it; no dry runs.",
            ("verb", *_ROUTE),
            bounds=SLI_BOUNDS,
        )
        self.sizes = registry.histogram(
            "apiserver_response_sizes",
            "[STABLE] Bytes of the answers to reads.",
            ("verb", *_ROUTE),
            bounds=exponential_buckets(1000, 10, 7),
        )
        self.long_running = registry.gauge(
            "apiserver_longrunning_requests", "[STABLE] Watches and the like that are open now.", ("verb", *_ROUTE)
        )
        self.terminations = registry.counter(
            "apiserver_request_terminations_total",
            "[ALPHA] Requests that the server gave up to protect itself.",
            ("verb", *_ROUTE, "code"),
        )
        self.event_sizes = registry.histogram(
            "apiserver_watch_events_sizes",
            "[ALPHA] Bytes of the events that watchers were sent.",
            ("group", "version", "resource"),
            bounds=EVENT_BOUNDS,
        )
        self.authenticated_users = registry.counter(
            "authenticated_user_requests", "[ALPHA] Authenticated requests, by kind of user name.", ("username",)
        )
        self.authentications = registry.histogram(
            "authentication_duration_seconds",
            "[ALPHA] How long authentication took, in seconds, by its result.",
            ("result",),
            bounds=exponential_buckets(0.001, 2, 15),
        )
        self.authorizations = registry.histogram(
            "authorization_duration_seconds",
            "[ALPHA] How long authorization took, in seconds, by its result.",
            ("result",),
            bounds=exponential_buckets(0.001, 2, 15),
        )
        self.store_durations = registry.histogram(
            "etcd_request_duration_seconds",
            "[ALPHA] How long the store took, in seconds, by operation and resource.",
            ("operation", "group", "resource"),
            bounds=DURATION_BOUNDS,
        )
        self.store_errors = registry.counter(
            "etcd_request_errors_total",
            "[ALPHA] Requests to the store that failed, by operation and resource.",
            ("operation", "group", "resource"),
        )
        self.admission_durations = registry.histogram(
            "apiserver_admission_step_admission_duration_seconds",
            "[STABLE] How long all admission plugins together took, in seconds, by step and operation.",
            ("type", "operation", "rejected"),
            bounds=(0.005, 0.025, 0.1, 0.5, 1.0, 2.5),
        )
        self.deprecated = registry.gauge(
            "apiserver_requested_deprecated_apis",
            "[STABLE] 1 for each deprecated API that was asked for.",
            ("group", "version", "resource", "subresource", "removed_release"),
        )
        self.lag = registry.histogram(
            "hk_event_loop_lag_seconds",
            "How late the event loop woke a sleeper, in seconds: how long others held it.",
            bounds=LAG_BOUNDS,
        ).labels()
        self._traffic: dict[tuple[str, str, str], Traffic] = {}
        self._views()
        register_process(registry)
        if version:
            self._build_info(version)

    def follow_listener(self, failed_handshakes: Callable[[], int]) -> None:
        """Tell of TLS handshakes that came to nothing."""
        self.registry.collect(
            "apiserver_tls_handshake_errors_total",
            "[ALPHA] Connections whose TLS handshake failed.",
            lambda: [((), failed_handshakes())],
            kind="counter",
        )

    def follow_file(self, path: Path) -> None:
        """Tell how much of the disk the store's file takes, its log included."""

        def size() -> Iterable[Sample]:
            total = 0
            for name in (path, path.with_name(f"{path.name}-wal")):
                with suppress(OSError):
                    total += os.stat(name).st_blocks * _BLOCK_BYTES
            return [(("etcd-0",), total)] if total else []

        text = "[STABLE] Bytes that the store takes on the disk."
        self.registry.collect("apiserver_storage_size_bytes", text, size, ("storage_cluster_id",))

    def traffic(self, group: str, version: str, resource: str) -> Traffic:
        """The counters of one resource's cache."""
        key = (group, version, resource)
        found = self._traffic.get(key)
        if found is None:
            found = self._traffic[key] = Traffic(self.event_sizes.labels(*key))
        return found

    def _views(self) -> None:
        """Families that tell the counts of histograms that are there anyway."""
        registry = self.registry
        registry.collect(
            "apiserver_watch_events_total",
            "[ALPHA] Events that watchers were sent.",
            lambda: [(key, count) for key, traffic in self._traffic.items() if (count := traffic.sent.count)],
            ("group", "version", "resource"),
            kind="counter",
        )
        registry.collect(
            "authentication_attempts",
            "[ALPHA] Attempts to authenticate, by their result.",
            lambda: _counts(self.authentications),
            ("result",),
            kind="counter",
        )
        registry.collect(
            "authorization_attempts_total",
            "[ALPHA] Attempts to authorize, by their result.",
            lambda: _counts(self.authorizations),
            ("result",),
            kind="counter",
        )
        registry.collect(
            "etcd_requests_total",
            "[ALPHA] Requests to the store, by operation and resource.",
            lambda: _counts(self.store_durations),
            ("operation", "group", "resource"),
            kind="counter",
        )
        for name, attribute, text, indexed in _TRAFFIC:
            labels = ("group", "resource", "index") if indexed else ("group", "resource")
            registry.collect(name, text, self._reader(attribute, indexed=indexed), labels, kind="counter")

    def _reader(self, attribute: str, *, indexed: bool) -> Callable[[], Iterable[Sample]]:
        """Read one counter of each resource; its versions are counted together."""

        def samples() -> Iterable[Sample]:
            totals: dict[tuple[str, str], int] = {}
            for (group, _, resource), traffic in self._traffic.items():
                totals[group, resource] = totals.get((group, resource), 0) + getattr(traffic, attribute)
            return [((*key, "") if indexed else key, total) for key, total in totals.items() if total]

        return samples

    def _build_info(self, version: str) -> None:
        major, minor = version.removeprefix("v").split(".")[:2]
        labels = {
            "major": major,
            "minor": minor,
            "git_version": version,
            "git_commit": "",
            "git_tree_state": "",
            "build_date": "",
            "go_version": f"{platform.python_implementation()} {platform.python_version()}",
            "compiler": platform.python_implementation().lower(),
            "platform": f"{platform.system().lower()}/{platform.machine().replace('x86_64', 'amd64')}",
        }
        text = "[ALPHA] 1, with labels that tell what this server is and what it runs on."
        self.registry.gauge("kubernetes_build_info", text, tuple(labels)).labels(*labels.values()).set(1)


# Name, where in Traffic, text, and whether it has upstream's label of the index that a list was read by: here none.
_TRAFFIC = (
    ("apiserver_watch_cache_events_received_total", "received", "[ALPHA] Events from the store.", False),
    ("apiserver_watch_cache_events_dispatched_total", "received", "[ALPHA] Events offered to watchers.", False),
    ("apiserver_init_events_total", "initial", "[ALPHA] Objects sent to watchers that were there already.", False),
    ("apiserver_terminated_watchers_total", "dropped", "[ALPHA] Watchers let go for being too slow.", False),
    ("apiserver_cache_list_total", "listed", "[ALPHA] Lists served from the watch cache.", True),
    ("apiserver_cache_list_fetched_objects_total", "fetched", "[ALPHA] Objects looked at for such lists.", True),
    ("apiserver_cache_list_returned_objects_total", "returned", "[ALPHA] Objects in such lists.", False),
)


def _counts(family: Family[Histogram]) -> Iterable[Sample]:
    return [(values, histogram.count) for values, histogram in family.items()]
