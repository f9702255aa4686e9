"""Finds and kills processes by what /proc tells of them."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["MARK", "all_below", "by_namespace", "children_of", "kill_all", "marked", "namespace_of", "sharing", "usage"]

MARK = "HK_CONTAINER_ID"
_ROUNDS = 100
"""A process may fork while it is looked for, so its kind is killed until none is found."""


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def namespace_of(pid: int, kind: str) -> str:
    """What tells a process's namespace from others; "" for one that is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return ""


def sharing(namespace: str, kind: str) -> list[int]:
    """The processes in a namespace."""
    return [pid for pid in _pids() if namespace and namespace_of(pid, kind) == namespace]


def marked(identity: str) -> list[int]:
    """The processes whose environment says that they are of container `identity`."""
    wanted = f"{MARK}={identity}".encode()
    found = []
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            continue  # it is gone, or somebody else's
    return found


def children_of(parent: int) -> list[int]:
    found = []
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != b"Z":
            found.append(pid)
    return found


def all_below(ancestor: int) -> list[int]:
    """All living descendants of a process."""
    found: list[int] = []
    frontier = [ancestor]
    while frontier:
        frontier = [child for parent in frontier for child in children_of(parent)]
        found += frontier
    return found


def usage(pids: list[int]) -> dict[str, int]:
    """What processes use together: processor time, with that of children they waited for, and memory in RAM."""
    ticks = kilobytes = alive = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            with open(f"/proc/{pid}/status", "rb") as file:  # exact, which stat is not
                kilobytes += sum(int(line.split()[1]) for line in file if line.startswith(b"VmRSS:"))
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
        alive += 1
    return {
        "cpu_nanoseconds": ticks * (1_000_000_000 // os.sysconf("SC_CLK_TCK")),
        "rss_bytes": kilobytes << 10,
        "processes": alive,
    }


def by_namespace(kind: str) -> dict[str, list[int]]:
    """All processes by their namespace of a kind."""
    found: dict[str, list[int]] = {}
    for pid in _pids():
        found.setdefault(namespace_of(pid, kind), []).append(pid)
    return found


def kill_all(find: Callable[[], list[int]]) -> None:
    """Kill what `find` finds until it finds nothing."""
    for _ in range(_ROUNDS):
        found = find()
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
