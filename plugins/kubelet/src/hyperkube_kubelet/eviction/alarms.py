"""Has the kernel tell when memory becomes scarce, so that nobody waits for the next look.

    version 1    a number of bytes in use, for each threshold: cgroup.event_control and an eventfd
    version 2    how long processes wait for memory: a trigger of /proc/pressure/memory

Source: the kernel's documentation of cgroup-v1 memory thresholds and of PSI; k8s.io/kubernetes/pkg/kubelet/eviction
(memory_threshold_notifier_others.go, threshold_notifier_linux.go).
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from hyperkube_kubelet.cgroups.hierarchies import Hierarchies
from hyperkube_kubelet.stats.figures import NodeFigures, Usage
from hyperkube_kubelet.thresholds import Threshold

__all__ = ["Alarm", "NoAlarm", "PressureAlarm", "UsageAlarms", "alarms", "usage_at"]

log = logging.getLogger(__name__)

PRESSURE = Path("/proc/pressure/memory")
_TRIGGER = b"some 200000 2000000"
"""A fifth of a second of two, in microseconds: what users without rights may ask for are multiples of two seconds."""


class Alarm(Protocol):
    """Rings when memory becomes scarce."""

    def aim(self, figures: NodeFigures, thresholds: Sequence[Threshold]) -> None:
        """What is scarce depends on what there is now."""


class NoAlarm:
    """Never rings."""

    def aim(self, figures: NodeFigures, thresholds: Sequence[Threshold]) -> None:
        pass


def usage_at(threshold: Threshold, usage: Usage) -> int | None:
    """The bytes in use at which there is too little, with what the kernel could take back as it is now."""
    available, working, used = usage.available_bytes, usage.working_set_bytes, usage.memory_bytes
    if available is None or working is None or used is None:
        return None
    capacity = available + working
    return capacity - threshold.least.of(capacity) + (used - working)


@contextmanager
def alarms(hierarchies: Hierarchies | None, top: str, ring: Callable[[], None]) -> Iterator[Alarm]:
    """What this machine has, for the length of the block; `ring` is called by the event loop.

    `top`: the group that all pods are in, "" where there is none.
    """
    with ExitStack() as stack:
        alarm: Alarm = NoAlarm()
        try:
            if hierarchies is not None and hierarchies.version == 1 and "memory" in hierarchies.points:
                root = hierarchies.points["memory"]
                whole = UsageAlarms(root, root / top.strip("/") if top else None, ring)
                stack.callback(whole.close)
                alarm = whole
            elif PRESSURE.exists():
                alarm = stack.enter_context(PressureAlarm.open(PRESSURE, ring))
            else:
                log.warning("the kernel can't tell when memory becomes scarce: it is looked at every ten seconds")
        except OSError as exc:
            log.warning("the kernel doesn't tell when memory becomes scarce: %s", exc)
        yield alarm


class UsageAlarms:
    """One for each threshold of memory, in groups of version 1."""

    def __init__(self, root: Path, pods: Path | None, ring: Callable[[], None]) -> None:
        """`root`, `pods`: the folders of the machine's group and that of all pods."""
        self._folders = {"memory.available": root, "allocatableMemory.available": pods}
        self._ring = ring
        self._descriptors: list[int] = []

    def aim(self, figures: NodeFigures, thresholds: Sequence[Threshold]) -> None:
        self.close()
        usages = {"memory.available": figures.usage, "allocatableMemory.available": figures.all_pods}
        for threshold in thresholds:
            folder = self._folders.get(threshold.signal)
            if folder is None or (at := usage_at(threshold, usages[threshold.signal])) is None:
                continue
            try:
                self._watch(folder, at)
            except OSError as exc:
                log.warning("the kernel doesn't tell when %d bytes are used in %s: %s", at, folder, exc)

    def _watch(self, folder: Path, usage: int) -> None:
        descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            watched = os.open(folder / "memory.usage_in_bytes", os.O_RDONLY | os.O_CLOEXEC)
            try:
                (folder / "cgroup.event_control").write_text(f"{descriptor} {watched} {usage}")
            finally:
                os.close(watched)
            asyncio.get_running_loop().add_reader(descriptor, self._hear, descriptor)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptors.append(descriptor)

    def _hear(self, descriptor: int) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(descriptor)
        self._ring()

    def close(self) -> None:
        """Forget what was asked for."""
        for descriptor in self._descriptors:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
        self._descriptors.clear()


class PressureAlarm:
    """Rings while processes wait for memory; a thread waits for it, which event loops can't."""

    @staticmethod
    @contextmanager
    def open(path: Path, ring: Callable[[], None]) -> Iterator[NoAlarm]:
        """Raises OSError where the kernel takes no trigger."""
        loop = asyncio.get_running_loop()
        pressure = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        ending, end = os.pipe2(os.O_CLOEXEC)
        try:
            os.write(pressure, _TRIGGER + b"\0")
            told = threading.Thread(
                target=_wait, args=(pressure, ending, lambda: loop.call_soon_threadsafe(ring)), name="memory pressure"
            )
            told.start()
            try:
                yield NoAlarm()
            finally:
                os.write(end, b"x")
                told.join()
        finally:
            for descriptor in (pressure, ending, end):
                os.close(descriptor)


def _wait(pressure: int, ending: int, ring: Callable[[], object]) -> None:
    waiting = select.poll()
    waiting.register(pressure, select.POLLPRI)
    waiting.register(ending, select.POLLIN)
    while True:
        for descriptor, events in waiting.poll():
            if descriptor == ending or events & (select.POLLERR | select.POLLNVAL):
                return
            ring()
