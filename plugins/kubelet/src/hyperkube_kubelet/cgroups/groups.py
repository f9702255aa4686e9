"""Control groups as folders: making, setting, reading and removing them. Blocking, some milliseconds at worst.

Source: the kernel's documentation of cgroup-v1 and cgroup-v2; opencontainers/cgroups (fs, fs2).
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hyperkube_kubelet.cgroups.errors import CgroupFailure
from hyperkube_kubelet.cgroups.hierarchies import Hierarchies
from hyperkube_kubelet.cgroups.names import Driver, Name, described, parse, written
from hyperkube_kubelet.cgroups.settings import Held, Settings, Write, files_read, held, writes_of
from hyperkube_kubelet.cgroups.slices import Slices

__all__ = ["Groups"]

_MODE = 0o755
_CPUSET = ("cpuset.cpus", "cpuset.mems")


class Groups:
    """The control groups of a machine."""

    def __init__(self, hierarchies: Hierarchies, driver: Driver = "cgroupfs", slices: Slices | None = None) -> None:
        """`slices`: who has to be asked for groups, with the driver systemd."""
        self.hierarchies = hierarchies
        self.driver = driver
        self._slices = slices

    def path(self, name: Name) -> str:
        """The group as a runtime is told of it: below each mount."""
        return written(name, self.driver)

    def folders(self, name: Name) -> list[Path]:
        """Where the group is, or would be."""
        return [mount / self.path(name).lstrip("/") for mount in self.hierarchies.mounts]

    def folder(self, name: Name, controller: str) -> Path:
        return self.hierarchies.points[controller] / self.path(name).lstrip("/")

    def missing(self, name: Name) -> list[str]:
        """What of the group is not there: folders, or in version 2 controllers. Empty where it is there."""
        if self.hierarchies.version == 2:
            folder = self.folders(name)[0]
            try:
                offered = (folder / "cgroup.controllers").read_text().split()
            except OSError:
                return [str(folder)]
            return [name for name in self.hierarchies.checked if name not in offered]
        places = dict.fromkeys(str(self.folder(name, controller)) for controller in self.hierarchies.checked)
        return [place for place in places if not os.path.isdir(place)]

    def create(self, name: Name, settings: Settings) -> None:
        """Make a group, and those above it, and hold it to `settings`. Raises CgroupFailure."""
        if self._slices is not None and name:
            self._slices.start(_unit(name), _unit(name[:-1]) if name[:-1] else "", settings)
        try:
            for mount in self.hierarchies.mounts:
                self._make(mount, self.path(name))
        except OSError as exc:
            raise CgroupFailure(f"failed to create control group {described(name)}: {exc}") from exc
        self._write_all(name, settings)

    def update(self, name: Name, settings: Settings) -> None:
        """Hold a group to `settings` from now on. Raises CgroupFailure."""
        if self._slices is not None and name:
            self._slices.set(_unit(name), settings)
        self._write_all(name, settings)

    def _write_all(self, name: Name, settings: Settings) -> None:
        waiting = list(writes_of(settings, self.hierarchies))
        # A quota and its period are refused while they don't fit each other, so what was refused is tried once more.
        refused: list[tuple[Write, OSError]] = []
        for write in waiting:
            try:
                self._write(name, write)
            except OSError as exc:
                refused.append((write, exc))
        for write, _ in refused:
            try:
                self._write(name, write)
            except OSError as exc:
                if write.needed:
                    why = f"{write.file} can't be set to {write.text}: {exc.strerror}"
                    raise CgroupFailure(f"failed to set up control group {described(name)}: {why}") from exc

    def _write(self, name: Name, write: Write) -> None:
        _put(self.folder(name, write.controller) / write.file, write.text)

    def read(self, name: Name) -> Held | None:
        """What the group is held to; None where it can't be seen."""
        try:
            texts = [(self.folder(name, of) / file).read_text() for of, file in files_read(self.hierarchies.version)]
            return held(self.hierarchies.version, *texts)
        except (OSError, KeyError, ValueError):
            return None

    def memory_usage(self, name: Name) -> int | None:
        """Bytes of memory that are charged to the group; None where it can't be seen."""
        file = "memory.current" if self.hierarchies.version == 2 else "memory.usage_in_bytes"
        try:
            return int((self.folder(name, "memory") / file).read_text())
        except (OSError, KeyError, ValueError):
            return None

    def below(self, name: Name) -> set[Name]:
        """The groups right below this one, in any hierarchy."""
        found: set[Name] = set()
        for folder in self._places(name):
            with suppress(OSError):
                for entry in os.scandir(folder):
                    if entry.is_dir(follow_symlinks=False):
                        inner = parse(f"{self.path(name)}/{entry.name}", self.driver)
                        if len(inner) == len(name) + 1 and inner[:-1] == name:
                            found.add(inner)
        return found

    def processes(self, name: Name) -> set[int]:
        """The processes in the group and in those below it."""
        found: set[int] = set()
        for folder in self._places(name):
            for inner in _tree(folder):
                with suppress(OSError, ValueError):
                    found.update(int(line) for line in (inner / "cgroup.procs").read_text().split())
        return found

    def kill(self, name: Name) -> None:
        """Have every process in the group and below it killed; they may be seen a moment longer."""
        for pid in self.processes(name):
            if pid > 0:  # 0 is a process that this namespace doesn't see
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def remove(self, name: Name) -> bool:
        """Remove the group and those below it; whether it is gone, for processes in it keep it."""
        if self._slices is not None and any(place.is_dir() for place in self._places(name)):
            self._slices.stop(_unit(name))
        gone = True
        for place in self._places(name):
            for folder in reversed(list(_tree(place))):
                try:
                    _remove_folder(folder)
                except OSError as exc:
                    if exc.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                        raise CgroupFailure(f"failed to remove control group {folder}: {exc.strerror}") from exc
                    gone = False
        return gone

    def _places(self, name: Name) -> list[Path]:
        """The group's folders, and the one that a runtime may have made in version 2 of a hybrid machine."""
        beside = self.hierarchies.beside
        return [*self.folders(name), *([beside / self.path(name).lstrip("/")] if beside is not None else [])]

    def _make(self, mount: Path, path: str) -> None:
        """Make the folders of a group from the top down, each with what it needs to have processes in it."""
        folder = mount
        for part in path.strip("/").split("/"):
            parent, folder = folder, folder / part
            if self.hierarchies.version == 2:
                _hand_down(parent, self.hierarchies.checked)
            _make_folder(folder)
            if self.hierarchies.points.get("cpuset") == mount and self.hierarchies.version == 1:
                for file in _CPUSET:
                    _inherit(parent / file, folder / file)
        if self.hierarchies.version == 2:
            _hand_down(folder, self.hierarchies.checked, must=False)


def _unit(name: Name) -> str:
    """The slice that has a group."""
    return written(name, "systemd").rpartition("/")[2]


def _hand_down(folder: Path, controllers: tuple[str, ...], *, must: bool = True) -> None:
    """Let groups below `folder` have controllers. One by one: of several in one write none is given if one isn't."""
    there = (folder / "cgroup.subtree_control").read_text().split()
    for controller in controllers:
        if controller not in there:
            try:
                _put(folder / "cgroup.subtree_control", f"+{controller}")
            except OSError:
                if must:
                    raise


def _inherit(source: Path, target: Path) -> None:
    """Give a new group the processors or memory of the one above it: without, no process can be in it."""
    if not target.read_text().strip():
        _put(target, source.read_text().strip())


def _tree(folder: Path) -> Iterator[Path]:
    """A folder and those below it, each before what is in it; nothing where it isn't there."""
    for path, inner, _ in os.walk(folder):
        inner.sort()
        yield Path(path)


def _make_folder(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(_MODE)


def _remove_folder(folder: Path) -> None:
    with suppress(FileNotFoundError):
        os.rmdir(folder)


def _put(path: Path, text: str) -> None:
    """Write in one go, as files of the kernel want it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
