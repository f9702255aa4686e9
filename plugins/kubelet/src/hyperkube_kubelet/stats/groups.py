"""Reads what control groups have used, of version 1, 2, or both beside each other.

    version 1      one folder a controller: /sys/fs/cgroup/memory/kubepods/pod…/memory.usage_in_bytes
    version 2      one folder for all: /sys/fs/cgroup/kubepods/pod…/memory.current
    hybrid         version 1, with a version 2 that has no controllers of ours

Source: the kernel's documentation of cgroup-v1 and cgroup-v2; github.com/google/cadvisor (what a working set is).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hyperkube_kubelet.cgroups.hierarchies import Hierarchies
from hyperkube_kubelet.stats.figures import Pressure, Usage

__all__ = ["Details", "GroupReader", "PodGroup", "Transfers"]

_NANOSECONDS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_UNLIMITED = 1 << 62
"""What is more than this is no limit: version 1 shows the largest number of pages."""
_POD = re.compile(r"^pod([0-9a-zA-Z-]+)$|-pod([0-9a-zA-Z_]+)\.slice$")
_QUALITY = re.compile(r"(?:^|-)(burstable|besteffort)(?:\.slice)?$")
_CONTAINER = re.compile(r"([0-9a-f]{64})(?:\.scope)?$")


@dataclass(frozen=True, slots=True)
class PodGroup:
    """The group of a pod, and those in it by the id of their container or sandbox, as paths below a hierarchy."""

    path: str
    containers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transfers:
    """What was read of a device and written to it, in bytes and times."""

    device: str  # 253:0
    read_bytes: int
    written_bytes: int
    reads: int
    writes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What only few ask of a group: limits, and what happened at them."""

    shares: int | None = None
    quota: int | None = None  # microseconds in each period; None without a limit
    period: int | None = None
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_nanoseconds: int | None = None
    memory_limit: int | None = None
    swap_limit: int | None = None  # of memory and swap together
    reservation: int | None = None
    highest_bytes: int | None = None
    failures: int | None = None  # how often memory was refused
    kills: int | None = None  # of processes, for want of memory
    most_threads: int | None = None
    transfers: tuple[Transfers, ...] = ()


class GroupReader:
    """What is in the hierarchies of a machine."""

    def __init__(self, hierarchies: Hierarchies | None) -> None:
        """None for a machine that has none: then there is no group."""
        self._points = hierarchies.points if hierarchies is not None else {}
        self.unified = hierarchies is not None and hierarchies.version == 2

    def _folder(self, controller: str, path: str) -> Path | None:
        base = self._points.get("memory" if self.unified else controller)
        return base / path.strip("/") if base is not None else None

    # Which there are.

    def pods(self, top: str) -> dict[str, PodGroup]:
        """The groups of pods by their uid, anywhere in `top` (/kubepods, /kubepods.slice) or its two classes."""
        found: dict[str, PodGroup] = {}
        for path in (top, *(f"{top}/{name}" for name in self._children(top) if _QUALITY.search(name))):
            for name in self._children(path):
                if match := _POD.search(name):
                    # A slice's dashes tell its parents, and so it has underscores for the uid's.
                    uid = match[1] or match[2].replace("_", "-")
                    inner = f"{path}/{name}"
                    found[uid] = PodGroup(inner, dict(self._containers(inner)))
        return found

    def _containers(self, path: str) -> Iterator[tuple[str, str]]:
        for name in self._children(path):
            if match := _CONTAINER.search(name):
                yield match[1], f"{path}/{name}"

    def _children(self, path: str) -> list[str]:
        folder = self._folder("memory", path)
        if folder is None:
            return []
        with suppress(OSError), os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        return []

    # What they have used.

    def usage(self, path: str, *, now: float) -> Usage | None:
        """What the group at `path` has used with all in it; None where there is no such group."""
        folder = self._folder("memory", path)
        if folder is None or not folder.is_dir():
            return None
        return (self._usage_two if self.unified else self._usage_one)(path, now)

    def processes(self, path: str) -> list[int]:
        """The ids of the processes that are in the very group."""
        folder = self._folder("memory", path)
        return [int(line) for line in _read(folder, "cgroup.procs").split()]

    def details(self, path: str) -> Details:
        """What its limits are, and how often it met them."""
        return self._details_two(path) if self.unified else self._details_one(path)

    def _usage_one(self, path: str, now: float) -> Usage:
        cpu, memory, pids = (self._folder(name, path) for name in ("cpuacct", "memory", "pids"))
        ticks = _pairs(_read(cpu, "cpuacct.stat"))
        stat = _pairs(_read(memory, "memory.stat"))
        usage, limit = _number(memory, "memory.usage_in_bytes"), _limit(memory, "memory.limit_in_bytes")
        inactive = stat.get("total_inactive_file")
        working = _working_set(usage, inactive)
        return Usage(
            at=now,
            cpu_nanoseconds=_number(cpu, "cpuacct.usage"),
            user_nanoseconds=_scaled(ticks.get("user"), _NANOSECONDS_PER_TICK),
            system_nanoseconds=_scaled(ticks.get("system"), _NANOSECONDS_PER_TICK),
            memory_bytes=usage,
            working_set_bytes=working,
            available_bytes=_left(limit, working),
            rss_bytes=stat.get("total_rss"),
            cache_bytes=stat.get("total_cache"),
            mapped_bytes=stat.get("total_mapped_file"),
            active_file_bytes=stat.get("total_active_file"),
            inactive_file_bytes=inactive,
            page_faults=stat.get("total_pgfault"),
            major_page_faults=stat.get("total_pgmajfault"),
            swap_bytes=stat.get("total_swap"),
            processes=len(_read(memory, "cgroup.procs").split()) or None,
            threads=_number(pids, "pids.current"),
        )

    def _usage_two(self, path: str, now: float) -> Usage:
        folder = self._folder("memory", path)
        cpu, stat = _pairs(_read(folder, "cpu.stat")), _pairs(_read(folder, "memory.stat"))
        usage, limit = _number(folder, "memory.current"), _limit(folder, "memory.max")
        inactive = stat.get("inactive_file")
        working = _working_set(usage, inactive)
        swap, most_swap = _number(folder, "memory.swap.current"), _limit(folder, "memory.swap.max")
        return Usage(
            at=now,
            cpu_nanoseconds=_scaled(cpu.get("usage_usec"), 1000),
            user_nanoseconds=_scaled(cpu.get("user_usec"), 1000),
            system_nanoseconds=_scaled(cpu.get("system_usec"), 1000),
            memory_bytes=usage,
            working_set_bytes=working,
            available_bytes=_left(limit, working),
            rss_bytes=stat.get("anon"),
            cache_bytes=stat.get("file"),
            mapped_bytes=stat.get("file_mapped"),
            active_file_bytes=stat.get("active_file"),
            inactive_file_bytes=inactive,
            page_faults=stat.get("pgfault"),
            major_page_faults=stat.get("pgmajfault"),
            swap_bytes=swap,
            swap_available_bytes=_left(most_swap, swap),
            processes=len(_read(folder, "cgroup.procs").split()) or None,
            threads=_number(folder, "pids.current"),
            pressure=dict(_pressures(folder)),
        )

    def _details_one(self, path: str) -> Details:
        cpu, memory, pids = (self._folder(name, path) for name in ("cpu", "memory", "pids"))
        stat = _pairs(_read(cpu, "cpu.stat"))
        quota = _number(cpu, "cpu.cfs_quota_us")
        return Details(
            shares=_number(cpu, "cpu.shares"),
            quota=quota if quota is not None and quota > 0 else None,
            period=_number(cpu, "cpu.cfs_period_us"),
            periods=stat.get("nr_periods"),
            throttled_periods=stat.get("nr_throttled"),
            throttled_nanoseconds=stat.get("throttled_time"),
            memory_limit=_limit(memory, "memory.limit_in_bytes"),
            swap_limit=_limit(memory, "memory.memsw.limit_in_bytes"),
            reservation=_limit(memory, "memory.soft_limit_in_bytes"),
            highest_bytes=_number(memory, "memory.max_usage_in_bytes"),
            failures=_number(memory, "memory.failcnt"),
            kills=_pairs(_read(memory, "memory.oom_control")).get("oom_kill"),
            most_threads=_limit(pids, "pids.max"),
            transfers=_transfers_one(self._folder("blkio", path)),
        )

    def _details_two(self, path: str) -> Details:
        folder = self._folder("memory", path)
        stat, events = _pairs(_read(folder, "cpu.stat")), _pairs(_read(folder, "memory.events"))
        quota, _, period = _read(folder, "cpu.max").partition(" ")
        weight, limit = _number(folder, "cpu.weight"), _limit(folder, "memory.max")
        swap = _limit(folder, "memory.swap.max")
        return Details(
            shares=2 + (weight - 1) * 262142 // 9999 if weight is not None else None,
            quota=int(quota) if quota.isdigit() else None,
            period=int(period) if period.strip().isdigit() else None,
            periods=stat.get("nr_periods"),
            throttled_periods=stat.get("nr_throttled"),
            throttled_nanoseconds=_scaled(stat.get("throttled_usec"), 1000),
            memory_limit=limit,
            swap_limit=limit + swap if limit is not None and swap is not None else None,
            reservation=_limit(folder, "memory.low"),
            highest_bytes=_number(folder, "memory.peak"),
            failures=events.get("max"),
            kills=events.get("oom_kill"),
            most_threads=_limit(folder, "pids.max"),
            transfers=_transfers_two(folder),
        )


def _read(folder: Path | None, name: str) -> str:
    """Empty where it can't be read: a group may be gone at any time, and not each has each file."""
    if folder is None:
        return ""
    try:
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _number(folder: Path | None, name: str) -> int | None:
    text = _read(folder, name).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _limit(folder: Path | None, name: str) -> int | None:
    """None where there is none."""
    number = _number(folder, name)
    return number if number is not None and 0 <= number < _UNLIMITED else None


def _pairs(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if value.isdigit():
            found[name] = int(value)
    return found


def _transfers_one(folder: Path | None) -> tuple[Transfers, ...]:
    """Of version 1, whose lines are of one kind: `253:0 Read 4096`."""
    found: dict[str, dict[str, int]] = {}
    for name, suffix in (("blkio.throttle.io_service_bytes", "bytes"), ("blkio.throttle.io_serviced", "times")):
        for line in _read(folder, name).splitlines():
            device, *rest = line.split()
            if len(rest) == 2:
                found.setdefault(device, {})[f"{rest[0]} {suffix}"] = int(rest[1])
    keys = ("Read bytes", "Write bytes", "Read times", "Write times")
    return tuple(Transfers(device, *(of.get(key, 0) for key in keys)) for device, of in found.items())


def _transfers_two(folder: Path | None) -> tuple[Transfers, ...]:
    """Of version 2: `253:0 rbytes=4096 wbytes=0 rios=1 wios=0 …`."""
    found = []
    for line in _read(folder, "io.stat").splitlines():
        device, *pairs = line.split()
        of = dict(pair.partition("=")[::2] for pair in pairs)
        keys = ("rbytes", "wbytes", "rios", "wios")
        found.append(Transfers(device, *(int(of.get(key, 0)) for key in keys)))
    return tuple(found)


def _pressures(folder: Path | None) -> Iterator[tuple[str, tuple[Pressure, Pressure]]]:
    for resource in ("cpu", "memory", "io"):
        kinds = {"some": Pressure(0, 0.0, 0.0, 0.0), "full": Pressure(0, 0.0, 0.0, 0.0)}
        text = _read(folder, f"{resource}.pressure")
        for line in text.splitlines():
            kind, *pairs = line.split()
            values = dict(pair.partition("=")[::2] for pair in pairs)
            kinds[kind] = Pressure(
                int(values["total"]), float(values["avg10"]), float(values["avg60"]), float(values["avg300"])
            )
        if text:
            yield resource, (kinds["some"], kinds["full"])


def _scaled(value: int | None, factor: int) -> int | None:
    return value * factor if value is not None else None


def _working_set(usage: int | None, inactive: int | None) -> int | None:
    return max(0, usage - (inactive or 0)) if usage is not None else None


def _left(limit: int | None, used: int | None) -> int | None:
    return max(0, limit - used) if limit is not None and used is not None else None
