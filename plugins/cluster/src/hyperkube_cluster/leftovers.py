"""Pods outlive their kubelet on purpose. They don't outlive their cluster."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hyperkube_cluster.sockets import listener
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
    pid = listener(path)
    began = _beginning(pid) if pid is not None else b""
    if pid is None or not began:
        return
    with suppress(AgentRefused, AgentUnavailable):
        await ask(path, {"op": "end", "grace_seconds": GRACE_SECONDS})
    while _beginning(pid) == began:  # its number may be another process's by now
        if clock.monotonic() >= deadline:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            deadline = clock.monotonic() + PATIENCE_SECONDS
        await clock.sleep(PAUSE_SECONDS)
    with suppress(OSError):
        path.unlink()


def _beginning(pid: int) -> bytes:
    """When the process began, in ticks since the machine did; nothing where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return b""
    # pid (name) state … starttime is the 22nd; the name may hold anything, parentheses included.
    return b"" if fields[0] in (b"Z", b"X") else fields[19]
