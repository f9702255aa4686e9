"""Makes the figures of pods of what the runtime, control groups and the disk told of them. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/stats (cri_stats_provider, helper: calcEphemeralStorage).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hyperkube_kubelet.containers.observed import Observed
from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.runtime.values import Container, ContainerStats, InterfaceUsage, SandboxStats
from hyperkube_kubelet.stats.disks import Disks, Size
from hyperkube_kubelet.stats.figures import ContainerFigures, Filesystem, PodFigures, Usage, completed, summed
from hyperkube_kubelet.stats.groups import PodGroup
from hyperkube_kubelet.stats.rates import Rates
from hyperkube_machinery import meta

__all__ = ["Reading", "pod_figures"]

_NO_GROUP = PodGroup("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was asked and read at one time."""

    at: float
    stats: Mapping[str, ContainerStats] = field(default_factory=dict)  # by container
    sandboxes: Mapping[str, SandboxStats] = field(default_factory=dict)
    groups: Mapping[str, PodGroup] = field(default_factory=dict)  # by uid
    usages: Mapping[str, Usage] = field(default_factory=dict)  # by group
    interfaces: Mapping[str, tuple[InterfaceUsage, ...]] = field(default_factory=dict)  # by uid
    nodefs: Filesystem | None = None
    layers: Filesystem | None = None  # that containers write to


def pod_figures(pod: Tree, observed: Observed, reading: Reading, disks: Disks | None, rates: Rates) -> PodFigures:
    """Of one pod, which has a sandbox. `disks`: None where its volumes and logs were not measured yet."""
    uid = meta.uid(pod)
    newest = observed.sandboxes[0]
    group = reading.groups.get(uid, _NO_GROUP)
    containers = tuple(_container(container, reading, group, disks, rates) for container in _newest_running(observed))
    of_sandbox = reading.sandboxes.get(newest.id)
    usage = completed(reading.usages.get(group.path, Usage()), _of_sandbox(of_sandbox))
    usage = completed(usage, summed([each.usage for each in containers]))
    processes = [each.usage.processes for each in containers if each.usage.processes is not None]
    if processes:  # a pod's own group has none
        usage = replace(usage, processes=sum(processes))
    return PodFigures(
        namespace=meta.namespace(pod),
        name=meta.name(pod),
        uid=uid,
        created_at=newest.created_at,
        usage=rates.applied(uid, usage),
        containers=containers,
        interfaces=(of_sandbox.interfaces if of_sandbox is not None else ()) or reading.interfaces.get(uid, ()),
        volumes=disks.volumes if disks is not None else (),
        ephemeral=_ephemeral(reading, containers, disks),
        sandbox_id=newest.id,
        group=group.path,
        sandbox_group=group.containers.get(newest.id, ""),
    )


def _newest_running(observed: Observed) -> Iterator[Container]:
    """What runs, of each name the newest."""
    names = set[str]()
    for container in observed.running:
        if container.config.name not in names:
            names.add(container.config.name)
            yield container


def _container(
    container: Container, reading: Reading, group: PodGroup, disks: Disks | None, rates: Rates
) -> ContainerFigures:
    stats = reading.stats.get(container.id)
    path = group.containers.get(container.id, "")
    usage = completed(reading.usages.get(path, Usage()), _of_container(stats))
    name = container.config.name
    return ContainerFigures(
        name=name,
        id=container.id,
        image=container.config.image,
        created_at=container.created_at,
        usage=rates.applied(container.id, usage),
        rootfs=_layer(stats, reading.layers) if stats is not None else None,
        logs=_part(reading.nodefs, disks.at, disks.logs.get(name, (0, 0))) if disks is not None else None,
        group=path,
    )


def _of_container(stats: ContainerStats | None) -> Usage:
    if stats is None:
        return Usage()
    return Usage(
        at=stats.at,
        cpu_nanoseconds=stats.cpu_nanoseconds,
        cpu_nanocores=stats.cpu_nanocores,
        memory_bytes=stats.usage_bytes if stats.usage_bytes is not None else stats.memory_bytes,
        working_set_bytes=stats.memory_bytes,
        available_bytes=stats.available_bytes,
        rss_bytes=stats.rss_bytes,
        page_faults=stats.page_faults,
        major_page_faults=stats.major_page_faults,
        swap_bytes=stats.swap_bytes,
        swap_available_bytes=stats.swap_available_bytes,
        processes=stats.processes or None,
    )


def _of_sandbox(stats: SandboxStats | None) -> Usage:
    if stats is None:
        return Usage()
    return Usage(
        at=stats.at,
        cpu_nanoseconds=stats.cpu_nanoseconds,
        memory_bytes=stats.usage_bytes,
        working_set_bytes=stats.memory_bytes,
        rss_bytes=stats.rss_bytes,
        processes=stats.processes,
    )


def _layer(stats: ContainerStats, whole: Filesystem | None) -> Filesystem:
    """What a container wrote over its image."""
    return _part(whole, stats.at, (stats.writable_bytes, stats.writable_inodes))


def _part(whole: Filesystem | None, at: float, size: Size | tuple[int, int | None]) -> Filesystem:
    """Something that takes `size` of a file system."""
    used, inodes = size
    if whole is None:
        return Filesystem(at=at, used_bytes=used, inodes_used=inodes)
    return replace(whole, at=at, used_bytes=used, inodes_used=inodes)


def _ephemeral(reading: Reading, containers: Sequence[ContainerFigures], disks: Disks | None) -> Filesystem | None:
    """What a pod takes of the node's storage: nothing is told before all of it was measured."""
    if disks is None:
        return None
    parts: list[tuple[int | None, int | None]] = [disks.logs.get("", (0, 0)), disks.files]
    parts += [(each.filesystem.used_bytes, each.filesystem.inodes_used) for each in disks.volumes if each.local]
    for container in containers:
        parts += [(one.used_bytes, one.inodes_used) for one in (container.rootfs, container.logs) if one is not None]
    return _part(reading.nodefs, disks.at, (sum(size or 0 for size, _ in parts), sum(part or 0 for _, part in parts)))
