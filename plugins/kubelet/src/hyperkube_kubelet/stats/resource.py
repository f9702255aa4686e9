"""What /metrics/resource answers, which metrics-server reads. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/metrics/collectors/resource_metrics.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from hyperkube_kubelet.stats.figures import ContainerFigures, NodeFigures, PodFigures, Usage
from hyperkube_kubelet.stats.text import Family, Line
from hyperkube_machinery.serving.metrics import Kind, label_text

__all__ = ["resource_families"]

_SECOND = 1_000_000_000
_FAILED = "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise"

Value = Callable[[Usage], float | None]


def _cpu(usage: Usage) -> float | None:
    return usage.cpu_nanoseconds / _SECOND if usage.cpu_nanoseconds is not None else None


def _memory(usage: Usage) -> float | None:
    return usage.working_set_bytes


def _swap(usage: Usage) -> float | None:
    return usage.swap_bytes


def _swap_limit(usage: Usage) -> float | None:
    if usage.swap_bytes is None or usage.swap_available_bytes is None:
        return None
    return usage.swap_bytes + usage.swap_available_bytes


_CPU = "[STABLE] Cumulative cpu time consumed by the {} in core-seconds"
_MEMORY = "[STABLE] Current working set of the {} in bytes"
_SWAP = "[ALPHA] Current amount of the {} in bytes. Reported only on non-windows systems"
_NODE_SWAP = "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems"


def resource_families(figures: NodeFigures | None) -> Iterator[Family]:
    """In the order of their names. None where there are no figures: then it is told that there was an error."""
    return iter(sorted(_families(figures), key=lambda family: family.name))


def _families(figures: NodeFigures | None) -> Iterator[Family]:
    if figures is not None:
        containers = [(_labels(pod, container), container) for pod in figures.pods for container in pod.containers]
        of_containers = [(labels, container.usage) for labels, container in containers]
        of_pods = [(label_text(("namespace", "pod"), (pod.namespace, pod.name)), pod.usage) for pod in figures.pods]
        of_node = [("", figures.usage)]
        rows: Sequence[tuple[str, Kind, str, list[tuple[str, Usage]], Value]] = (
            ("container_cpu_usage_seconds_total", "counter", _CPU.format("container"), of_containers, _cpu),
            ("container_memory_working_set_bytes", "gauge", _MEMORY.format("container"), of_containers, _memory),
            ("container_swap_limit_bytes", "gauge", _SWAP.format("container swap limit"), of_containers, _swap_limit),
            ("container_swap_usage_bytes", "gauge", _SWAP.format("container swap usage"), of_containers, _swap),
            ("node_cpu_usage_seconds_total", "counter", _CPU.format("node"), of_node, _cpu),
            ("node_memory_working_set_bytes", "gauge", _MEMORY.format("node"), of_node, _memory),
            ("node_swap_usage_bytes", "gauge", _NODE_SWAP, of_node, _swap),
            ("pod_cpu_usage_seconds_total", "counter", _CPU.format("pod"), of_pods, _cpu),
            ("pod_memory_working_set_bytes", "gauge", _MEMORY.format("pod"), of_pods, _memory),
            ("pod_swap_usage_bytes", "gauge", _SWAP.format("pod swap usage"), of_pods, _swap),
        )
        for name, kind, text, holders, value in rows:
            yield Family(name, kind, text, _lines(holders, value))
        started = [(labels, container.created_at, 0.0) for labels, container in containers if container.created_at > 0]
        text = "[STABLE] Start time of the container since unix epoch in seconds"
        yield Family("container_start_time_seconds", "gauge", text, started)
    failed = 1.0 if figures is None else 0.0
    yield Family("resource_scrape_error", "gauge", _FAILED, [("", failed, 0.0)])


def _labels(pod: PodFigures, container: ContainerFigures) -> str:
    return label_text(("container", "namespace", "pod"), (container.name, pod.namespace, pod.name))


def _lines(holders: Sequence[tuple[str, Usage]], value: Value) -> Iterator[Line]:
    for labels, usage in holders:
        if (amount := value(usage)) is not None:
            yield labels, amount, usage.at
