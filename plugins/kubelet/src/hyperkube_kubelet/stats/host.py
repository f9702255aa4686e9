"""Reads what the whole machine uses: /proc, the root of the control groups, and file systems.

Source: github.com/google/cadvisor (the machine's root container), k8s.io/kubernetes/pkg/kubelet/stats/pidlimit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from hyperkube_kubelet.cgroups.errors import CgroupsUnavailable
from hyperkube_kubelet.cgroups.hierarchies import Hierarchies, find_hierarchies
from hyperkube_kubelet.runtime.values import InterfaceUsage
from hyperkube_kubelet.stats.figures import Filesystem, Usage
from hyperkube_kubelet.stats.groups import GroupReader

__all__ = ["Host", "filesystem", "hierarchies_here"]

_IGNORED = ("lo", "veth", "docker", "nerdctl")
"""Beginnings of the names of interfaces that are none of the machine's own. Source: cadvisor."""


@cache
def hierarchies_here() -> Hierarchies | None:
    """Those of this machine, if it has any."""
    try:
        return find_hierarchies()
    except CgroupsUnavailable:
        return None


def filesystem(path: Path, *, now: float) -> Filesystem | None:
    """The file system that `path` is on; None where it can't be asked."""
    try:
        stat = os.statvfs(path)
    except OSError:
        return None
    return Filesystem(
        at=now,
        available_bytes=stat.f_bavail * stat.f_frsize,
        capacity_bytes=stat.f_blocks * stat.f_frsize,
        used_bytes=(stat.f_blocks - stat.f_bfree) * stat.f_frsize,
        inodes=stat.f_files,
        inodes_free=stat.f_ffree,
        inodes_used=stat.f_files - stat.f_ffree,
    )


class Host:
    """The machine, by what the kernel tells in `proc`."""

    def __init__(self, proc: Path, groups: GroupReader) -> None:
        self._proc = proc
        self.groups = groups

    def booted_at(self) -> float:
        """0.0 where it isn't known."""
        for line in self._read("stat").splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
        return 0.0

    def usage(self, *, now: float) -> Usage:
        """Of all processes together. `available_bytes` is what a new one could have without taking it from others.

        Version 2 tells nothing of its root's memory: there it is what isn't free, as upstream has it.
        """
        root = self.groups.usage("/", now=now) or Usage(at=now)
        memory = self._memory()
        total, free = memory.get("MemTotal"), memory.get("MemFree")
        used, inactive = root.memory_bytes, root.inactive_file_bytes
        if used is None and total is not None and free is not None:
            used = total - free
            inactive = inactive if inactive is not None else memory.get("Inactive(file)", 0)
        working = max(0, used - (inactive or 0)) if used is not None else None
        swap, swap_free = memory.get("SwapTotal"), memory.get("SwapFree")
        return Usage(
            at=now,
            cpu_nanoseconds=root.cpu_nanoseconds if root.cpu_nanoseconds is not None else self._busy(),
            user_nanoseconds=root.user_nanoseconds,
            system_nanoseconds=root.system_nanoseconds,
            memory_bytes=used,
            working_set_bytes=working,
            available_bytes=max(0, total - working) if total is not None and working is not None else None,
            rss_bytes=root.rss_bytes if root.rss_bytes is not None else memory.get("AnonPages"),
            cache_bytes=root.cache_bytes if root.cache_bytes is not None else memory.get("Cached"),
            mapped_bytes=root.mapped_bytes,
            active_file_bytes=root.active_file_bytes,
            inactive_file_bytes=inactive,
            page_faults=root.page_faults,
            major_page_faults=root.major_page_faults,
            swap_bytes=swap - swap_free if swap is not None and swap_free is not None else None,
            swap_available_bytes=swap_free,
            pressure=root.pressure,
        )

    def processes(self) -> tuple[int | None, int | None]:
        """How many threads there may be, and how many there are."""
        texts = [self._read(f"sys/kernel/{name}").strip() for name in ("pid_max", "threads-max")]
        fields = self._read("loadavg").split()
        count = fields[3].partition("/")[2] if len(fields) > 3 else ""
        return min((int(text) for text in texts if text), default=None), int(count) if count.isdigit() else None

    def interfaces(self, pid: int = 0) -> tuple[InterfaceUsage, ...]:
        """The network interfaces of the machine's own, or those that the process `pid` sees but for its loopback."""
        text = self._read(f"{pid}/net/dev" if pid else "net/dev")
        found = [each for each in _interfaces(text) if not each.name.startswith(_IGNORED if not pid else ("lo",))]
        return tuple(sorted(found, key=lambda each: each.name != "eth0"))

    def device_of(self, path: Path) -> str:
        """What the file system of `path` was mounted from: /dev/sda1, overlay; "" where that isn't found."""
        try:
            number = path.stat().st_dev
        except OSError:
            return ""
        wanted = f"{os.major(number)}:{os.minor(number)}"
        for line in self._read("self/mountinfo").splitlines():
            before, _, after = line.partition(" - ")
            if before.split()[2] == wanted:
                return after.split()[1]
        return ""

    def devices(self) -> dict[str, str]:
        """The block devices by their numbers: 253:0 is /dev/vda."""
        found = {}
        for line in self._read("partitions").splitlines()[2:]:
            major, minor, _, name = line.split()
            found[f"{major}:{minor}"] = f"/dev/{name}"
        return found

    def own(self, *, now: float) -> Usage:
        """Of this very process."""
        page = os.sysconf("SC_PAGE_SIZE")
        fields = self._read("self/statm").split()
        resident = int(fields[1]) * page if len(fields) > 1 else None
        return Usage(
            at=now,
            cpu_nanoseconds=time.process_time_ns(),
            memory_bytes=resident,
            working_set_bytes=resident,
            rss_bytes=(int(fields[1]) - int(fields[2])) * page if len(fields) > 2 else None,
            processes=1,
        )

    def _memory(self) -> dict[str, int]:
        """In bytes."""
        pairs = (line.partition(":") for line in self._read("meminfo").splitlines())
        return {name: int(rest.split()[0]) * 1024 for name, _, rest in pairs if rest.strip().endswith("kB")}

    def _busy(self) -> int | None:
        line = self._read("stat").partition("\n")[0].split()
        if len(line) < 9:
            return None
        ticks = [int(text) for text in line[1:9]]  # user nice system idle iowait irq softirq steal
        return (sum(ticks) - ticks[3] - ticks[4]) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))

    def _read(self, name: str) -> str:
        try:
            return (self._proc / name).read_text()
        except OSError:
            return ""


def _interfaces(text: str) -> Iterable[InterfaceUsage]:
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        counts = [int(field) for field in rest.split()]
        if len(counts) >= 16:
            yield InterfaceUsage(
                name=name.strip(),
                received_bytes=counts[0],
                receive_errors=counts[2],
                sent_bytes=counts[8],
                send_errors=counts[10],
                received_packets=counts[1],
                receive_dropped=counts[3],
                sent_packets=counts[9],
                send_dropped=counts[11],
            )
