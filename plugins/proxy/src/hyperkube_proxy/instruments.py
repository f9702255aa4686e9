"""What /metrics tells of the proxy. Names are upstream's. Source: k8s.io/kubernetes/pkg/proxy/metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hyperkube_machinery.serving import metrics
from hyperkube_machinery.serving.metrics import Counter, Histogram, Registry, exponential_buckets
from hyperkube_machinery.serving.process import LAG_BOUNDS, register_process
from hyperkube_proxy.model import Family

__all__ = ["Instruments"]

_SYNC_BOUNDS = exponential_buckets(0.001, 2, 15)
_PROGRAMMING_BOUNDS = [0.25, 0.5, *range(1, 60), *range(60, 120, 5), *range(120, 301, 30)]


class Instruments:
    """The proxy's counters, gauges and histograms."""

    def __init__(self) -> None:
        self.registry = registry = Registry()
        register_process(registry)
        labels = ("ip_family",)
        self._families: Sequence[Family] = ("IPv4",)

        def latency(name: str, text: str) -> metrics.Family[Histogram]:
            return registry.histogram(name, text, labels, bounds=_SYNC_BOUNDS)

        self._sync = latency("kubeproxy_sync_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds")
        self._full = latency(
            "kubeproxy_sync_full_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds for full resyncs"
        )
        self._partial = latency(
            "kubeproxy_sync_partial_proxy_rules_duration_seconds",
            "SyncProxyRules latency in seconds for partial resyncs",
        )
        self._programming = registry.histogram(
            "kubeproxy_network_programming_duration_seconds",
            "In Cluster Network Programming Latency in seconds",
            labels,
            bounds=_PROGRAMMING_BOUNDS,
        )
        self._last = registry.gauge(
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
            "The last time proxy rules were successfully synced",
            labels,
        )
        self._last_queued = registry.gauge(
            "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
            "The last time a sync of proxy rules was queued",
            labels,
        )
        self._no_local = registry.gauge(
            "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
            "Number of services with a Local traffic policy and no endpoints",
            ("traffic_policy", "ip_family"),
        )
        self._nftables_failures = registry.counter(
            "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
            "Cumulative proxy nftables sync failures",
            labels,
        )
        self._nftables_cleanup_failures = registry.counter(
            "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total",
            "Cumulative proxy nftables cleanup failures",
            labels,
        )
        self._flows = registry.histogram(
            "kubeproxy_conntrack_reconciler_sync_duration_seconds",
            "ReconcileConntrackFlowsLatency latency in seconds",
            labels,
            bounds=_SYNC_BOUNDS,
        )
        self._flows_ended = registry.counter(
            "kubeproxy_conntrack_reconciler_deleted_entries_total",
            "Cumulative conntrack flows deleted by conntrack reconciler",
            labels,
        )
        self._healthz = registry.counter(
            "kubeproxy_proxy_healthz_total", "Cumulative proxy healthz HTTP status", ("code",)
        )
        self._livez = registry.counter("kubeproxy_proxy_livez_total", "Cumulative proxy livez HTTP status", ("code",))
        self.lag = registry.histogram(
            "hk_event_loop_lag_seconds", "How late the event loop wakes a sleeper.", bounds=LAG_BOUNDS
        ).labels()

    def use(self, families: Sequence[Family]) -> None:
        """Tell of these; they are brought in step at once here, where upstream has one proxier a family."""
        self._families = families

    def nftables_failures(self, family: Family) -> tuple[Counter, Counter]:
        """What counts refused changes, and refused removals of what is stale."""
        return self._nftables_failures.labels(family), self._nftables_cleanup_failures.labels(family)

    def queued(self, now: float) -> None:
        for family in self._families:
            self._last_queued.labels(family).value = now

    def synced(self, seconds: float, *, full: bool) -> None:
        for family in self._families:
            self._sync.labels(family).observe(seconds)
            (self._full if full else self._partial).labels(family).observe(seconds)

    def succeeded(self, now: float, latencies: Sequence[float]) -> None:
        """A sync went well; `latencies` are how long ago the changes were that it made effective."""
        for family in self._families:
            self._last.labels(family).value = now
            for latency in latencies:
                self._programming.labels(family).observe(latency)

    def without_local(self, family: Family, *, internal: int, external: int) -> None:
        self._no_local.labels("internal", family).value = internal
        self._no_local.labels("external", family).value = external

    def flows_ended(self, family: Family, count: int, seconds: float) -> None:
        """Flows of UDP whose endpoint is gone were looked for, and ended."""
        self._flows.labels(family).observe(seconds)
        self._flows_ended.labels(family).inc(count)

    def answered(self, path: str, status: int) -> None:
        """A probe of /healthz or /livez was answered."""
        (self._healthz if path == "/healthz" else self._livez).labels(str(status)).inc()

    def follow_model(
        self,
        *,
        service_changes: Callable[[], int],
        endpoint_changes: Callable[[], int],
        pending_services: Callable[[], int],
        pending_endpoints: Callable[[], int],
    ) -> None:
        """Tell of the model's counts."""
        prefix = "kubeproxy_sync_proxy_rules"
        for name, text, read in (
            ("service_changes_total", "Cumulative proxy rules Service changes", service_changes),
            ("endpoint_changes_total", "Cumulative proxy rules Endpoint changes", endpoint_changes),
        ):
            self._collect(f"{prefix}_{name}", text, read, counts=True)
        for name, text, read in (
            ("service_changes_pending", "Pending proxy rules Service changes", pending_services),
            ("endpoint_changes_pending", "Pending proxy rules Endpoint changes", pending_endpoints),
        ):
            self._collect(f"{prefix}_{name}", text, read)

    def follow_relays(
        self, *, connections: Callable[[], int], flows: Callable[[], int], failed: Callable[[], int]
    ) -> None:
        """Tell of what this process relays."""
        self._collect("hk_proxy_relayed_connections", "TCP connections that are being relayed.", connections)
        self._collect("hk_proxy_relayed_flows", "UDP flows that are being relayed.", flows)
        self._collect("hk_proxy_unanswered_connections_total", "TCP connections no endpoint took.", failed, counts=True)

    def _collect(self, name: str, text: str, read: Callable[[], int], *, counts: bool = False) -> None:
        self.registry.collect(name, text, lambda: [((), read())], kind="counter" if counts else "gauge")
