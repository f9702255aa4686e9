"""Nodes and pods for the scheduler's own tests, and a cluster of them to try steps on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any

from hyperkube_machinery.selectors import EVERYTHING, LabelSelector
from hyperkube_scheduler.algorithm import Algorithm, Choice
from hyperkube_scheduler.cache import Cache
from hyperkube_scheduler.configuration import ProfileSettings
from hyperkube_scheduler.framework.interface import Cycle, PreFilter, Prepare
from hyperkube_scheduler.framework.pipeline import Pipeline
from hyperkube_scheduler.framework.verdicts import Verdict
from hyperkube_scheduler.nodeinfo import HOSTNAME, NodeFacts, NodeInfo
from hyperkube_scheduler.podinfo import PodInfo, read_pod
from hyperkube_scheduler.preemption import Budget, Candidate
from hyperkube_scheduler.profiles import Surroundings, build_pipelines
from hyperkube_scheduler.slices import finish

Tree = dict[str, Any]

ZONE = "topology.kubernetes.io/zone"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NOW = 1_790_000_000.0


def node(
    name: str,
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: int = 10,
    zone: str = "",
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Tree] = (),
    unschedulable: bool = False,
    images: Mapping[str, int] | None = None,
    more: Mapping[str, str] | None = None,
) -> Tree:
    """A node; `more` are other resources that it has."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {HOSTNAME: name, **({ZONE: zone} if zone else {}), **(labels or {})},
        },
        "spec": {"taints": list(taints), "unschedulable": unschedulable},
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": str(pods), **(more or {})},
            "images": [{"names": [image], "sizeBytes": size} for image, size in (images or {}).items()],
        },
    }


def pod(
    name: str,
    *,
    namespace: str = "default",
    cpu: str = "",
    memory: str = "",
    on: str = "",
    labels: Mapping[str, str] | None = None,
    started: str = "",
    status: Tree | None = None,
    metadata: Tree | None = None,
    **spec: Any,
) -> PodInfo:
    """A pod of one container, `on` a node if it has one."""
    return read_pod(
        pod_tree(
            name,
            namespace=namespace,
            cpu=cpu,
            memory=memory,
            on=on,
            labels=labels,
            started=started,
            status=status,
            metadata=metadata,
            **spec,
        )
    )


def pod_tree(
    name: str,
    *,
    namespace: str = "default",
    cpu: str = "",
    memory: str = "",
    on: str = "",
    labels: Mapping[str, str] | None = None,
    started: str = "",
    status: Tree | None = None,
    metadata: Tree | None = None,
    **spec: Any,
) -> Tree:
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    container = {"name": "app", "image": "app:1", "resources": {"requests": requests}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "labels": dict(labels or {}),
            **(metadata or {}),
        },
        "spec": {
            "schedulerName": "default-scheduler",
            "containers": [container],
            **({"nodeName": on} if on else {}),
            **spec,
        },
        "status": {"phase": "Pending", **({"startTime": started} if started else {}), **(status or {})},
    }


class Eviction:
    """Remembers whom it was to evict."""

    def __init__(self) -> None:
        self.begun: list[tuple[PodInfo, Candidate]] = []

    def begin(self, preemptor: PodInfo, candidate: Candidate) -> None:
        self.begun.append((preemptor, candidate))

    def is_running(self, preemptor: PodInfo) -> bool:
        return any(one.uid == preemptor.uid for one, _ in self.begun)


class Placement:
    """A cluster whose pods are placed by one profile, without anybody being told."""

    def __init__(
        self,
        nodes: Iterable[Tree] = (),
        pods: Iterable[PodInfo] = (),
        *,
        settings: ProfileSettings | None = None,
        selector_of: Callable[[PodInfo], LabelSelector] = lambda pod: EVERYTHING,
        budgets: Sequence[Budget] = (),
        percentage: int = 0,
        seed: int = 1,
    ) -> None:
        self.cache = Cache()
        self.nominated: dict[str, list[PodInfo]] = {}
        self.eviction = Eviction()
        for tree in nodes:
            self.cache.set_node(NodeFacts(tree))
        for one in pods:
            self.cache.set_pod(one)
        surroundings = Surroundings(
            selector_of,
            self.eviction,
            lambda: self.nominated,
            lambda: budgets,
            _bind_nothing,
            lambda: NOW,
            Random(seed),
        )
        settings = settings or ProfileSettings()
        self.pipeline: Pipeline = build_pipelines([settings], surroundings)[settings.scheduler_name]
        self.algorithm = Algorithm(percentage, Random(seed))

    def choose(self, pod: PodInfo) -> Choice:
        return finish(self.algorithm.choose(self.pipeline, Cycle(pod, self.cache), self.nominated))

    def place(self, pod: PodInfo) -> str:
        """Place a pod; returns its node, "" if there is none for it."""
        node = self.choose(pod).node
        if node:
            self.cache.assume(pod, node)
        return node

    def node(self, name: str) -> NodeInfo:
        found = self.cache.node(name)
        assert found is not None
        return found

    def cycle(self, pod: PodInfo) -> Cycle:
        """An attempt after PreFilter."""
        cycle = Cycle(pod, self.cache)
        for preparing in self.pipeline.prepares:
            finish(preparing.prepare(cycle))
        for step in self.pipeline.pre_filters:
            found = step.pre_filter(cycle)
            if isinstance(found, Verdict):
                cycle.skipped.add(step.name)
        return cycle

    def reasons(self, pod: PodInfo) -> dict[str, str]:
        """Of each node: why the pod may not go there; "" where it may."""
        cycle = self.cycle(pod)
        verdicts = {node.name: self.pipeline.filter(cycle, node) for node in self.cache.nodes}
        return {name: verdict.message if verdict is not None else "" for name, verdict in verdicts.items()}

    def scores(self, step: str, pod: PodInfo) -> dict[str, int]:
        """What one step makes of each node, of which all will do."""
        cycle, nodes = self.cycle(pod), self.cache.nodes
        score = next(weighed.step for weighed in self.pipeline.scores if weighed.step.name == step)
        for preparing in self.pipeline.pre_scores:
            if preparing.name == step and preparing.pre_score(cycle, nodes) is not None:
                return {}
        found = score.score(cycle, nodes)
        normalize = getattr(score, "normalize", None)
        if normalize is not None:
            found = normalize(cycle, nodes, found)
        return {one.name: value for one, value in zip(nodes, found, strict=True)}


async def _bind_nothing(pod: PodInfo, node: str) -> object:
    return None


def prepared(step: PreFilter, cycle: Cycle) -> Verdict | frozenset[str] | None:
    """What a step says before it is shown nodes."""
    if isinstance(step, Prepare):
        finish(step.prepare(cycle))
    return step.pre_filter(cycle)
