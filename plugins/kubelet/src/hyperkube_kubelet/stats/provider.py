"""Gathers the figures of the node and its pods, and keeps them for whoever asks next.

What control groups tell goes first, the runtime completes it; what reads files runs beside the event loop. Pods and
containers are those that their workers last saw: nobody is asked for a list.
Source: k8s.io/kubernetes/pkg/kubelet/stats (cri_stats_provider), pkg/kubelet/server/stats (summary).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from hyperkube_kubelet.containers.observed import Observed
from hyperkube_kubelet.podspec import Tree, uses_host_network
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.values import ContainerStats, FilesystemUsage, InterfaceUsage, SandboxStats
from hyperkube_kubelet.stats.assembly import Reading, pod_figures
from hyperkube_kubelet.stats.disks import Disks, measure_pod
from hyperkube_kubelet.stats.figures import Filesystem, NodeFigures, Usage, summed
from hyperkube_kubelet.stats.groups import Details, PodGroup
from hyperkube_kubelet.stats.host import Host, filesystem
from hyperkube_kubelet.stats.rates import Rates
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock

__all__ = ["Places", "Provider", "Seen"]

DISK_SECONDS = 60.0
"""Between two measurements of the pods' volumes and logs. Source: volumeStatsAggPeriod."""
TREE_SECONDS = 2.0
"""What walking one volume may take."""
LAYER_SECONDS = 30.0
"""Between two questions to the runtime of what groups don't tell: what containers wrote. It costs the runtime most."""
FRESH_SECONDS = 10.0
"""How old figures may be for who doesn't ask for new ones."""

Seen = tuple[Tree, Observed]
"""A pod, and what its worker last saw of it."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are."""

    root: Path  # of the kubelet: what its file system has is nodefs
    logs: Path  # of pods
    top_group: str = ""  # that the groups of pods are in: /kubepods; "" where they have none

    def pod(self, uid: str) -> Path:
        return self.root / "pods" / uid


@dataclass(frozen=True, slots=True)
class _Told:
    """What the runtime told `at` a moment of the steady clock."""

    at: float
    stats: Mapping[str, ContainerStats]
    sandboxes: Mapping[str, SandboxStats]
    images: FilesystemUsage
    containers: FilesystemUsage


class Provider:
    """The figures of one node."""

    def __init__(
        self,
        name: str,
        runtime: Runtime,
        clock: Clock,
        places: Places,
        seen: Callable[[], Iterable[Seen]],
        host: Host,
        *,
        disk_seconds: float = DISK_SECONDS,
    ) -> None:
        """`seen`: the pods that are at work. `disk_seconds`: between two measurements of disks; 0 makes none."""
        self._name = name
        self._runtime = runtime
        self._clock = clock
        self._places = places
        self._seen = seen
        self._host = host
        self._disk_seconds = disk_seconds
        self._disks: dict[str, Disks] = {}
        self._rates = Rates()
        self._told: _Told | None = None
        self._latest: NodeFigures | None = None
        self._taken = 0.0
        self._lock = asyncio.Lock()
        self._started_at = clock.now()

    async def figures(self, max_age: float = FRESH_SECONDS) -> NodeFigures:
        """Figures that are less than `max_age` seconds old. Raises RuntimeFailure where the runtime doesn't answer."""
        async with self._lock:  # who asks meanwhile waits, and mostly is told the same
            if self._latest is None or self._clock.monotonic() - self._taken >= max_age:
                self._latest = await self._gather()
                self._taken = self._clock.monotonic()
            return self._latest

    async def image_disk(self) -> Filesystem | None:
        """The file system that images are on, as it is now. Raises RuntimeFailure."""
        images = await self._runtime.image_usage()
        return await asyncio.to_thread(filesystem, images.path, now=self._clock.now())

    async def details(self, groups: Sequence[str]) -> dict[str, Details]:
        """Limits of control groups, and what happened at them."""
        read = self._host.groups.details
        return await asyncio.to_thread(lambda: {group: read(group) for group in groups})

    async def devices(self) -> dict[str, str]:
        """Block devices by their numbers."""
        return await asyncio.to_thread(self._host.devices)

    async def usages(self, groups: Sequence[str]) -> dict[str, Usage]:
        """What control groups have used, of those that are there."""
        now, read = self._clock.now(), self._host.groups.usage
        found = await asyncio.to_thread(lambda: {group: read(group, now=now) for group in groups})
        return {group: usage for group, usage in found.items() if usage is not None}

    async def follow_disks(self) -> NoReturn:
        """Measure what pods take of the disk, again and again."""
        while True:
            if self._disk_seconds > 0:
                await self.measure_disks()
            await self._clock.sleep(self._disk_seconds or DISK_SECONDS)

    async def measure_disks(self) -> None:
        """Measure it now, one pod after the other."""
        pods = {meta.uid(pod): pod for pod, observed in self._seen() if observed.sandboxes}
        for uid in self._disks.keys() - pods.keys():
            del self._disks[uid]
        for uid, pod in pods.items():
            folder, now = self._places.pod(uid), self._clock.now()
            self._disks[uid] = await asyncio.to_thread(
                measure_pod, pod, folder, self._places.logs, now=now, seconds=TREE_SECONDS
            )

    async def _gather(self) -> NodeFigures:
        seen = [(pod, observed) for pod, observed in self._seen() if observed.ready_sandbox is not None]
        top = self._places.top_group
        groups = await asyncio.to_thread(self._host.groups.pods, top) if top else {}
        told = self._told
        if told is None or self._clock.monotonic() - told.at >= LAYER_SECONDS or not _suffices(told, seen, groups):
            told = self._told = await self._ask(_are_grouped(seen, groups))
        return await asyncio.to_thread(self._read, seen, told, groups, self._clock.now())

    async def _ask(self, grouped: bool) -> _Told:
        """`grouped`: whether all that runs has a group, which tells more of it than the runtime does."""
        at = self._clock.monotonic()
        return _Told(
            at,
            {one.container_id: one for one in await self._runtime.stats()},
            {one.sandbox_id: one for one in await self._runtime.sandbox_stats()} if not grouped else {},
            await self._runtime.image_usage(),
            await self._runtime.container_usage(),
        )

    # What follows runs in a thread, one at a time.

    def _read(self, seen: Sequence[Seen], told: _Told, groups: Mapping[str, PodGroup], now: float) -> NodeFigures:
        host, places = self._host, self._places
        nodefs = filesystem(places.root, now=now)
        layers, images = (filesystem(one.path, now=now) for one in (told.containers, told.images))
        top = places.top_group
        paths = [path for pod, observed in seen for path in _paths(groups.get(meta.uid(pod)), observed)]
        usages = {path: usage for path in paths if (usage := host.groups.usage(path, now=now)) is not None}
        reading = Reading(
            at=now,
            stats=told.stats,
            sandboxes=told.sandboxes,
            groups=groups,
            usages=usages,
            interfaces={meta.uid(pod): self._interfaces(pod, observed, told, groups) for pod, observed in seen},
            nodefs=nodefs,
            layers=layers,
        )
        pods = tuple(
            pod_figures(pod, observed, reading, self._disks.get(meta.uid(pod)), self._rates) for pod, observed in seen
        )
        most, count = host.processes()
        all_pods = (host.groups.usage(top, now=now) if top else None) or summed([pod.usage for pod in pods])
        figures = NodeFigures(
            at=now,
            name=self._name,
            booted_at=host.booted_at(),
            usage=self._rates.applied("node", host.usage(now=now)),
            interfaces=host.interfaces(),
            nodefs=nodefs,
            imagefs=_taken(images, told.images),
            containerfs=_taken(layers, told.containers),
            layer_device=host.device_of(told.containers.path),
            separate_images=_separate(places.root, told.images.path),
            separate_layers=_separate(told.images.path, told.containers.path),
            max_processes=most,
            processes=count,
            kubelet=self._rates.applied("kubelet", host.own(now=now)),
            kubelet_started_at=self._started_at,
            all_pods=self._rates.applied("pods", all_pods),
            pods=pods,
        )
        ids = [one.id for pod in pods for one in pod.containers]
        self._rates.keep(["node", "kubelet", "pods", *(pod.uid for pod in pods), *ids])
        return figures

    def _interfaces(
        self, pod: Tree, observed: Observed, told: _Told, groups: Mapping[str, PodGroup]
    ) -> tuple[InterfaceUsage, ...]:
        """What the pod's processes see, where the runtime doesn't tell; the node's network is not a pod's."""
        sandbox = observed.ready_sandbox
        if uses_host_network(pod) or sandbox is None:
            return ()
        if (stats := told.sandboxes.get(sandbox.id)) is not None and stats.interfaces:
            return ()
        group = groups.get(meta.uid(pod), PodGroup(""))
        grouped = (pid for path in group.containers.values() for pid in self._host.groups.processes(path))
        pid = next((container.pid for container in observed.running if container.pid), 0) or next(grouped, 0)
        return self._host.interfaces(pid) if pid else ()


def _are_grouped(seen: Iterable[Seen], groups: Mapping[str, PodGroup]) -> bool:
    """Whether all that runs has a control group that is known."""
    return all(
        (group := groups.get(meta.uid(pod))) is not None and container.id in group.containers
        for pod, observed in seen
        for container in observed.running
    )


def _suffices(told: _Told, seen: Sequence[Seen], groups: Mapping[str, PodGroup]) -> bool:
    """Whether what the runtime told before still says all of what runs that groups don't."""
    known = all(container.id in told.stats for _, observed in seen for container in observed.running)
    return known and _are_grouped(seen, groups)


def _paths(group: PodGroup | None, observed: Observed) -> list[str]:
    """The groups of a pod and of what runs in it, but for its sandbox's, which does nothing."""
    if group is None:
        return []
    return [group.path, *(group.containers[one.id] for one in observed.running if one.id in group.containers)]


def _taken(whole: Filesystem | None, usage: FilesystemUsage) -> Filesystem | None:
    """A file system, and what the runtime takes of it."""
    return replace(whole, used_bytes=usage.used_bytes, inodes_used=usage.inodes_used) if whole is not None else None


def _separate(one: Path, other: Path) -> bool:
    """Whether two places are on different file systems."""
    try:
        return one.stat().st_dev != other.stat().st_dev
    except OSError:
        return False
