"""Holds containers to their limits, by control groups of either version, where the machine lets this user have some.

    version 2    a group beside this process's own, where its parent belongs to this user (or this user is root)
    version 1    a group below this process's own, in each hierarchy

Below it each container has one. Groups that a killed reaper left are empty, and the next one removes them.
Source: the kernel's documentation of cgroup-v2 and cgroup-v1.
"""

from __future__ import annotations

import os
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["Cgroups", "find_cgroups", "hierarchies", "limited", "settings_of"]

_CONTROLLERS = ("cpu", "memory")
_POD_CONTROLLERS = (*_CONTROLLERS, "pids")  # what pods are held to
_LEAST_SHARES = 2  # what a container has that asks for none


class Cgroups:
    """The node's groups: `folders` has one for each controller, in version 2 all of them the same.

    A container whose pod has a group of its own, which the kubelet made, is put in that one (`parent`, the group's path
    below `points`, where hierarchies are mounted) and not in the node's.
    """

    def __init__(self, version: int, folders: dict[str, str], points: dict[str, str] | None = None) -> None:
        self.version, self._folders = version, folders
        self._points = points or {}
        self.clear()

    @property
    def controllers(self) -> list[str]:
        return sorted(self._folders)

    def _of(self, identity: str, parent: str) -> dict[str, str]:
        """A container's folders by controller."""
        above = self._folders
        if parent:
            of_pod = {name: os.path.join(point, parent.lstrip("/")) for name, point in self._points.items()}
            above = {name: folder for name, folder in of_pod.items() if os.path.isdir(folder)}
        return {controller: os.path.join(folder, identity) for controller, folder in above.items()}

    def make(self, identity: str, limits: dict[str, Any], parent: str = "") -> list[str]:
        """Make a container's group and return the files by which processes join it. Raises OSError."""
        folders = sorted(set(self._of(identity, parent).values()))
        if not folders:
            raise OSError(2, f"the pod's control group {parent} is not there")
        for folder in folders:
            os.makedirs(folder, exist_ok=True)
        self.hold(identity, limits, parent)
        return [os.path.join(folder, "cgroup.procs") for folder in folders]

    def hold(self, identity: str, limits: dict[str, Any], parent: str = "") -> None:
        """Hold a container to other limits from now on. Raises OSError."""
        for controller, folder in self._of(identity, parent).items():
            for name, value, needed in settings_of(self.version, controller, limits):
                try:
                    _write(os.path.join(folder, name), value)
                except OSError:
                    if needed:
                        raise

    def ran_out_of_memory(self, identity: str, parent: str = "") -> bool:
        """Whether the kernel killed one of a container's processes because it had no more memory."""
        folder = self._of(identity, parent).get("memory")
        if folder is None:
            return False
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        try:
            with open(os.path.join(folder, name)) as file:
                return any(line.split()[0] == "oom_kill" and line.split()[1] != "0" for line in file)
        except OSError:
            return False

    def remove(self, identity: str, parent: str = "") -> bool:
        """Remove a container's group; whether it is gone, for it can't be removed while a process is in it."""
        for folder in set(self._of(identity, parent).values()):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                continue
            except OSError:
                return False
        return True

    def clear(self) -> None:
        """Remove what is left of containers."""
        for folder in set(self._folders.values()):
            for name in os.listdir(folder):
                with suppress(OSError):
                    os.rmdir(os.path.join(folder, name))

    def close(self) -> None:
        self.clear()
        for folder in set(self._folders.values()):
            with suppress(OSError):
                os.rmdir(folder)


def limited(limits: dict[str, Any]) -> bool:
    """Whether there is anything to hold a container to. Joining a group takes some ten milliseconds."""
    shares = limits["cpu_shares"] or 0
    return bool(limits["memory_bytes"] or limits["cpu_quota"] or shares > _LEAST_SHARES)


def settings_of(version: int, controller: str, limits: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Files of a group, what to write there, and whether the limits are not held without it."""
    memory, shares, quota = limits["memory_bytes"], limits["cpu_shares"], limits["cpu_quota"]
    period = limits["cpu_period"]
    if controller == "memory" and version == 2:
        yield "memory.max", str(memory) if memory else "max", memory is not None
        yield "memory.swap.max", "0" if memory else "max", False
        yield "memory.oom.group", "1", False  # a container that lost one of its processes is not what it was
    elif controller == "memory":
        yield "memory.limit_in_bytes", str(memory or -1), memory is not None
        yield "memory.memsw.limit_in_bytes", str(memory or -1), False
    elif controller == "cpu" and version == 2:
        weight = 1 + (max(_LEAST_SHARES, shares) - 2) * 9999 // 262142 if shares else 100
        yield "cpu.weight", str(weight), False
        yield "cpu.max", f"{quota if quota and quota > 0 else 'max'} {period}", quota is not None
    elif controller == "cpu":
        yield "cpu.shares", str(shares or 1024), False
        yield "cpu.cfs_period_us", str(period), quota is not None
        yield "cpu.cfs_quota_us", str(quota if quota and quota > 0 else -1), quota is not None


def hierarchies(mounts: str, own: str) -> dict[str, tuple[str, str]]:
    """Where this process's groups are: by controller ("" for version 2) the mount and the path below it.

    `mounts` is /proc/self/mountinfo, `own` /proc/self/cgroup.
    """
    paths: dict[str, str] = {}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    found: dict[str, tuple[str, str]] = {}
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        kind, _, options = after.split()[:3]
        names = [""] if kind == "cgroup2" else options.split(",") if kind == "cgroup" else []
        for name in names:
            path = paths.get(name, "")
            if path.startswith(root):  # else it is another part of the hierarchy that is mounted there
                found.setdefault(name, (point, path[len(root.rstrip("/")) :].strip("/")))
    return found


def find_cgroups(name: str) -> Cgroups:
    """Groups of the node, in a group `name`. Raises OSError, which says why there can be none."""
    with open("/proc/self/mountinfo") as mounts, open("/proc/self/cgroup") as own:
        places = hierarchies(mounts.read(), own.read())
    if "" in places:
        folder = _beside(*places[""], name)
        if folder:
            with open(os.path.join(folder, "cgroup.controllers")) as file:
                offered = file.read().split()
            held = [controller for controller in _CONTROLLERS if controller in offered]
            if held:
                _write(os.path.join(folder, "cgroup.subtree_control"), " ".join(f"+{name}" for name in held))
                return Cgroups(2, dict.fromkeys(held, folder), dict.fromkeys(_POD_CONTROLLERS, places[""][0]))
            os.rmdir(folder)
    folders: dict[str, str] = {}
    for controller in _CONTROLLERS:
        if controller in places:
            point, path = places[controller]
            folder = os.path.join(point, path, name)
            with suppress(OSError):
                os.makedirs(folder, exist_ok=True)
                folders[controller] = folder
    if not folders:
        raise OSError(0, "no control group with cpu or memory is this user's")
    points = {controller: places[controller][0] for controller in _POD_CONTROLLERS if controller in places}
    return Cgroups(1, folders, points)


def _beside(point: str, path: str, name: str) -> str:
    """A new group in the nearest group above this process's own that is this user's to divide, "" if none is."""
    while path:
        path = os.path.dirname(path)
        parent = os.path.join(point, path)
        folder = os.path.join(parent, name)
        if not os.access(os.path.join(parent, "cgroup.procs"), os.W_OK):
            continue
        with suppress(OSError):
            with open(os.path.join(parent, "cgroup.controllers")) as file:
                offered = file.read().split()
            for controller in _CONTROLLERS:
                if controller in offered:
                    with suppress(OSError):
                        _write(os.path.join(parent, "cgroup.subtree_control"), f"+{controller}")
            os.makedirs(folder, exist_ok=True)
            return folder
    return ""


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
