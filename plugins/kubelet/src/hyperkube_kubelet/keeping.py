"""What keeps a node healthy: figures of what is used, eviction, and the removal of garbage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.eviction.alarms import alarms
from hyperkube_kubelet.eviction.evictor import EvictionRules, Evictor, Pods
from hyperkube_kubelet.garbage.collecting import Garbage
from hyperkube_kubelet.garbage.containers import ContainerCollector, ContainerRules
from hyperkube_kubelet.garbage.images import ImageCollector, ImageRules
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.values import Container
from hyperkube_kubelet.stats.groups import GroupReader
from hyperkube_kubelet.stats.host import Host, hierarchies_here
from hyperkube_kubelet.stats.provider import DISK_SECONDS, Places, Provider, Seen
from hyperkube_kubelet.telling import Recorder, node_reference
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions

__all__ = ["DISKS_UNWATCHED", "Keeping", "KeepingRules", "KeptPods"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepingRules:
    """What flags say of it; without any of them nothing is evicted or removed."""

    eviction: EvictionRules | None = None
    images: ImageRules | None = None
    containers: ContainerRules = field(default_factory=ContainerRules)
    disk_seconds: float = DISK_SECONDS  # between two measurements of what pods take of the disk; 0: none is made


DISKS_UNWATCHED = KeepingRules(disk_seconds=0)
"""For nodes whose pods use nothing of the machine."""


class KeptPods(Pods, Protocol):
    """The pods of the node."""

    def seen(self) -> Iterable[Seen]:
        """Those that something may run of."""

    def has_ended(self, uid: str) -> bool:
        """Whether a pod is known that nothing will run of any more."""


class Keeping:
    """Keeps one node healthy."""

    def __init__(
        self,
        rules: KeepingRules,
        name: str,
        runtime: Runtime,
        pods: Callable[[], KeptPods],
        places: Places,
        recorder: Recorder,
        clock: Clock,
        counts: Counts,
        *,
        discard: Callable[[Container], None],
    ) -> None:
        """`pods` are asked for when they are needed; `discard` removes the files that were made for a run."""
        node = node_reference(name)
        self._rules = rules
        self.places = places
        self._hierarchies = hierarchies_here()
        host = Host(Path("/proc"), GroupReader(self._hierarchies))
        self.provider = Provider(
            name, runtime, clock, places, lambda: pods().seen(), host, disk_seconds=rules.disk_seconds
        )
        containers = ContainerCollector(
            rules.containers, runtime, clock, finished=lambda uid: pods().has_ended(uid), discard=discard
        )
        images = ImageCollector(
            rules.images or ImageRules(), runtime, self.provider.image_disk, recorder, node, clock, counts
        )
        self._garbage = Garbage(containers, images, recorder, node, clock)
        self.evictor = Evictor(
            rules.eviction or EvictionRules(local_storage=False),
            self.provider.figures,
            pods,
            self._garbage,
            recorder,
            node,
            clock,
            counts,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep it for the length of the block."""
        async with AsyncExitStack() as stack:
            if self._rules.eviction is not None and self._rules.eviction.wakes_early:
                ring = self.evictor.wake
                self.evictor.alarm = stack.enter_context(alarms(self._hierarchies, self.places.top_group, ring))
            beside = await stack.enter_async_context(companions())
            if self._rules.disk_seconds:
                beside.start(self.provider.follow_disks(), name="disks of pods")
            if self._rules.eviction is not None:
                beside.start(self.evictor.run(), name="eviction")
            if self._rules.images is not None:
                beside.start(self._garbage.follow_images(), name="images")
                beside.start(self._garbage.follow_containers(), name="containers")
            yield
