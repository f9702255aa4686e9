"""Copies and removes trees of files, which may be anybody's and hold anything."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

__all__ = ["copy_tree", "remove_tree"]

_DEEPEST = 100
_MOVED = ".hk-moved-"


def copy_tree(source: str, target: str, *, root: str = "") -> None:
    """Copy the folder `source` to `target`, which is not there yet.

    With `root`, which is where `target`'s own root lies, absolute links are made to lead there.
    """
    mode = stat.S_IMODE(os.stat(source).st_mode)
    os.mkdir(target, 0o700)
    for entry in os.scandir(source):
        path = os.path.join(target, entry.name)
        if entry.is_symlink():
            text = os.readlink(entry.path)
            os.symlink(root + text if root and text.startswith("/") else text, path)
        elif entry.is_dir(follow_symlinks=False):
            copy_tree(entry.path, path, root=root)
        elif entry.is_file(follow_symlinks=False):
            _copy_file(entry.path, path)
    os.chmod(target, mode)


def _copy_file(source: str, target: str) -> None:
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(reading)
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while os.sendfile(writing, reading, None, 1 << 30):
                pass
            os.fchmod(writing, stat.S_IMODE(status.st_mode))
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def remove_tree(path: str) -> None:
    """Remove a folder with all in it; nothing happens where there is none. Mounts in it are not followed."""
    try:
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _remove(folder, os.path.basename(path), _Top(os.fstat(folder).st_dev))
    except FileNotFoundError:
        pass
    finally:
        os.close(folder)


class _Top:
    """The folder that is removed, once it is open, and the device that all in it is on."""

    def __init__(self, device: int) -> None:
        self.device = device
        self.folder = -1
        self.moved = 0


def _remove(parent: int, name: str, top: _Top, depth: int = 0) -> None:
    """By descriptors, so that no folder that turns into a link meanwhile leads elsewhere."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=parent)
        return
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        folder = os.open(name, flags, dir_fd=parent)
    except PermissionError:  # a folder that its owner, too, may not read
        os.chmod(name, 0o700, dir_fd=parent)
        folder = os.open(name, flags, dir_fd=parent)
    try:
        if os.fstat(folder).st_dev != top.device:
            raise OSError(0, f"{name} is a mount")
        with suppress(PermissionError):
            os.fchmod(folder, 0o700)
        if depth == _DEEPEST:  # each level takes a descriptor and a call; whoever made the tree had no such limit
            top.moved += 1
            os.rename(name, f"{_MOVED}{top.moved}", src_dir_fd=parent, dst_dir_fd=top.folder)
            return
        if depth == 0:
            top.folder = folder
        while entries := os.listdir(folder):
            for entry in entries:
                _remove(folder, entry, top, depth + 1)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)
