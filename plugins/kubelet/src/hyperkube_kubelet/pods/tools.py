"""What the workers of all pods share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hyperkube_kubelet.allocation.allocations import Allocations
from hyperkube_kubelet.cgroups.tree import PodGroups
from hyperkube_kubelet.containers.fieldpaths import Addresses
from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.pods.killing import Killer
from hyperkube_kubelet.pods.making import Maker
from hyperkube_kubelet.pods.resizing import Resizer
from hyperkube_kubelet.pods.sightings import Sightings
from hyperkube_kubelet.pods.starting import Starter
from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.probes.prober import Prober
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtimestate import RuntimeState
from hyperkube_kubelet.status.writer import StatusWriter
from hyperkube_kubelet.telling import Recorder
from hyperkube_kubelet.volumes.manager import Mounted
from hyperkube_kubelet.volumes.objects import ObjectCache
from hyperkube_machinery.clock import Clock

__all__ = ["Tools", "Volumes"]


class Volumes(Protocol):
    """The volumes of pods."""

    async def mount(self, pod: Tree, addresses: Addresses) -> Mapping[str, Mounted]:
        """The pod's volumes by name. Raises VolumeFailure."""

    async def unmount(self, uid: str) -> None:
        """Take away all that was the pod's own. Raises RuntimeFailure, OSError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a worker does its work with."""

    runtime: Runtime
    sightings: Sightings
    maker: Maker
    starter: Starter
    killer: Killer
    prober: Prober
    volumes: Volumes
    writer: StatusWriter
    recorder: Recorder
    clock: Clock
    facts: NodeFacts
    state: RuntimeState
    counts: Counts
    groups: PodGroups
    allocations: Allocations
    resizer: Resizer
    objects: ObjectCache | None  # None without an API server
    show: Callable[[Tree], Awaitable[None]]  # lets the API server show a static pod; it has been seen to
    sync_seconds: float = 60.0
    kept_dead: int = 1  # how many runs of each container are kept that have ended, beside the latest; -1: all
    dead_seconds: float = 0.0  # how long they are kept at least

    @property
    def host_ips(self) -> Sequence[str]:
        return self.facts.ips
