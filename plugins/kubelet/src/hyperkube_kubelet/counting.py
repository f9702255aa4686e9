"""What the kubelet counts. Names are upstream's. Source: k8s.io/kubernetes/pkg/kubelet/metrics and prober."""

from __future__ import annotations

import re
from functools import cache

from hyperkube_machinery.serving.metrics import Registry, exponential_buckets

__all__ = ["Counts"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_START_SECONDS = (
    0.5,
    1,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    20,
    30,
    45,
    60,
    120,
    180,
    240,
    300,
    360,
    480,
    600,
    900,
    1200,
    1800,
    2700,
)


class Counts:
    """Counters of one kubelet; `registry` has whatever else is told by those who know it."""

    def __init__(self, registry: Registry | None = None) -> None:
        """Without a registry nobody is told."""
        self.registry = registry if registry is not None else Registry()
        make = self.registry
        self.started_pods = make.counter("kubelet_started_pods_total", "Sandboxes that were made.").labels()
        self.pod_errors = make.counter(
            "kubelet_started_pods_errors_total", "Sandboxes that could not be made."
        ).labels()
        self.started = make.counter(
            "kubelet_started_containers_total", "Containers that were to be started.", ["container_type"]
        )
        self.errors = make.counter(
            "kubelet_started_containers_errors_total",
            "Containers that could not be started.",
            ["container_type", "code"],
        )
        self.worker_seconds = make.histogram(
            "kubelet_pod_worker_duration_seconds",
            "How long the steps of pods' workers take.",
            ["operation_type"],
            bounds=SECONDS,
        )
        self.operations = make.counter(
            "kubelet_runtime_operations_total", "What the container runtime was asked for.", ["operation_type"]
        )
        self.operation_errors = make.counter(
            "kubelet_runtime_operations_errors_total", "What it did not do.", ["operation_type"]
        )
        self.operation_seconds = make.histogram(
            "kubelet_runtime_operations_duration_seconds",
            "How long it took.",
            ["operation_type"],
            bounds=exponential_buckets(0.005, 2.5, 14),
        )
        self.relist_seconds = make.histogram(
            "kubelet_pleg_relist_duration_seconds",
            "How long it takes to list what the runtime has, at the start and after it was lost.",
            bounds=SECONDS,
        ).labels()
        self.evictions = make.counter("kubelet_evictions", "Pods that were evicted.", ["eviction_signal"])
        self.eviction_age = make.histogram(
            "kubelet_eviction_stats_age_seconds",
            "How old the figures were that pods were evicted for.",
            ["eviction_signal"],
            bounds=SECONDS,
        )
        self.images_removed = make.counter(
            "kubelet_image_garbage_collected_total", "Images that were removed unasked.", ["reason"]
        )
        self.rejections = make.counter(
            "kubelet_admission_rejections_total", "Pods that this node did not take.", ["reason"]
        )
        self.pod_start_seconds = make.histogram(
            "kubelet_pod_start_duration_seconds",
            "How long it is from the first word of a pod until it runs.",
            bounds=_START_SECONDS,
        ).labels()
        self.probes = Registry()  # is read at a place of its own

    def operation(self, name: str, seconds: float, *, failed: bool) -> None:
        """The runtime was asked for something, by CRI's name: RunPodSandbox."""
        kind = _operation_type(name)
        self.operations.labels(kind).inc()
        self.operation_seconds.labels(kind).observe(seconds)
        if failed:
            self.operation_errors.labels(kind).inc()


@cache
def _operation_type(name: str) -> str:
    """As upstream's counters have it: run_podsandbox."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return words.replace("pod_sandbox", "podsandbox").removesuffix("_resources")
