"""What eviction watches, and how much of it there is. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/eviction (api/types.go, makeSignalObservations, UpdateContainerFsThresholds).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import cast

from hyperkube_kubelet.stats.figures import Filesystem, NodeFigures
from hyperkube_kubelet.thresholds import RESOURCES, Resource, Signal, Threshold
from hyperkube_machinery.quantity import Quantity

__all__ = [
    "CONDITIONS",
    "DISK",
    "Layout",
    "Observation",
    "Observations",
    "layout_of",
    "observe",
    "with_container_disk",
]

DISK = tuple(signal for signal, resource in RESOURCES.items() if resource in ("ephemeral-storage", "inodes"))

CONDITIONS: Mapping[Resource, str] = {
    "memory": "MemoryPressure",
    "ephemeral-storage": "DiskPressure",
    "inodes": "DiskPressure",
    "pids": "PIDPressure",
}
"""The condition of the node that tells of it."""


class Layout(Enum):
    """What is on which file system; the kubelet's folder has volumes and logs."""

    ALL_TOGETHER = "all together"
    IMAGES_APART = "images and what containers write apart"
    IMAGES_ALONE = "images apart, what containers write with the rest"


def layout_of(figures: NodeFigures) -> Layout:
    if not figures.separate_images:
        return Layout.ALL_TOGETHER
    return Layout.IMAGES_ALONE if figures.separate_layers else Layout.IMAGES_APART


@dataclass(frozen=True, slots=True)
class Observation:
    """How much there is at `at`, in bytes or numbers."""

    available: int
    capacity: int
    at: float
    binary: bool = True  # whether it is shown in Ki and Mi

    def shown(self, amount: int) -> str:
        """An amount of it as a quantity."""
        return str(Quantity(amount * 10**9, "binary" if self.binary else "decimal"))


Observations = Mapping[Signal, Observation]


def observe(figures: NodeFigures) -> Observations:
    """By signal what there is; of what wasn't measured nothing."""
    return dict(_observe(figures))


def _observe(figures: NodeFigures) -> Iterator[tuple[Signal, Observation]]:
    for signal, usage in (
        ("memory.available", figures.usage),
        ("allocatableMemory.available", figures.all_pods),
    ):
        if usage.available_bytes is not None and usage.working_set_bytes is not None:
            whole = usage.available_bytes + usage.working_set_bytes
            yield signal, Observation(usage.available_bytes, whole, usage.at)  # type: ignore[misc]
    yield from _disk("nodefs.available", "nodefs.inodesFree", figures.nodefs)
    yield from _disk("imagefs.available", "imagefs.inodesFree", figures.imagefs)
    yield from _disk("containerfs.available", "containerfs.inodesFree", figures.containerfs)
    if figures.max_processes is not None and figures.processes is not None:
        most = figures.max_processes
        yield "pid.available", Observation(most - figures.processes, most, figures.at, binary=False)


def _disk(space: Signal, inodes: Signal, disk: Filesystem | None) -> Iterator[tuple[Signal, Observation]]:
    if disk is None:
        return
    if disk.available_bytes is not None and disk.capacity_bytes is not None:
        yield space, Observation(disk.available_bytes, disk.capacity_bytes, disk.at)
    if disk.inodes_free is not None and disk.inodes:  # some file systems have no number of inodes
        yield inodes, Observation(disk.inodes_free, disk.inodes, disk.at, binary=False)


def with_container_disk(thresholds: Iterable[Threshold], layout: Layout) -> tuple[Threshold, ...]:
    """With the thresholds of the file system that containers write to: always those of the one that it is."""
    kept = [one for one in thresholds if not one.signal.startswith("containerfs.")]
    same = "imagefs." if layout is Layout.IMAGES_APART else "nodefs."
    return (
        *kept,
        *(
            replace(one, signal=cast(Signal, one.signal.replace(same, "containerfs.")))
            for one in kept
            if one.signal.startswith(same)
        ),
    )
