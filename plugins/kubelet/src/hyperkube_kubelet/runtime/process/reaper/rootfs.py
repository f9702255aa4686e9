"""Makes what a container's processes see as the file system; runs in the child that becomes the container.

The new root is made the child's root folder first, and everything is mounted within it afterwards, from descriptors
that were opened before: so paths are the container's own, and no symbolic link of an image leads out.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from hyperkube_kubelet.runtime.process.reaper import syscalls
from hyperkube_kubelet.runtime.process.reaper.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
)
from hyperkube_kubelet.runtime.process.reaper.trees import copy_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Misfit", "build"]

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
_OWN = ("dev", "proc", "sys", "tmp", "run")
"""Folders in which a container of the host's own root sees something else than the host's."""

_PROPAGATION = {
    "None": MS_PRIVATE | MS_REC,
    "HostToContainer": MS_SLAVE | MS_REC,
    "Bidirectional": MS_SHARED | MS_REC,
}


class Misfit(Exception):
    """A volume and the place where it is wanted don't go together."""


def build(run: dict[str, Any], folder: str, files: dict[str, str]) -> None:
    """Give this process, which has a mount namespace of its own, the root that `run` asks for.

    `folder` is the container's, on disk; `files` are the sandbox's own, by their paths inside.
    """
    asked = {os.path.normpath(mount["target"]) for mount in run["mounts"]}
    mounts: list[dict[str, Any]] = [
        {"source": source, "target": target, "readonly": False}
        for target, source in files.items()
        if target not in asked
    ]
    mounts += sorted(run["mounts"], key=lambda mount: os.path.normpath(mount["target"]).count("/"))
    sources = [_opened_volume(mount) for mount in mounts]
    devices = {name: _opened(f"/dev/{name}", "a device") for name in _DEVICES}
    host_sys = _opened("/sys", "the host's /sys")
    replicas = _enter(run, folder)
    _mount_proc(run)
    _mount_dev(devices)
    _mount_sys(run, host_sys)
    for mount, source in zip(mounts, sources, strict=True):
        _bind(mount, source, replicas)
    for path in run["masked"]:
        _mask(path)
    for path in run["readonly_paths"]:
        if os.path.exists(path):
            syscalls.mount(path, path, "", MS_BIND | MS_REC)
            syscalls.read_only(path)
    for path in replicas:
        syscalls.read_only(path)
    if run["readonly_root"] and "/" not in replicas:
        syscalls.read_only("/")
    _leave_old_root()


def _opened(path: str, what: str) -> int:
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as exc:
        raise OSError(exc.errno, f"cannot mount {what}: {path}: {exc.strerror}") from exc


def _opened_volume(mount: dict[str, Any]) -> int:
    if not mount.get("resolved"):
        return _opened(mount["source"], "this volume of the pod")
    opened = os.open("/", os.O_PATH | os.O_CLOEXEC)
    for part in mount["source"].strip("/").split("/"):
        try:
            following = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=opened)
        except OSError as exc:
            raise OSError(exc.errno, f"cannot mount this volume of the pod: {mount['source']}: {exc.strerror}") from exc
        finally:
            os.close(opened)
        opened = following
        if stat.S_ISLNK(os.fstat(opened).st_mode):
            raise OSError(
                errno.ELOOP, f"cannot mount this volume of the pod: {mount['source']}: a link lies in its way"
            )
    return opened


def _through(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


# The root folder


def _enter(run: dict[str, Any], folder: str) -> list[str]:
    """Make the new root and go there; the old one lies hidden on top of it. Returns folders to make read-only."""
    root = os.path.join(folder, "root")
    os.makedirs(root, 0o755, exist_ok=True)
    kind = run["root"]["kind"]
    replicas: list[str] = []
    if kind == "host":
        syscalls.mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
        _copy_entries(os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), root, leave_out=_OWN, read_only=True)
        for name in _OWN:
            os.mkdir(f"{root}/{name}")
        for name in ("tmp", "run"):
            syscalls.mount(
                "tmpfs", f"{root}/{name}", "tmpfs", MS_NOSUID | MS_NODEV, "mode=" + ("1777", "0755")[name == "run"]
            )
        _copy_entries(os.open("/run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), f"{root}/run", read_only=True)
        replicas.append("/")
    elif run["overlay"] is not None:
        upper, work = os.path.join(folder, "upper"), os.path.join(folder, "work")
        for path in (upper, work):
            os.makedirs(path, 0o755, exist_ok=True)
        # Paths may hold what options may not; a folder's descriptor may not.
        lower = os.open(run["root"]["lower"], os.O_PATH | os.O_CLOEXEC)
        above, beside = os.open(upper, os.O_PATH | os.O_CLOEXEC), os.open(work, os.O_PATH | os.O_CLOEXEC)
        os.chmod(upper, stat.S_IMODE(os.stat(run["root"]["lower"]).st_mode))
        options = f"lowerdir={_through(lower)},upperdir={_through(above)},workdir={_through(beside)}"
        syscalls.mount("overlay", root, "overlay", 0, options + run["overlay"])
    else:  # a copy that is the container's alone
        copy = os.path.join(folder, "copy")
        copy_tree(run["root"]["lower"], copy)
        syscalls.mount(copy, root, "", MS_BIND | MS_REC)
    os.chdir(root)
    syscalls.pivot_root(".", ".")
    return replicas


def _leave_old_root() -> None:
    # The old root lies on top of the new one: ".." of "/" leads to it no more, but "." after pivot_root does.
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")


def _copy_entries(source: int, target: str, leave_out: tuple[str, ...] = (), *, read_only: bool) -> None:
    """Bind each entry of the folder `source` into the empty folder `target`; closes `source`."""
    for name in os.listdir(source):
        if name in leave_out:
            continue
        entry = os.stat(name, dir_fd=source, follow_symlinks=False)
        path = f"{target}/{name}"
        if stat.S_ISLNK(entry.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), path)
            continue
        if stat.S_ISDIR(entry.st_mode):
            os.mkdir(path, 0o755)
        else:
            _touch(path)
        try:
            syscalls.mount(f"{_through(source)}/{name}", path, "", MS_BIND | MS_REC)
        except OSError:
            continue  # somebody else's, and closed to us: it is seen empty
        if read_only:
            syscalls.read_only(path, recursive=True)
    os.close(source)


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))


# What every container has


def _mount_proc(run: dict[str, Any]) -> None:
    os.makedirs("/proc", 0o555, exist_ok=True)
    syscalls.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def _mount_dev(devices: dict[str, int]) -> None:
    os.makedirs("/dev", 0o755, exist_ok=True)
    syscalls.mount("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=0755,size=64k")
    for name, descriptor in devices.items():
        _touch(f"/dev/{name}")
        syscalls.mount(_through(descriptor), f"/dev/{name}", "", MS_BIND)
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"/dev/{name}")
    os.mkdir("/dev/pts", 0o755)
    syscalls.mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    os.mkdir("/dev/mqueue", 0o755)
    with suppress(OSError):  # a kernel without POSIX message queues
        syscalls.mount("mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    os.mkdir("/dev/shm", 0o1777)


def _mount_sys(run: dict[str, Any], host_sys: int) -> None:
    os.makedirs("/sys", 0o555, exist_ok=True)
    try:
        syscalls.mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | syscalls.MS_RDONLY)
    except OSError:  # whose network namespace is the host's must see the host's
        syscalls.mount(_through(host_sys), "/sys", "", MS_BIND | MS_REC)
        syscalls.read_only("/sys", recursive=True)


# Volumes


def _bind(mount: dict[str, Any], source: int, replicas: list[str]) -> None:
    target = os.path.normpath(mount["target"])
    directory = stat.S_ISDIR(os.fstat(source).st_mode)
    try:
        _make_mount_point(target, directory=directory)
    except OSError:
        _replicate(target, replicas)
        _make_mount_point(target, directory=directory)
    syscalls.mount(_through(source), target, "", MS_BIND | MS_REC)
    syscalls.mount("none", target, "", _PROPAGATION[mount.get("propagation", "None")])
    if mount["readonly"]:
        syscalls.read_only(target, recursive=mount.get("recursive_readonly", False))


def _make_mount_point(path: str, *, directory: bool) -> None:
    if os.path.exists(path):
        if os.path.isdir(path) == directory:
            return
        kinds = ("a file", "a folder")
        raise Misfit(f"cannot mount {kinds[directory]} at {path}, which is {kinds[not directory]}")
    os.makedirs(path if directory else os.path.dirname(path), 0o755, exist_ok=True)
    if not directory:
        _touch(path)


def _replicate(path: str, replicas: list[str]) -> None:
    """Let a mount point be made below a folder that can't be written: put one in its place with the same content."""
    folder = os.path.dirname(os.path.realpath(path))
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    mode = stat.S_IMODE(os.fstat(opened).st_mode)
    syscalls.mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode:o}")
    _copy_entries(opened, folder, read_only=False)
    replicas.append(folder)


def _mask(path: str) -> None:
    if os.path.isdir(path):
        syscalls.mount("tmpfs", path, "tmpfs", syscalls.MS_RDONLY, "size=0k")
    elif os.path.exists(path):
        syscalls.mount("/dev/null", path, "", MS_BIND)
