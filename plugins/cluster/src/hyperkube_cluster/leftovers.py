"""Pods outlive their kubelet on purpose. They don't outlive their cluster."""

from __future__ import annotations

import os
import signal
import socket
import struct
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hyperkube_machinery.agents import AgentRefused, AgentUnavailable, ask

if TYPE_CHECKING:
    from hyperkube_cluster.layout import Layout
    from hyperkube_machinery.clock import Clock

__all__ = ["end_pods"]

GRACE_SECONDS = 2.0
"""What containers get between SIGTERM and SIGKILL: their cluster is gone, and with it whoever they could tell."""

PATIENCE_SECONDS = 15.0
"""How long the kubelet's agent may take to end them, before it is killed, and by the kernel with it all of them."""

PAUSE_SECONDS = 0.02


async def end_pods(layout: Layout, clock: Clock) -> None:
    """Have the kubelet's agent end, with all the pods that it holds, and return once it has."""
    path = layout.pod_network_socket
    deadline = clock.monotonic() + PATIENCE_SECONDS
    pid = _holder(path)
    if pid is None:
        return
    with suppress(AgentRefused, AgentUnavailable):
        await ask(path, {"op": "end", "grace_seconds": GRACE_SECONDS})
    while _lives(pid):
        if clock.monotonic() >= deadline:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            deadline = clock.monotonic() + PATIENCE_SECONDS
        await clock.sleep(PAUSE_SECONDS)
    with suppress(OSError):
        path.unlink()


def _holder(path: Path) -> int | None:
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


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")
