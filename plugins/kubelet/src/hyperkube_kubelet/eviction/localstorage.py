"""Which pods take more of the node's disk than they may, by their own limits. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/eviction/eviction_manager.go (localStorageEviction).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hyperkube_kubelet.podresources import pod_limits
from hyperkube_kubelet.podspec import Tree, containers
from hyperkube_kubelet.stats.figures import PodFigures
from hyperkube_machinery.quantity import Quantity

__all__ = ["Excess", "excess", "is_limited"]

STORAGE = "ephemeral-storage"


@dataclass(frozen=True, slots=True)
class Excess:
    """What a pod takes too much of."""

    signal: str  # as it is counted
    message: str


def is_limited(pod: Tree) -> bool:
    """Whether there is anything to be checked."""
    sized = any((volume.get("emptyDir") or {}).get("sizeLimit") for volume in pod["spec"].get("volumes") or ())
    return sized or _pod_limit(pod) is not None or bool(_container_limits(pod))


def excess(pod: Tree, figures: PodFigures, *, layers_counted: bool) -> Excess | None:
    """The first limit that the pod exceeds, if it does.

    `layers_counted`: whether what containers write is on the disk that their limits are of.
    """
    return next(_excesses(pod, figures, layers_counted), None)


def _excesses(pod: Tree, figures: PodFigures, layers_counted: bool) -> Iterator[Excess]:
    used = {volume.name: volume.filesystem.used_bytes or 0 for volume in figures.volumes}
    for volume in pod["spec"].get("volumes") or ():
        size = (volume.get("emptyDir") or {}).get("sizeLimit")
        if size is None or volume["name"] not in used:
            continue
        limit = Quantity.parse(str(size))
        if 0 < limit.value < used[volume["name"]]:
            message = f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
            yield Excess("emptydirfs.limit", message)
    whole = _pod_limit(pod)
    if whole is not None and figures.ephemeral is not None and (figures.ephemeral.used_bytes or 0) > whole.value:
        message = f"Pod ephemeral local storage usage exceeds the total limit of containers {whole}. "
        yield Excess("ephemeralpodfs.limit", message)
    limits = _container_limits(pod)
    for container in figures.containers:
        parts = [container.logs, container.rootfs] if layers_counted else [container.logs]
        taken = sum(part.used_bytes or 0 for part in parts if part is not None)
        if container.name in limits and taken > limits[container.name].value:
            limit = limits[container.name]
            message = f'Container {container.name} exceeded its local ephemeral storage limit "{limit}". '
            yield Excess("ephemeralcontainerfs.limit", message)


def _container_limits(pod: Tree) -> dict[str, Quantity]:
    """By regular container that has one; a zero is none."""
    found = {container["name"]: _limit(container) for container in containers(pod)}
    return {name: limit for name, limit in found.items() if limit}


def _pod_limit(pod: Tree) -> Quantity | None:
    """What all containers may take together: None where none has a limit."""
    return pod_limits(pod).get(STORAGE)


def _limit(container: Tree) -> Quantity | None:
    text = ((container.get("resources") or {}).get("limits") or {}).get(STORAGE)
    return Quantity.parse(str(text)) if text is not None else None
