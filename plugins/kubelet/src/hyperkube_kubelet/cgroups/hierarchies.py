"""Which hierarchies of control groups a machine has.

    version 1    one for each controller, or for some of them together
    hybrid       the same, and one of version 2 beside them that has no controller of use
    version 2    one for all
Source: the kernel's documentation of cgroup-v1 and cgroup-v2; opencontainers/cgroups (IsCgroup2UnifiedMode).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hyperkube_kubelet.cgroups.errors import CgroupsUnavailable

__all__ = ["Hierarchies", "counts_swap", "find_hierarchies", "read_mounts"]

_ROOT = "/sys/fs/cgroup"
_USED = ("cpu", "cpuset", "memory", "hugetlb", "pids")
"""Controllers of version 2 that groups of pods have, as far as there are any."""
_CHECKED = ("cpu", "cpuacct", "cpuset", "memory", "pids", "hugetlb")
"""Controllers of version 1 in which a group has to be, or it is not there."""


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where control groups are made."""

    version: int  # 1 or 2
    points: Mapping[str, Path]  # by controller; in version 2 all the same
    beside: Path | None = None  # the hierarchy of version 2 on a hybrid machine
    page_sizes: tuple[int, ...] = field(default=())  # of huge pages, in bytes

    @property
    def kind(self) -> str:
        """What the machine has, in a word."""
        return "hybrid" if self.beside is not None else f"v{self.version}"

    @property
    def mounts(self) -> tuple[Path, ...]:
        """Each place once."""
        return tuple(dict.fromkeys(self.points.values()))

    @property
    def checked(self) -> tuple[str, ...]:
        """Controllers in which a group has to be."""
        return tuple(name for name in (_USED if self.version == 2 else _CHECKED) if name in self.points)


def find_hierarchies(root: Path = Path("/")) -> Hierarchies:
    """Those of this machine, or of one whose files are under `root`. Raises CgroupsUnavailable."""
    try:
        mounts = (root / "proc/self/mountinfo").read_text()
    except OSError as exc:
        raise CgroupsUnavailable(f"what is mounted on this machine can't be read: {exc}") from exc
    version, points, beside = read_mounts(mounts)
    if not points and version == 1:
        raise CgroupsUnavailable("this machine has no control groups: none are mounted")
    if version == 2:
        unified = root / str(points[""]).lstrip("/")
        try:
            offered = (unified / "cgroup.controllers").read_text().split()
        except OSError as exc:
            raise CgroupsUnavailable(f"the controllers of {unified} can't be read: {exc}") from exc
        found = {name: unified for name in offered if name in _USED}
    else:
        found = {name: root / str(point).lstrip("/") for name, point in points.items()}
    return Hierarchies(
        version,
        found,
        beside=root / str(beside).lstrip("/") if beside is not None else None,
        page_sizes=_page_sizes(root / "sys/kernel/mm/hugepages"),
    )


def read_mounts(mounts: str) -> tuple[int, dict[str, Path], Path | None]:
    """The version, where each controller is ("" in version 2), and a hierarchy of version 2 beside those of 1.

    `mounts` is /proc/self/mountinfo. Of several places the one with the shortest path is taken. A controller that
    is mounted twice is the same both times.
    """
    points: dict[str, Path] = {}
    unified: list[Path] = []
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4].replace("\\040", " "))
        kind, _, options = after.split()[:3]
        if kind == "cgroup2":
            unified.append(point)
        elif kind == "cgroup":
            for name in options.split(","):
                if name in ("rw", "ro", "xattr", "clone_children", "noprefix", "none") or name.startswith("release"):
                    continue
                if name not in points or len(str(point)) < len(str(points[name])):
                    points[name] = point
    unified.sort(key=lambda path: len(str(path)))
    if unified and (str(unified[0]) == _ROOT or not points):
        return 2, {"": unified[0]}, None
    return 1, points, unified[0] if unified else None


def counts_swap(hierarchies: Hierarchies) -> bool:
    """Whether the kernel counts swap by control groups. In version 2 the root has no file that would tell."""
    if "memory" not in hierarchies.points:
        return False
    mount = hierarchies.points["memory"]
    if hierarchies.version == 1:
        return (mount / "memory.memsw.limit_in_bytes").exists()
    try:
        own = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return False
    path = next((line.removeprefix("0::/") for line in own if line.startswith("0::/")), "")
    return (mount / path / "memory.swap.max").exists()


def _page_sizes(folder: Path) -> tuple[int, ...]:
    """Of huge pages that the kernel knows: its folders are named hugepages-2048kB."""
    try:
        names = os.listdir(folder)
    except OSError:
        return ()
    return tuple(sorted(int(name.removeprefix("hugepages-").removesuffix("kB")) * 1024 for name in names))
