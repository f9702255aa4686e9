"""A node as the scheduler sees it: what it has (NodeFacts) and what of it is taken (NodeInfo).

Source: k8s.io/kubernetes/pkg/scheduler/framework (NodeInfo, HostPortInfo), k8s.io/component-helpers/node/topology.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from hyperkube_scheduler.nodematching import EFFECTS_THAT_REFUSE, parse_taints
from hyperkube_scheduler.podinfo import HostPort, PodInfo, image_name
from hyperkube_scheduler.requests import amounts, is_scalar

__all__ = ["ANY_ADDRESS", "HOSTNAME", "NodeFacts", "NodeInfo", "conflicts"]

Tree = Mapping[str, Any]
T = TypeVar("T")

HOSTNAME = "kubernetes.io/hostname"
ANY_ADDRESS = "0.0.0.0"
_ZONES = ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone")
_REGIONS = ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region")


class NodeFacts:
    """What a node's object says. Never changed: a changed node has new facts."""

    __slots__ = (
        "cpu",
        "images",
        "labels",
        "memory",
        "name",
        "pods",
        "scalars",
        "soft_taints",
        "storage",
        "taints",
        "tree",
        "unschedulable",
        "zone",
    )

    def __init__(self, tree: Tree) -> None:
        metadata, spec, status = tree["metadata"], tree.get("spec") or {}, tree.get("status") or {}
        self.tree = tree
        self.name: str = metadata.get("name", "")
        self.labels: Mapping[str, str] = metadata.get("labels") or {}
        self.unschedulable: bool = bool(spec.get("unschedulable"))
        taints = parse_taints(spec.get("taints"))
        self.taints = tuple(one for one in taints if one.effect in EFFECTS_THAT_REFUSE)
        self.soft_taints = tuple(one for one in taints if one.effect == "PreferNoSchedule")
        allocatable = amounts(status.get("allocatable"))
        self.cpu = allocatable.get("cpu", 0)
        self.memory = allocatable.get("memory", 0)
        self.storage = allocatable.get("ephemeral-storage", 0)
        self.pods = allocatable.get("pods", 0)
        self.scalars = {name: value for name, value in allocatable.items() if _is_counted(name)}
        self.images = {
            image_name(name): one.get("sizeBytes") or 0
            for one in status.get("images") or ()
            for name in one.get("names") or ()
        }
        self.zone = _zone(self.labels)

    def allocatable(self, name: str) -> int:
        """What there is of a resource, by its name in the API."""
        match name:
            case "cpu":
                return self.cpu
            case "memory":
                return self.memory
            case "ephemeral-storage":
                return self.storage
        return self.scalars.get(name, 0)


def _is_counted(name: str) -> bool:
    return name not in ("cpu", "memory", "ephemeral-storage", "pods") and is_scalar(name)


def _zone(labels: Mapping[str, str]) -> str:
    """Region and zone; nodes are tried zone by zone in turn."""
    zone = next((labels[one] for one in _ZONES if one in labels), "")
    region = next((labels[one] for one in _REGIONS if one in labels), "")
    return f"{region}:\0:{zone}" if region or zone else ""


class NodeInfo:
    """A node and the pods that are on it, or soon will be."""

    __slots__ = (
        "counted_cpu",
        "counted_memory",
        "cpu",
        "facts",
        "index",
        "memory",
        "pods",
        "ports",
        "priorities",
        "scalars",
        "storage",
    )

    def __init__(self, facts: NodeFacts) -> None:
        self.facts = facts
        self.index = -1
        """Its place in the cluster's list."""
        self.pods: dict[str, PodInfo] = {}
        self.cpu = self.memory = self.storage = 0
        self.counted_cpu = self.counted_memory = 0
        self.scalars: dict[str, int] = {}
        self.ports: dict[HostPort, int] = {}
        self.priorities: dict[int, int] = {}
        """How many of the pods have which."""

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def labels(self) -> Mapping[str, str]:
        return self.facts.labels

    def add(self, pod: PodInfo) -> None:
        self.pods[pod.uid] = pod
        self._count(pod, 1)

    def remove(self, pod: PodInfo) -> None:
        """Take off a pod, as it was added."""
        if self.pods.pop(pod.uid, None) is not None:
            self._count(pod, -1)

    def _count(self, pod: PodInfo, sign: int) -> None:
        requests = pod.requests
        self.cpu += sign * requests.cpu
        self.memory += sign * requests.memory
        self.storage += sign * requests.storage
        self.counted_cpu += sign * requests.counted_cpu
        self.counted_memory += sign * requests.counted_memory
        for name, value in requests.scalars:
            self.scalars[name] = self.scalars.get(name, 0) + sign * value
        _tally(self.priorities, pod.template.priority, sign)
        for port in pod.template.ports:
            _tally(self.ports, port, sign)

    def requested(self, name: str) -> int:
        """What is taken of a resource, by its name in the API."""
        match name:
            case "cpu":
                return self.cpu
            case "memory":
                return self.memory
            case "ephemeral-storage":
                return self.storage
        return self.scalars.get(name, 0)

    def copy(self) -> NodeInfo:
        """A node of its own to try things on."""
        copied = NodeInfo(self.facts)
        for name in ("index", "cpu", "memory", "storage", "counted_cpu", "counted_memory"):
            setattr(copied, name, getattr(self, name))
        copied.pods, copied.scalars, copied.ports = dict(self.pods), dict(self.scalars), dict(self.ports)
        copied.priorities = dict(self.priorities)
        return copied

    def __repr__(self) -> str:
        return f"NodeInfo({self.name}, {len(self.pods)} pods)"


def _tally(counts: dict[T, int], key: T, by: int) -> None:
    left = counts.get(key, 0) + by
    if left:
        counts[key] = left
    else:
        counts.pop(key, None)


def conflicts(wanted: Sequence[HostPort], taken: Mapping[HostPort, int]) -> bool:
    """Whether a port is wanted that is taken: on the same address, or where one of both means all addresses."""
    if not taken:
        return False
    for port in wanted:
        if port.ip == ANY_ADDRESS:
            if any(one.port == port.port and one.protocol == port.protocol for one in taken):
                return True
        elif port in taken or port._replace(ip=ANY_ADDRESS) in taken:
            return True
    return False
