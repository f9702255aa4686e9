"""What is said of a pod that is evicted: in its status, in an event, and in the event's annotations. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/eviction/helpers.go (evictionMessage).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hyperkube_kubelet.eviction.signals import Observations
from hyperkube_kubelet.podspec import Tree, containers, init_containers
from hyperkube_kubelet.stats.figures import ContainerFigures, PodFigures
from hyperkube_kubelet.thresholds import RESOURCES, Resource, Threshold
from hyperkube_machinery import meta
from hyperkube_machinery.quantity import Quantity

__all__ = ["REASON", "node_had_conditions", "why_evicted"]

REASON = "Evicted"


def node_had_conditions(conditions: Iterable[str]) -> str:
    """Why a pod is not taken."""
    return f"The node had condition: [{' '.join(sorted(conditions))}]. "


def why_evicted(
    pod: Tree,
    figures: PodFigures | None,
    resource: Resource,
    crossed: Sequence[Threshold],
    observations: Observations,
) -> tuple[str, dict[str, str]]:
    """The message, and annotations for the event."""
    message = f"The node was low on resource: {resource}. "
    for threshold in crossed:
        seen = observations.get(threshold.signal)
        if RESOURCES[threshold.signal] == resource and seen is not None:
            least, there = seen.shown(threshold.least.of(seen.capacity)), seen.shown(seen.available)
            message += f"Threshold quantity: {least}, available: {there}. "
            break
    if figures is None:
        return message, {}
    annotations: dict[str, str] = {}
    of_pod = ((pod["spec"].get("resources") or {}).get("requests") or {}).get("memory")
    if resource == "memory" and of_pod is not None:
        used = _bytes(figures.usage.working_set_bytes or 0)
        name = meta.name(pod)
        message += f"Pod {name} was using {used}, request is {of_pod}, has larger consumption of {resource}. "
        annotations |= {"offending_pod": name, "offending_pod_usage": str(used)}
    over = list(_over(pod, figures, resource))
    for name, used, requested in over:
        message += f"Container {name} was using {used}, request is {requested}, has larger consumption of {resource}. "
    annotations["offending_containers"] = ",".join(name for name, _, _ in over)
    annotations["offending_containers_usage"] = ",".join(str(used) for _, used, _ in over)
    annotations["starved_resource"] = resource
    return message, annotations


def _over(pod: Tree, figures: PodFigures, resource: Resource) -> Iterator[tuple[str, Quantity, Quantity]]:
    """The containers that use more than they request."""
    specs = {container["name"]: container for container in (*init_containers(pod), *containers(pod))}
    for container in figures.containers:
        spec, used = specs.get(container.name), _used(container, resource)
        if spec is None or used is None:
            continue
        requests = (spec.get("resources") or {}).get("requests") or {}
        requested = Quantity.parse(str(requests.get(resource, "0")))
        if used > requested:
            yield container.name, used, requested


def _used(container: ContainerFigures, resource: Resource) -> Quantity | None:
    if resource == "memory":
        working = container.usage.working_set_bytes
        return _bytes(working) if working is not None else None
    if resource == "ephemeral-storage" and container.rootfs is not None and container.logs is not None:
        layer, logs = container.rootfs.used_bytes, container.logs.used_bytes
        return _bytes(layer + logs) if layer is not None and logs is not None else None
    return None


def _bytes(amount: int) -> Quantity:
    return Quantity(amount * 10**9, "binary")
