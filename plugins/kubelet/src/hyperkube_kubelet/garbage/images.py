"""Removes images that nobody uses: when they are old, and when the disk that they are on is full.

Source: k8s.io/kubernetes/pkg/kubelet/images/image_gc_manager.go.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.garbage.errors import GarbageLeft
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.values import Container, Image
from hyperkube_kubelet.stats.figures import Filesystem
from hyperkube_kubelet.telling import Recorder
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.durations import format_duration

__all__ = ["ImageCollector", "ImageRules", "Record", "bytes_to_free", "old", "recorded", "removable", "used_ids"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRules:
    """When images go; percentages of the file system that they are on, times in seconds."""

    high_percent: int = 85  # from here on
    low_percent: int = 80  # down to here
    least_age: float = 120.0  # since it was first seen: it may have been pulled for a container to be made
    most_age: float = 0.0  # since it was last used; 0: however long


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of an image that the node has."""

    first_seen: float
    last_used: float  # 0.0: not yet
    size: int
    pinned: bool


Records = Mapping[str, Record]
"""By the id of the image."""


def used_ids(images: Iterable[Image], containers: Iterable[Container]) -> set[str]:
    """The images of containers, also of those that have ended: they are looked at, and may be begun again."""
    named: set[str] = set()
    for container in containers:
        named |= {container.image_id, container.image_ref, container.config.image}
        named |= {mount.image for mount in container.config.mounts if mount.image}
    return {image.id for image in images if named & {image.id, *image.tags, *image.digests}}


def recorded(before: Records, images: Iterable[Image], used: set[str], now: float) -> dict[str, Record]:
    """What is known of the images that there are now."""
    found: dict[str, Record] = {}
    for image in images:
        known = before.get(image.id)
        found[image.id] = Record(
            first_seen=known.first_seen if known is not None else now,
            last_used=now if image.id in used else known.last_used if known is not None else 0.0,
            size=image.size,
            pinned=image.pinned,
        )
    return found


def removable(records: Records, used: set[str]) -> list[str]:
    """The images that may go, those first that were used the longest ago."""
    free = [(record.last_used, record.first_seen, name) for name, record in records.items() if not record.pinned]
    return [name for _, _, name in sorted(free) if name not in used]


def old(records: Records, names: Iterable[str], rules: ImageRules, *, now: float, began: float) -> list[str]:
    """Of `names` those that nobody has used for too long, as far as it was looked at for so long."""
    if not rules.most_age or now - began <= rules.most_age:
        return []
    return [name for name in names if now - records[name].last_used > rules.most_age]


def bytes_to_free(disk: Filesystem, rules: ImageRules) -> int:
    """How much is to be freed; 0 while there is room enough. Raises ValueError for a disk without a size."""
    capacity = disk.capacity_bytes or 0
    if not capacity:
        raise ValueError("invalid capacity 0 on image filesystem")
    available = min(disk.available_bytes or 0, capacity)
    if percent_used(disk) < rules.high_percent:
        return 0
    return max(0, capacity * (100 - rules.low_percent) // 100 - available)


def percent_used(disk: Filesystem) -> int:
    capacity = disk.capacity_bytes or 1
    return 100 - min(disk.available_bytes or 0, capacity) * 100 // capacity


class ImageCollector:
    """Removes images of one node."""

    def __init__(
        self,
        rules: ImageRules,
        runtime: Runtime,
        disk: Callable[[], Awaitable[Filesystem | None]],
        recorder: Recorder,
        node: Mapping[str, Any],
        clock: Clock,
        counts: Counts,
    ) -> None:
        """`disk`: the file system that images are on, as it is now; `node`: what events are about."""
        self._rules = rules
        self._runtime = runtime
        self._disk = disk
        self._recorder = recorder
        self._node = node
        self._clock = clock
        self._counts = counts
        self._records: dict[str, Record] = {}
        self._began = clock.now()

    @property
    def idle(self) -> bool:
        """Whether images only go when somebody asks for it."""
        return self._rules.high_percent == 100 and not self._rules.most_age

    async def look(self) -> list[str]:
        """See what there is and what is used; returns what may go, in that order. Raises RuntimeFailure."""
        images = await self._runtime.images()
        used = used_ids(images, await self._runtime.containers())
        self._records = recorded(self._records, images, used, self._clock.now())
        return removable(self._records, used)

    async def collect(self) -> None:
        """Remove what is too old, and what has to go for room. Raises GarbageLeft, RuntimeFailure."""
        names = await self.look()
        aged = old(self._records, names, self._rules, now=self._clock.now(), began=self._began)
        await self._remove(aged, "age", f"images older than {format_duration(self._rules.most_age)}")
        disk = await self._disk()
        if disk is None:
            raise GarbageLeft("the file system that images are on can't be asked how full it is")
        try:
            wanted = bytes_to_free(disk, self._rules)
        except ValueError as exc:
            self._recorder.event(self._node, "Warning", "InvalidDiskCapacity", str(exc))
            raise GarbageLeft(str(exc)) from exc
        if not wanted:
            return
        log.info("%d%% of the disk with images is used: %d bytes are to be freed", percent_used(disk), wanted)
        freed = await self._free([name for name in names if name not in aged], wanted)
        if freed < wanted:
            message = (
                f"Insufficient free disk space on the node's image filesystem ({percent_used(disk)}% of"
                f" {_shown(disk.capacity_bytes or 0)} used). Failed to free sufficient space by deleting unused images"
                f" (freed {freed} bytes). Investigate disk usage, as it could be used by active images, logs, volumes,"
                " or other data."
            )
            self._recorder.event(self._node, "Warning", "FreeDiskSpaceFailed", message)
            raise GarbageLeft(message)

    async def remove_unused(self) -> None:
        """Remove all that may go and are not too young. Raises GarbageLeft, RuntimeFailure."""
        await self._free(await self.look(), None)

    async def _free(self, names: Iterable[str], wanted: int | None) -> int:
        """Remove until so many bytes are free, None for all; returns how many are."""
        now, chosen, size = self._clock.now(), [], 0
        for name in names:
            record = self._records[name]
            if now - record.first_seen < self._rules.least_age:
                continue
            chosen.append(name)
            size += record.size
            if wanted is not None and size >= wanted:
                break
        await self._remove(chosen, "space", f"{'all' if wanted is None else wanted} bytes")
        return size

    async def _remove(self, names: Iterable[str], reason: str, what: str) -> None:
        failures: list[str] = []
        for name in names:
            log.info("removing image %s of %d bytes", name, self._records[name].size)
            try:
                await self._runtime.remove_image(name)
            except RuntimeFailure as exc:
                failures.append(str(exc))
                continue
            self._records.pop(name, None)
            self._counts.images_removed.labels(reason).inc()
        if failures:
            raise GarbageLeft(f"wanted to free {what}, encountered errors in image deletion: {'; '.join(failures)}")


def _shown(size: int) -> str:
    """A size for people."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
