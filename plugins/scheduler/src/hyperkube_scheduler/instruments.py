"""What the scheduler counts and measures, under upstream's names.

Source: k8s.io/kubernetes/pkg/scheduler/metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hyperkube_machinery.serving.metrics import Registry, Sample, exponential_buckets
from hyperkube_scheduler.cache import Cache
from hyperkube_scheduler.queue import SchedulingQueue

__all__ = ["Instruments"]

_MOST_ATTEMPTS = 15


class Instruments:
    """The instruments of one scheduler."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        slow = exponential_buckets(0.001, 2, 15)
        self.attempts = registry.counter(
            "scheduler_schedule_attempts_total",
            "Attempts to schedule pods, by result: 'unschedulable' where no node would do, 'error' where something"
            " else went wrong.",
            ("result", "profile"),
        )
        self.attempt_seconds = registry.histogram(
            "scheduler_scheduling_attempt_duration_seconds",
            "Seconds that attempts took, binding included.",
            ("result", "profile"),
            bounds=slow,
        )
        self.algorithm_seconds = registry.histogram(
            "scheduler_scheduling_algorithm_duration_seconds", "Seconds that choosing a node took.", bounds=slow
        ).labels()
        self.sli_seconds = registry.histogram(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "Seconds from a pod's first way into the queue until it was bound, over all attempts.",
            ("attempts",),
            bounds=exponential_buckets(0.01, 2, 20),
        )
        self.pod_attempts = registry.histogram(
            "scheduler_pod_scheduling_attempts",
            "Attempts that it took to schedule pods.",
            bounds=exponential_buckets(1, 2, 5),
        ).labels()
        self.after_flush = registry.counter(
            "scheduler_pod_scheduled_after_flush_total",
            "Pods that were scheduled after they had been tried again for nothing but the time that they waited.",
        ).labels()
        self.preemptions = registry.counter(
            "scheduler_preemption_attempts_total", "Attempts to make room for a pod."
        ).labels()
        self.victims = registry.histogram(
            "scheduler_preemption_victims", "Pods that were chosen to make room.", bounds=exponential_buckets(1, 2, 7)
        ).labels()
        self._incoming = registry.counter(
            "scheduler_queue_incoming_pods_total", "Pods that came into a queue, by event.", ("queue", "event")
        )

    def incoming(self, queue: str, event: str) -> None:
        self._incoming.labels(queue, event).inc()

    def attempt(self, result: str, profile: str, seconds: float) -> None:
        self.attempts.labels(result, profile).inc()
        self.attempt_seconds.labels(result, profile).observe(seconds)

    def scheduled(self, attempts: int, seconds: float) -> None:
        self.pod_attempts.observe(attempts)
        label = str(attempts) if attempts < _MOST_ATTEMPTS else f"{_MOST_ATTEMPTS}+"
        self.sli_seconds.labels(label).observe(seconds)

    def follow(self, cache: Cache, queue: SchedulingQueue, bindings: Callable[[], int]) -> None:
        """Read what these know of themselves whenever somebody asks."""

        def reasons() -> Iterable[Sample]:
            return [((step, profile), float(number)) for (step, profile), number in queue.refusers().items()]

        self._registry.collect(
            "scheduler_pending_pods",
            "Pods that wait, by queue: 'gated' ones have not been tried because something keeps them out.",
            lambda: [((name,), float(size)) for name, size in queue.sizes().items()],
            ("queue",),
        )
        self._registry.collect(
            "scheduler_unschedulable_pods",
            "Unschedulable pods, by who refused them; one may be counted more than once.",
            reasons,
            ("plugin", "profile"),
        )
        self._registry.collect(
            "scheduler_cache_size",
            "Nodes, pods, and pods that are about to be bound, as the scheduler knows them.",
            lambda: [((name,), float(size)) for name, size in cache.sizes().items()],
            ("type",),
        )
        self._registry.collect(
            "scheduler_goroutines",
            "Work that is going on, by kind.",
            lambda: [(("binding",), float(bindings()))],
            ("operation",),
        )
