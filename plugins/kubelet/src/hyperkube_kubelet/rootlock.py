"""One kubelet at a time has a root directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyperkube_machinery.files import PRIVATE_FILE, make_private_directory

__all__ = ["RootTaken", "root_locked"]


class RootTaken(OSError):
    """Another kubelet has this directory."""


@contextmanager
def root_locked(root: Path) -> Iterator[None]:
    """Have `root`, which is made where it is missing, for the length of the block. Raises OSError, RootTaken."""
    make_private_directory(root)
    descriptor = os.open(root / "kubelet.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise RootTaken(f"{root}: another kubelet uses this folder") from exc
        yield
    finally:
        os.close(descriptor)
