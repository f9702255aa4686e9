"""Changes all the files of a volume in one step: a reader sees the old ones or the new ones, never some of each.

    volume/..2026_01_02_03_04_05.123456789/dir/file     the files
    volume/..data → ..2026_01_02_03_04_05.123456789     replaced by a rename: the step
    volume/dir → ..data/dir                             what a reader opens

Source: the layout of k8s.io/kubernetes/pkg/volume/util/atomic_writer.go, which programs watch for.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from hyperkube_kubelet.volumes.payload import File, Payload, PayloadError

__all__ = ["write_files"]

_DATA = "..data"
_NEW_DATA = "..data_tmp"
_FOLDER_MODE = 0o755
_LONGEST_NAME = 255
_LONGEST_PATH = 4096


def write_files(volume: Path, payload: Payload, *, stamp: str, group: int | None = None) -> bool:
    """Make `payload` the files in the folder `volume`, which is made; returns whether anything changed.

    `stamp` is a text from the time, which begins the name of the files' folder; `group` is who may read them beside
    their owner. Raises PayloadError for paths that lead elsewhere, and OSError.
    """
    for path in payload:
        _check(path)
    volume.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    before = _target(volume)
    if before is not None and _holds(before, payload):
        _link(volume, payload)  # a step that was interrupted may have left it out
        return False
    folder = Path(tempfile.mkdtemp(prefix=f"..{stamp}.", dir=volume))
    try:
        folder.chmod(_FOLDER_MODE)
        for path, file in payload.items():
            _write(folder / path, file, group)
        pointer = volume / _NEW_DATA
        pointer.unlink(missing_ok=True)
        pointer.symlink_to(folder.name)
        os.replace(pointer, volume / _DATA)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _link(volume, payload)
    _tidy(volume, folder, payload)
    return True


def _check(path: str) -> None:
    """Source: validatePath."""
    pure = PurePosixPath(path)
    if not path:
        raise PayloadError("invalid path: must not be empty")
    if pure.is_absolute():
        raise PayloadError(f"invalid path: must be relative path: {path}")
    if len(path) > _LONGEST_PATH:
        raise PayloadError(f"invalid path: must be less than or equal to {_LONGEST_PATH} characters")
    if ".." in path.split("/"):
        raise PayloadError(f"invalid path: must not contain '..': {path}")
    if pure.parts[0].startswith(".."):
        raise PayloadError(f"invalid path: must not start with '..': {path}")
    if any(len(part) > _LONGEST_NAME for part in pure.parts):
        raise PayloadError(f"invalid path: filenames must be less than or equal to {_LONGEST_NAME} characters")


def _target(volume: Path) -> Path | None:
    try:
        name = os.readlink(volume / _DATA)
    except OSError:
        return None
    folder = volume / name
    return folder if folder.is_dir() else None


def _holds(folder: Path, payload: Payload) -> bool:
    there = dict(_files(folder))
    if there.keys() != {str(PurePosixPath(path)) for path in payload}:
        return False
    return all(_is(there[str(PurePosixPath(path))], file) for path, file in payload.items())


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            yield path.relative_to(folder).as_posix(), path


def _is(path: Path, file: File) -> bool:
    try:
        # What a group may read is not of the payload: it is given on top of the mode.
        return path.stat().st_mode & 0o777 & ~0o060 == file.mode & 0o777 & ~0o060 and path.read_bytes() == file.data
    except OSError:
        return False


def _write(path: Path, file: File, group: int | None) -> None:
    path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(file.data)
        if group is not None:
            with suppress(PermissionError):  # an ordinary user gives nothing away
                os.fchown(descriptor, -1, group)
            os.fchmod(descriptor, file.mode | 0o040)
        else:
            os.fchmod(descriptor, file.mode)


def _link(volume: Path, payload: Payload) -> None:
    """Make the names that readers open, one for each first part of a path."""
    for name in {PurePosixPath(path).parts[0] for path in payload}:
        link = volume / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")


def _tidy(volume: Path, kept: Path, payload: Payload) -> None:
    """Take away the names that lead nowhere now, and the files of before."""
    names = {PurePosixPath(path).parts[0] for path in payload}
    for entry in volume.iterdir():
        if entry.name.startswith(".."):
            if entry.is_dir() and not entry.is_symlink() and entry != kept:
                shutil.rmtree(entry, ignore_errors=True)
        elif entry.is_symlink() and entry.name not in names and os.readlink(entry).startswith(f"{_DATA}/"):
            entry.unlink()
