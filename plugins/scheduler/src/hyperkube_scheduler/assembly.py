"""The parts of a scheduler, put together around a client.

informers ─→ Changes ─→ Cache, SchedulingQueue ←─ Scheduler ─→ bindings, statuses, events, evictions
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random

from hyperkube_machinery.builtin import (
    NAMESPACES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
)
from hyperkube_machinery.client import Client
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.events import SeriesRecorder
from hyperkube_machinery.informers import Informer, Informers
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_scheduler.algorithm import Algorithm
from hyperkube_scheduler.backoff import Backoff
from hyperkube_scheduler.cache import Cache
from hyperkube_scheduler.changes import Changes
from hyperkube_scheduler.configuration import Configuration
from hyperkube_scheduler.evictions import Evictions
from hyperkube_scheduler.framework.pipeline import Pipeline
from hyperkube_scheduler.instruments import Instruments
from hyperkube_scheduler.keeping import keep_metadata, keep_node, keep_pod, keep_selector
from hyperkube_scheduler.loop import Scheduler
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.preemption import Budget, Candidate, read_budget
from hyperkube_scheduler.profiles import Surroundings, build_pipelines
from hyperkube_scheduler.queue import Interests, SchedulingQueue
from hyperkube_scheduler.reporting import StatusWriter
from hyperkube_scheduler.spreadselectors import SpreadSelectors
from hyperkube_scheduler.steps.defaultpreemption import DefaultPreemption

__all__ = ["Assembly", "assembled"]

_UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"


@dataclass(frozen=True, slots=True)
class Assembly:
    """A scheduler that knows nothing yet."""

    scheduler: Scheduler
    queue: SchedulingQueue
    cache: Cache
    informers: Informers


class _Parts:
    """What the parts need of each other before all are there."""

    def __init__(self, budgets: Informer) -> None:
        self._budgets = budgets
        self.pipelines: dict[str, Pipeline] = {}
        self.queue: SchedulingQueue
        self.evictions: Evictions

    def nominated(self) -> Mapping[str, Sequence[PodInfo]]:
        return self.queue.nominations.by_node

    def budgets(self) -> list[Budget]:
        read = (read_budget(tree) for tree in self._budgets.list())
        return [budget for budget in read if budget is not None]

    def evicted(self, preemptor: PodInfo, succeeded: bool) -> None:
        """Pods that were kept out meanwhile are let in; one whose victims would not go tries again at once."""
        if succeeded:
            self.queue.reconsider(preemptor.uid, DefaultPreemption.name)
        else:
            self.queue.activate([preemptor.uid])

    # As `Evicting`, for steps that are made before it.

    def begin(self, preemptor: PodInfo, candidate: Candidate) -> None:
        self.evictions.begin(preemptor, candidate)

    def is_running(self, preemptor: PodInfo) -> bool:
        return self.evictions.is_running(preemptor)


@asynccontextmanager
async def assembled(
    client: Client,
    clock: Clock,
    configuration: Configuration,
    registry: Registry,
    *,
    longest_wait_seconds: float,
    random: Random | None = None,
) -> AsyncIterator[Assembly]:
    """A scheduler for the length of the block, at whose end all that it is at is cancelled.

    Raises ConfigurationError.
    """
    random = random or Random()
    informers = Informers(client, clock)
    selectors = SpreadSelectors(
        informers.of(SERVICES, keep=keep_selector),
        informers.of(REPLICATION_CONTROLLERS, keep=keep_selector),
        informers.of(REPLICA_SETS, keep=keep_selector),
        informers.of(STATEFUL_SETS, keep=keep_selector),
    )
    parts = _Parts(informers.of(POD_DISRUPTION_BUDGETS))
    instruments = Instruments(registry)

    async def create_binding(pod: PodInfo, node: str) -> object:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"kind": "Node", "name": node},
        }
        return await client.create(PODS, binding, pod.namespace, name=pod.name, subresource="binding")

    surroundings = Surroundings(selectors.of, parts, parts.nominated, parts.budgets, create_binding, clock.now, random)
    pipelines = build_pipelines(configuration.profiles, surroundings)
    cache = Cache()
    first = next(iter(pipelines.values()))
    queue = parts.queue = SchedulingQueue(
        clock,
        first.queue_sort.rank,
        {name: _interests(pipeline) for name, pipeline in pipelines.items()},
        backoff=Backoff(configuration.initial_backoff, configuration.most_backoff),
        longest_wait_seconds=longest_wait_seconds,
        incoming=instruments.incoming,
    )
    changes = Changes(cache, queue, pipelines.__contains__)
    informers.of(PODS, fields=_UNFINISHED, keep=keep_pod).on_change(changes.on_pod)
    informers.of(NODES, keep=keep_node).on_change(changes.on_node)
    informers.of(NAMESPACES, keep=keep_metadata).on_change(changes.on_namespace)
    async with AsyncExitStack() as stack:
        recorders = {}
        for name in pipelines:
            recorder = SeriesRecorder(client, clock, controller=name, instance=f"{name}-{socket.gethostname()}")
            recorders[name] = await stack.enter_async_context(recorder.running())
        tasks = await stack.enter_async_context(companions(queue.keep_flushing()))
        statuses = StatusWriter(client, clock, tasks)
        parts.evictions = Evictions(
            client,
            clock,
            tasks,
            recorders.__getitem__,
            statuses,
            parts.nominated,
            parts.evicted,
            instruments.victims.observe,
        )
        scheduler = Scheduler(
            clock=clock,
            cache=cache,
            queue=queue,
            changes=changes,
            algorithm=Algorithm(configuration.percentage, random),
            pipelines=pipelines,
            instruments=instruments,
            recorder=recorders.__getitem__,
            statuses=statuses,
            tasks=tasks,
        )
        instruments.follow(cache, queue, lambda: scheduler.bindings)
        yield Assembly(scheduler, queue, cache, informers)


def _interests(pipeline: Pipeline) -> Interests:
    return Interests(
        pipeline.pre_enqueue,
        [(step.name, concern) for step in pipeline.concerned for concern in step.concerns()],
    )
