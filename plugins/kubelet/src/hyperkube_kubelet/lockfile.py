"""A file that is locked while the kubelet runs, so that another one waits for it, or has it leave.

Source: k8s.io/kubernetes/pkg/util/flock, watchForLockfileContention in cmd/kubelet/app/server_linux.go.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions

__all__ = ["LockWanted", "file_locked"]

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0
_OPENED_OR_DELETED = 0x20 | 0x400  # IN_OPEN, IN_DELETE_SELF


class LockWanted(Exception):
    """Somebody else wants the lock, and this kubelet was told to leave then."""


@asynccontextmanager
async def file_locked(path: Path, clock: Clock, *, yields: bool) -> AsyncIterator[None]:
    """Have the lock for the length of the block, having waited for it. Raises OSError.

    `yields`: whether the block ends with LockWanted when another process opens the file.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await _acquire(descriptor, path, clock)
        if not yields:
            yield
            return
        watcher = _watcher(path)
        try:
            async with companions(_leave_when_wanted(watcher, path)):
                yield
        finally:
            os.close(watcher)
    finally:
        os.close(descriptor)


async def _acquire(descriptor: int, path: Path, clock: Clock) -> None:
    waited = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not waited:
                log.info("waiting for the lock %s, which another process has", path)
            waited = True
            await clock.sleep(_AGAIN_SECONDS)


def _watcher(path: Path) -> int:
    """A descriptor that can be read once somebody has opened or deleted the file. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    watcher: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if watcher < 0:
        raise OSError(ctypes.get_errno(), f"the lock {path} can't be watched")
    if libc.inotify_add_watch(watcher, os.fsencode(path), _OPENED_OR_DELETED) < 0:
        number = ctypes.get_errno()
        os.close(watcher)
        raise OSError(number, f"the lock {path} can't be watched")
    return watcher


async def _leave_when_wanted(watcher: int, path: Path) -> None:
    loop, wanted = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(watcher, wanted.set)
    try:
        await wanted.wait()
    finally:
        loop.remove_reader(watcher)
    raise LockWanted(f"another process wants the lock {path}")
