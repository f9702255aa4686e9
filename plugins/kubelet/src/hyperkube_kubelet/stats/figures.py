"""What was measured of a node, its pods and their containers.

Sizes are in bytes, times in seconds since 1970, and None is what nobody told. The shapes follow what clients of
/stats/summary read. Source: k8s.io/kubelet/pkg/apis/stats/v1alpha1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from hyperkube_kubelet.runtime.values import InterfaceUsage

__all__ = [
    "ContainerFigures",
    "Filesystem",
    "NodeFigures",
    "PodFigures",
    "Pressure",
    "Usage",
    "VolumeFigures",
    "completed",
    "summed",
]


@dataclass(frozen=True, slots=True)
class Pressure:
    """How long processes waited for a resource: in microseconds since the start, and percent of three periods."""

    total: int
    avg10: float
    avg60: float
    avg300: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Processor and memory that something has used."""

    at: float = 0.0
    cpu_nanoseconds: int | None = None
    cpu_nanocores: int | None = None  # nanoseconds a second, lately
    user_nanoseconds: int | None = None
    system_nanoseconds: int | None = None
    memory_bytes: int | None = None  # all that is charged, caches included
    working_set_bytes: int | None = None  # without what the kernel could take back at once
    available_bytes: int | None = None  # up to the limit, if there is one
    rss_bytes: int | None = None
    cache_bytes: int | None = None
    mapped_bytes: int | None = None
    active_file_bytes: int | None = None
    inactive_file_bytes: int | None = None
    page_faults: int | None = None
    major_page_faults: int | None = None
    swap_bytes: int | None = None
    swap_available_bytes: int | None = None
    processes: int | None = None
    threads: int | None = None
    pressure: Mapping[str, tuple[Pressure, Pressure]] = field(default_factory=dict)  # cpu, memory, io: some and full


_OPTIONAL = tuple(each.name for each in fields(Usage) if each.name not in ("at", "pressure"))
_options = attrgetter(*_OPTIONAL)
_ADDED = (
    "cpu_nanoseconds",
    "cpu_nanocores",
    "memory_bytes",
    "working_set_bytes",
    "rss_bytes",
    "page_faults",
    "major_page_faults",
    "swap_bytes",
    "processes",
)


def completed(first: Usage, second: Usage) -> Usage:
    """`first`, and of `second` what it doesn't tell."""
    known = zip(_OPTIONAL, _options(first), _options(second), strict=True)
    values: dict[str, Any] = {name: mine if mine is not None else other for name, mine, other in known}
    return Usage(at=first.at or second.at, pressure=first.pressure or second.pressure, **values)


def summed(parts: list[Usage]) -> Usage:
    """What several have used together; of the latest time."""
    totals: dict[str, Any] = {}
    for name in _ADDED:
        known = [value for part in parts if (value := getattr(part, name)) is not None]
        totals[name] = sum(known) if known else None
    return Usage(at=max((part.at for part in parts), default=0.0), **totals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filesystem:
    """What a file system has, and how much of it something takes."""

    at: float
    available_bytes: int | None = None
    capacity_bytes: int | None = None
    used_bytes: int | None = None
    inodes: int | None = None
    inodes_free: int | None = None
    inodes_used: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFigures:
    """Of a container that runs."""

    name: str
    id: str
    image: str
    created_at: float
    usage: Usage
    rootfs: Filesystem | None = None
    logs: Filesystem | None = None
    group: str = ""  # its control group, if it is known: /kubepods/burstable/pod0b5e/1f2e


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeFigures:
    """Of a pod's volume."""

    name: str
    filesystem: Filesystem
    claim: str = ""  # the persistent volume claim in the pod's namespace
    local: bool = False  # whether it takes of the node's storage for pods


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFigures:
    """Of a pod that has a sandbox."""

    namespace: str
    name: str
    uid: str
    created_at: float
    usage: Usage
    containers: tuple[ContainerFigures, ...] = ()
    interfaces: tuple[InterfaceUsage, ...] = ()  # the one that its addresses belong to first
    volumes: tuple[VolumeFigures, ...] = ()
    ephemeral: Filesystem | None = None  # layers, logs and local volumes together
    sandbox_id: str = ""
    group: str = ""
    sandbox_group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFigures:
    """Of a node, at one time."""

    at: float
    name: str
    booted_at: float
    usage: Usage
    interfaces: tuple[InterfaceUsage, ...] = ()
    nodefs: Filesystem | None = None
    imagefs: Filesystem | None = None
    containerfs: Filesystem | None = None
    layer_device: str = ""  # that the file system is on which containers write to: /dev/sda1
    separate_images: bool = False  # whether images are on another file system than the kubelet's folder
    separate_layers: bool = False  # whether what containers write is on another one than images
    max_processes: int | None = None
    processes: int | None = None
    kubelet: Usage = Usage()
    kubelet_started_at: float = 0.0
    all_pods: Usage = Usage()  # `available_bytes` is of what is set aside for pods, where that is enforced
    pods: tuple[PodFigures, ...] = ()
