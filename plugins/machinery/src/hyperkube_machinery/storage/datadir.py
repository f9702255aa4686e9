"""The data directory: one server's alone, readable by its owner only.

    DataDirectoryError          the directory, or a file in it, can't be used
    ├── DirectoryInUse          another server holds it
    ├── UnsafeDirectory         its owner or mode is not to be trusted
    ├── ForeignFile             (schema) the store's file is something else
    └── NewerFormat             (schema) the store's file was written by a newer release

Each message says what to do.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DataDirectoryError", "DirectoryInUse", "UnsafeDirectory", "claim", "filesystem", "sync_directory"]

log = logging.getLogger(__name__)

_LOCK = "lock"

# Where locks, and the memory that SQLite's readers and writer share, can't be relied on.
_NETWORK_FILESYSTEMS = {
    "9p",
    "afs",
    "ceph",
    "cifs",
    "coda",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "smb3",
    "smbfs",
} | {f"fuse.{name}" for name in ("ceph", "glusterfs", "s3fs", "sshfs")}


class DataDirectoryError(Exception):
    """The data directory, or a file in it, can't be used; the message names it and says what to do."""


class DirectoryInUse(DataDirectoryError):
    """Another server holds the directory; `pid` is its process, or None if it did not say."""

    def __init__(self, path: Path, pid: int | None) -> None:
        holder = f"the process {pid}" if pid is not None else "another process"
        super().__init__(f"the data directory {path} is in use by {holder}; stop it, or use another directory")
        self.path = path
        self.pid = pid


class UnsafeDirectory(DataDirectoryError):
    """Others own the directory, or could read and write what is in it."""


@contextmanager
def claim(path: Path) -> Iterator[Path]:
    """Hold the directory, made if it is missing, for the length of the block; gives its real path.

    The lock ends with the process at the latest.
    A directory that is open to others is closed to them (mode 0700) if it is empty or was a data directory before;
    any other is refused, because a mistyped path must not take a shared directory from its users.
    Raises DataDirectoryError, also for what the system refuses.
    """
    try:
        path = _make(path)
        descriptor = _lock(path)
    except OSError as exc:
        raise DataDirectoryError(f"can't use the data directory {path}: {exc.strerror or exc}") from exc
    try:
        kind = filesystem(path)
        if kind in _NETWORK_FILESYSTEMS:
            log.warning(
                "the data directory %s is on a network filesystem (%s), where locks may not hold: use a local disk",
                path,
                kind,
            )
        yield path
    finally:
        os.close(descriptor)  # which unlocks it


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make(path: Path) -> Path:
    """The directory's real path, once it is there and nobody else's."""
    path = Path(os.path.abspath(path))
    missing = [parent for parent in (path, *path.parents) if not parent.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory.parent)
    path = path.resolve()
    found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise DataDirectoryError(f"the data directory {path} is not a directory")
    if found.st_uid != os.geteuid():
        raise UnsafeDirectory(
            f"the data directory {path} belongs to the user {found.st_uid}, not to {os.geteuid()}, who runs this: "
            "use a directory of your own"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        names = os.listdir(path)
        if (names and _LOCK not in names) or mode & stat.S_ISVTX:
            raise UnsafeDirectory(
                f"the data directory {path} is open to other users (mode {mode:04o}) and holds files that are not a "
                f"server's: use an empty directory, or `chmod 700` this one"
            )
        path.chmod(0o700)
        log.info("the data directory %s was open to other users (mode %04o); it is 0700 now", path, mode)
    elif mode & 0o700 != 0o700:
        path.chmod(0o700)
    return path


def _lock(path: Path) -> int:
    """The descriptor that holds the lock; the file tells who has it."""
    descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise DirectoryInUse(path, _pid(os.pread(descriptor, 32, 0))) from exc
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _pid(told: bytes) -> int | None:
    try:
        return int(told)
    except ValueError:
        return None


def filesystem(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the filesystem that holds `path`; empty where the system doesn't tell."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        fields, _, source = line.partition(" - ")
        if fields.split()[2] == wanted:
            return source.split()[0]
    return ""
