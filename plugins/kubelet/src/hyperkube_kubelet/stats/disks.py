"""Measures what pods take of the disk: volumes, logs, and the files that the kubelet made for them.

It is done beside the event loop, and no tree is walked for longer than it may take: of a larger one nothing is known.
Source: k8s.io/kubernetes/pkg/volume/util/fs (DiskUsage), pkg/kubelet/server/stats (volume_stat_calculator).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.stats.figures import Filesystem, VolumeFigures
from hyperkube_kubelet.stats.host import filesystem
from hyperkube_machinery import meta

__all__ = ["Disks", "TooLarge", "is_local", "measure_pod", "tree_size"]

_BLOCK = 512
"""What the kernel counts a file's space in, whatever the file system has."""
_CHECKED = 256
"""How many files are looked at between two looks at the time."""

Size = tuple[int, int]
"""Bytes and inodes."""


class TooLarge(Exception):
    """A tree could not be walked in the time that there is."""


@dataclass(frozen=True, slots=True)
class Disks:
    """What one pod takes."""

    at: float
    volumes: tuple[VolumeFigures, ...] = ()
    logs: Mapping[str, Size] = field(default_factory=dict)  # by container; "" for the pod's own
    files: Size = (0, 0)  # that the kubelet made: /etc/hosts


def tree_size(path: Path, *, seconds: float, timer: Callable[[], float] = time.monotonic) -> Size:
    """What is in `path` and below it on the same file system, each inode once. Raises TooLarge, OSError."""
    end = timer() + seconds
    first = os.lstat(path)
    total, inodes, seen = first.st_blocks * _BLOCK, 1, set[int]()
    folders = [os.fspath(path)] if path.is_dir() and not path.is_symlink() else []
    looked = 0
    while folders:
        for entry in _entries(folders.pop()):
            looked += 1
            if looked % _CHECKED == 0 and timer() > end:
                raise TooLarge(f"{path} was not measured in {seconds:g} s")
            try:
                stat = entry.stat(follow_symlinks=False)
                is_folder = entry.is_dir(follow_symlinks=False)
            except FileNotFoundError:
                continue  # it went meanwhile
            if stat.st_dev != first.st_dev:
                continue
            if stat.st_nlink > 1 and not is_folder:
                if stat.st_ino in seen:
                    continue
                seen.add(stat.st_ino)
            total += stat.st_blocks * _BLOCK
            inodes += 1
            if is_folder:
                folders.append(entry.path)
    return total, inodes


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:
        return  # it went meanwhile, belongs to a user of the pod's, or can't be read


def is_local(volume: Tree) -> bool:
    """Whether a volume is counted as storage of the node. Source: k8s.io/kubernetes/pkg/volume/util."""
    empty = volume.get("emptyDir")
    on_disk = empty is not None and not empty.get("medium")
    return on_disk or volume.get("configMap") is not None


def measure_pod(pod: Tree, folder: Path, logs: Path, *, now: float, seconds: float) -> Disks:
    """What the pod takes of the disk; what can't be measured is left out.

    `folder`: the pod's, with its volumes; `logs`: that of all pods' logs; `seconds`: what one tree may take.
    """
    volumes = tuple(_volumes(pod, folder, now, seconds))
    of_pod = logs / f"{meta.namespace(pod)}_{meta.name(pod)}_{meta.uid(pod)}"
    sizes: dict[str, Size] = {"": _files_size(of_pod)}
    for entry in _entries(os.fspath(of_pod)):
        if entry.is_dir(follow_symlinks=False):
            sizes[entry.name] = _files_size(Path(entry.path))
    return Disks(now, volumes, sizes, _file_size(folder / "etc-hosts"))


def _volumes(pod: Tree, folder: Path, now: float, seconds: float) -> Iterator[VolumeFigures]:
    specs = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    for kind in _entries(os.fspath(folder / "volumes")):
        for entry in _entries(kind.path):
            spec = specs.get(entry.name)
            if spec is None:
                continue
            path = Path(entry.path)
            whole = filesystem(path, now=now)
            try:
                used, inodes = tree_size(path, seconds=seconds)
            except (OSError, TooLarge):
                continue
            if whole is None:
                continue
            shown = Filesystem(
                at=now,
                available_bytes=whole.available_bytes,
                capacity_bytes=whole.capacity_bytes,
                used_bytes=used,
                inodes=whole.inodes,
                inodes_free=whole.inodes_free,
                inodes_used=inodes,
            )
            claim = (spec.get("persistentVolumeClaim") or {}).get("claimName") or ""
            if spec.get("ephemeral") is not None:
                claim = f"{meta.name(pod)}-{entry.name}"
            yield VolumeFigures(name=entry.name, filesystem=shown, claim=claim, local=is_local(spec))


def _files_size(folder: Path) -> Size:
    """Of the files in a folder alone, not of its folders."""
    sizes = [
        _file_size(Path(entry.path)) for entry in _entries(os.fspath(folder)) if not entry.is_dir(follow_symlinks=False)
    ]
    return sum(size for size, _ in sizes), sum(inodes for _, inodes in sizes)


def _file_size(path: Path) -> Size:
    try:
        return os.lstat(path).st_blocks * _BLOCK, 1
    except OSError:
        return 0, 0
