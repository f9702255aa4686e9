"""What the kubelet counts. Names are upstream's. Source: k8s.io/kubernetes/pkg/kubelet/metrics and prober."""

from __future__ import annotations

from hyperkube_machinery.serving.metrics import Registry

__all__ = ["Counts"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


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
