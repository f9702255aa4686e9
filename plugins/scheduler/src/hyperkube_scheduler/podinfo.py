"""A pod as the scheduler sees it: read once, and what equal pods have in common kept once.

    pod's object ─→ PodInfo ─→ PodTemplate     shared by all pods of one template: requests, tolerations, affinity …

Pods come by the hundred from one template; reading a spec takes a hundred times as long as finding out that it was
read before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hyperkube_machinery.encoding import encode
from hyperkube_machinery.remembering import Remembered
from hyperkube_machinery.timestamps import TimestampError, parse
from hyperkube_scheduler.keeping import POD_SPEC_FIELDS
from hyperkube_scheduler.nodematching import (
    NodeTerm,
    RequiredNodes,
    Toleration,
    node_names_of,
    parse_preferred,
    parse_required,
    parse_tolerations,
)
from hyperkube_scheduler.podterms import (
    AffinityTerm,
    SpreadConstraint,
    parse_constraints,
    parse_terms,
    parse_weighted_terms,
)
from hyperkube_scheduler.requests import Requests, pod_requests

__all__ = ["HostPort", "PodInfo", "PodTemplate", "image_name", "read_pod"]

Tree = Mapping[str, Any]

_CONTAINER_FIELDS = ("image", "ports", "resources", "restartPolicy")
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)


class HostPort(NamedTuple):
    """A port of the node that a pod takes for itself."""

    ip: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True, eq=False)
class PodTemplate:
    """What decides where a pod may run, and is the same for all pods that are made alike."""

    key: bytes
    """Equal for equal templates."""
    scheduler_name: str
    priority: int
    never_preempts: bool
    gates: tuple[str, ...]
    requests: Requests
    tolerations: tuple[Toleration, ...]
    nodes: RequiredNodes
    node_names: frozenset[str] | None
    preferred_nodes: tuple[NodeTerm, ...]
    ports: tuple[HostPort, ...]
    images: tuple[str, ...]
    container_count: int
    affinity: tuple[AffinityTerm, ...]
    anti_affinity: tuple[AffinityTerm, ...]
    preferred_affinity: tuple[AffinityTerm, ...]
    preferred_anti_affinity: tuple[AffinityTerm, ...]
    constraints: tuple[SpreadConstraint, ...]

    @property
    def has_pod_affinity(self) -> bool:
        return bool(self.affinity or self.preferred_affinity or self.anti_affinity or self.preferred_anti_affinity)


class PodInfo:
    """One pod. Never changed: a changed pod is a new one."""

    __slots__ = (
        "key",
        "labels",
        "name",
        "namespace",
        "node_name",
        "nominated",
        "requests",
        "started",
        "template",
        "terminating",
        "tree",
        "uid",
    )

    def __init__(self, tree: dict[str, Any], template: PodTemplate, requests: Requests) -> None:
        metadata, status = tree["metadata"], tree.get("status") or {}
        self.tree = tree
        self.template = template
        self.requests = requests
        self.name: str = metadata.get("name", "")
        self.namespace: str = metadata.get("namespace", "")
        self.key = f"{self.namespace}/{self.name}"
        self.uid: str = metadata.get("uid", "")
        self.labels: Mapping[str, str] = metadata.get("labels") or {}
        self.terminating: bool = metadata.get("deletionTimestamp") is not None
        self.node_name: str = (tree.get("spec") or {}).get("nodeName", "")
        self.nominated: str = status.get("nominatedNodeName", "")
        self.started: str = status.get("startTime", "")

    @property
    def priority(self) -> int:
        return self.template.priority

    @property
    def finished(self) -> bool:
        """Whether its containers have ended for good: it takes nothing of its node any more."""
        return (self.tree.get("status") or {}).get("phase") in ("Succeeded", "Failed")

    def start_time(self, now: float) -> float:
        """When it began to run, in seconds since the epoch; `now` for one that has not."""
        try:
            return parse(self.started) if self.started else now
        except TimestampError:
            return now

    def on(self, node: str) -> PodInfo:
        """The same pod as it will be once it is bound to `node`."""
        moved: PodInfo = object.__new__(PodInfo)
        for name in self.__slots__:
            setattr(moved, name, getattr(self, name))
        moved.node_name = node
        return moved

    def __repr__(self) -> str:
        return f"PodInfo({self.key})"


_templates: Remembered[PodTemplate] = Remembered()


def read_pod(tree: dict[str, Any]) -> PodInfo:
    """The pod of this object, which must not be changed afterwards."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    template = _template(tree, spec)
    requests = template.requests
    if _was_resized(status):
        requests = pod_requests(spec, status)
    return PodInfo(tree, template, requests)


def _was_resized(status: Tree) -> bool:
    """Whether what it asked for may not be what it has."""
    if status.get("resources"):
        return True
    return any(
        one.get("resources")
        for field in ("containerStatuses", "initContainerStatuses")
        for one in status.get(field) or ()
    )


def _template(tree: Tree, spec: Tree) -> PodTemplate:
    metadata = tree.get("metadata") or {}
    namespace, labels = metadata.get("namespace", ""), metadata.get("labels") or {}
    parts: list[Any] = [spec.get(field) for field in POD_SPEC_FIELDS]
    for field in ("containers", "initContainers"):
        parts.append([[one.get(part) for part in _CONTAINER_FIELDS] for one in spec.get(field) or ()])
    parts.append([one["image"] for one in spec.get("volumes") or () if "image" in one])
    affinity = spec.get("affinity") or {}
    if affinity.get("podAffinity") or affinity.get("podAntiAffinity"):
        parts.append(namespace)
    if any(one.get("matchLabelKeys") for one in spec.get("topologySpreadConstraints") or ()):
        parts.append(labels)
    key = encode(parts)
    found = _templates.get(key)
    if found is None:
        found = _read_template(key, spec, namespace, labels)
        _templates.keep(key, found)
    return found


def _read_template(key: bytes, spec: Tree, namespace: str, labels: Mapping[str, str]) -> PodTemplate:
    affinity = spec.get("affinity") or {}
    to_nodes = affinity.get("nodeAffinity") or {}
    to_pods, from_pods = affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}
    required = to_nodes.get(_REQUIRED)
    init, containers = spec.get("initContainers") or [], spec.get("containers") or []
    volumes = spec.get("volumes") or ()
    return PodTemplate(
        key=key,
        scheduler_name=spec.get("schedulerName", ""),
        priority=spec.get("priority") or 0,
        never_preempts=spec.get("preemptionPolicy") == "Never",
        gates=tuple(one.get("name", "") for one in spec.get("schedulingGates") or ()),
        requests=pod_requests(spec),
        tolerations=parse_tolerations(spec.get("tolerations")),
        nodes=parse_required(spec.get("nodeSelector"), required),
        node_names=node_names_of(required),
        preferred_nodes=parse_preferred(to_nodes.get(_PREFERRED)),
        ports=tuple(_host_ports([*(one for one in init if one.get("restartPolicy") == "Always"), *containers])),
        images=tuple(
            image_name(name)
            for name in (
                *(one.get("image", "") for one in (*init, *containers)),
                *((one.get("image") or {}).get("reference", "") for one in volumes if one.get("image")),
            )
        ),
        container_count=len(init) + len(containers),
        affinity=parse_terms(to_pods.get(_REQUIRED), namespace),
        anti_affinity=parse_terms(from_pods.get(_REQUIRED), namespace),
        preferred_affinity=parse_weighted_terms(to_pods.get(_PREFERRED), namespace),
        preferred_anti_affinity=parse_weighted_terms(from_pods.get(_PREFERRED), namespace),
        constraints=parse_constraints(spec.get("topologySpreadConstraints"), labels),
    )


def _host_ports(containers: list[Tree]) -> list[HostPort]:
    return [
        HostPort(port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in containers
        for port in container.get("ports") or ()
        if (port.get("hostPort") or 0) > 0
    ]


def image_name(name: str) -> str:
    """As nodes list images: with a tag or a digest. Source: the plugin ImageLocality."""
    return name if name.rfind(":") > name.rfind("/") else f"{name}:latest"
