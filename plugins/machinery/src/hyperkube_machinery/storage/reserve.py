"""Room on the disk that is kept back, so that objects can be deleted when there is no other.

    held ──the disk is full──▶ given up: deletions alone are taken
      ▲                             │
      └──── there is room again ────┘

As etcd does at its quota, a full store refuses what would add to it until room was made; unlike it, it recovers by
itself. Source of the refusal: go.etcd.io/etcd/api/v3rpc/rpctypes (ErrNoSpace).
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Reserve", "explain", "is_full", "is_read_only"]

log = logging.getLogger(__name__)

_MOST_BYTES = 32 * 1024 * 1024
"""Twice what the log of writes may hold: it can be moved into the database, and emptied, with half to spare."""
_LEAST_BYTES = 512 * 1024
_SHARE = 0.05  # of a small disk


class Reserve:
    """A file that does nothing but take room. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.full = False  # the disk was, and the room isn't held again
        self.size = _MOST_BYTES  # of the room; less on a small disk

    def hold(self) -> bool:
        """Take the room if it isn't held, and tell whether it is now."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return False
        try:
            disk = os.fstatvfs(descriptor)
            self.size = max(_LEAST_BYTES, min(_MOST_BYTES, int(disk.f_blocks * disk.f_frsize * _SHARE)))
            if self.full and disk.f_bavail * disk.f_frsize < 2 * self.size:
                return False  # but for what was given up, there is no room still
            if os.fstat(descriptor).st_size < self.size:
                os.posix_fallocate(descriptor, 0, self.size)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
            return False
        finally:
            os.close(descriptor)
        if self.full:
            log.warning("%s: there is room on the disk again; everything is written", self._path.parent)
        self.full = False
        return True

    def give_up(self, *, quietly: bool = False) -> None:
        """Let the room go, for the disk is full, or (`quietly`) may be."""
        if not quietly:
            if not self.full:
                log.error("%s: the disk is full; until there is room, objects can only be deleted", self._path.parent)
            self.full = True
        with suppress(OSError):
            os.truncate(self._path, 0)


def is_full(error: BaseException) -> bool:
    """Whether `error`, of SQLite or the system, is that of a full disk."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_read_only(path: Path) -> bool:
    """Whether nothing can be written to the filesystem of `path`."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def explain(error: BaseException, path: Path) -> str:
    """What is wrong with the disk, in words that say what to do about it."""
    if is_read_only(path.parent):
        return "its filesystem is read-only: look for errors of the disk, and mount it for writing"
    if is_full(error):
        return "the disk is full: make room"
    return str(error)
