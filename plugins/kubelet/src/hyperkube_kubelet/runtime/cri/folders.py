"""Folders of pods, where the kubelet itself may do all with them."""

from __future__ import annotations

import os
from pathlib import Path

from hyperkube_kubelet.runtime.errors import Unsupported
from hyperkube_kubelet.runtime.process.reaper.syscalls import mount, umount
from hyperkube_kubelet.runtime.process.reaper.trees import remove_tree

__all__ = ["make_log_folder", "mount_memory", "remove", "unmount_memory"]


def make_log_folder(path: Path) -> None:
    """Make a folder that a runtime writes logs in, and others may read."""
    path.mkdir(mode=0o755, parents=True, exist_ok=True)


def mount_memory(path: Path, size_bytes: int) -> None:
    """Mount a file system in memory at a folder; one that is there stays. Raises Unsupported."""
    if os.path.ismount(path):
        return
    size = f"size={size_bytes}" if size_bytes else ""
    try:
        mount("tmpfs", str(path), "tmpfs", 0, size)
    except OSError as exc:
        raise Unsupported(f"no file system in memory can be mounted at {path}: {exc.strerror or exc}") from exc
    path.chmod(0o777)


def unmount_memory(path: Path) -> None:
    """Take it away; nothing happens where there is none."""
    if os.path.ismount(path):
        umount(str(path))


def remove(path: Path) -> None:
    """Remove a folder with all in it."""
    remove_tree(str(path))
