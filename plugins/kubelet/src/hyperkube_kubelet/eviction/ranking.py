"""Which pod is evicted first. Pure.

    memory     those over their requests; by priority; by how much they are over
    disk       the same, by what they take of the file system that is short
    processes  by priority; by how many there are
Source: k8s.io/kubernetes/pkg/kubelet/eviction/helpers.go (rankMemoryPressure and the like).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from hyperkube_kubelet.eviction.signals import Layout
from hyperkube_kubelet.podresources import pod_requests
from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.stats.disks import is_local
from hyperkube_kubelet.stats.figures import Filesystem, PodFigures
from hyperkube_kubelet.thresholds import RESOURCES, Resource, Signal
from hyperkube_machinery import meta
from hyperkube_machinery.quantity import Quantity

__all__ = ["disk_parts", "priority_of", "ranked"]

Part = Literal["root", "logs", "volumes"]
_ALL: tuple[Part, ...] = ("root", "logs", "volumes")


def ranked(pods: Iterable[Tree], figures: Mapping[str, PodFigures], signal: Signal, layout: Layout) -> list[Tree]:
    """The pods in the order in which they would be evicted. `figures`: by uid; who has none comes first."""
    resource = RESOURCES[signal]
    parts = disk_parts(signal, layout)
    return sorted(pods, key=lambda pod: _rank(pod, figures.get(meta.uid(pod)), resource, parts))


def priority_of(pod: Tree) -> int:
    return int(pod["spec"].get("priority") or 0)


def disk_parts(signal: Signal, layout: Layout) -> tuple[Part, ...]:
    """What of a pod is on the file system that a signal is of."""
    of_images = signal.startswith("imagefs.")
    match layout:
        case Layout.ALL_TOGETHER:
            return _ALL
        case Layout.IMAGES_APART:
            return ("logs", "volumes") if signal.startswith("nodefs.") else ("root",)
        case Layout.IMAGES_ALONE:
            return () if of_images else _ALL


def _rank(pod: Tree, figures: PodFigures | None, resource: Resource, parts: Sequence[Part]) -> tuple[int, ...]:
    """What is less goes first."""
    priority = priority_of(pod)
    if resource == "pids":
        count = figures.usage.processes or 0 if figures is not None else 0
        # Upstream compares numbers of processes only where both are known, and puts the unknown first.
        return (priority, 0 if figures is None else 1, -count)
    if figures is None:
        return (0, 0, priority, 0)
    if resource == "memory":
        used = figures.usage.working_set_bytes or 0
        requested = _requested(pod, "memory")
        return (1, 0 if used > requested else 1, priority, requested - used)
    used = _disk_usage(pod, figures, resource, parts)
    # No pod requests inodes, and none is over what it requests of them by less than all that it has.
    requested = _requested(pod, "ephemeral-storage") if resource == "ephemeral-storage" else 0
    return (1, 0 if used > requested else 1, priority, _requested(pod, "ephemeral-storage") - used)


def _requested(pod: Tree, resource: str) -> int:
    return pod_requests(pod).get(resource, Quantity(0)).value


def _disk_usage(pod: Tree, figures: PodFigures, resource: Resource, parts: Sequence[Part]) -> int:
    found: list[Filesystem | None] = []
    if "root" in parts:
        found += [container.rootfs for container in figures.containers]
    if "logs" in parts:
        found += [container.logs for container in figures.containers]
    if "volumes" in parts:
        names = {
            volume["name"]
            for volume in pod["spec"].get("volumes") or ()
            if volume.get("hostPath") is not None or is_local(volume)
        }
        found += [volume.filesystem for volume in figures.volumes if volume.name in names]
    known = [one for one in found if one is not None]
    return sum((one.inodes_used if resource == "inodes" else one.used_bytes) or 0 for one in known)
