"""Who listens on a Unix socket."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import closing
from pathlib import Path

__all__ = ["listener"]


def listener(path: Path) -> int | None:
    """The process that listens on a Unix socket, or None where nobody does."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
            # By way of its folder: a Unix socket's address has room for 107 bytes.
            probe.connect(f"/proc/self/fd/{folder}/{path.name}")
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return None
    finally:
        os.close(folder)
    pid: int = struct.unpack("3i", credentials)[0]
    return pid or None
