"""What a service of systemd tells it: that it has started, and from time to time that it is well.

Source: sd_notify(3), sd_watchdog_enabled(3), k8s.io/kubernetes/pkg/kubelet/watchdog.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn

from hyperkube_machinery.clock import Clock

__all__ = ["feed_watchdog", "notify", "watchdog_seconds"]

log = logging.getLogger(__name__)


def notify(text: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell systemd, such as `READY=1`; False where there is none that wants to know, or it can't be told."""
    address = environment.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address[0] == "@":  # in the abstract namespace
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
            end.setblocking(False)
            end.connect(address)
            end.sendall(text.encode())
    except OSError as exc:
        log.warning("cannot tell systemd %s: %s", text, exc)
        return False
    return True


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float:
    """How long systemd waits for a sign of life; 0 where it does not."""
    if environment.get("WATCHDOG_PID") not in (None, "", str(os.getpid())):
        return 0.0  # it is somebody else's, who started this process
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdecimal() else 0.0


async def feed_watchdog(clock: Clock, seconds: float, *checks: Callable[[], Awaitable[None]]) -> NoReturn:
    """Give a sign of life twice in each `seconds` in which the checks pass, until cancelled."""
    while True:
        try:
            for check in checks:
                await check()
        except Exception as exc:  # a check may raise anything
            log.error("systemd's watchdog is not told that all is well: %s", exc)
        else:
            notify("WATCHDOG=1")
        await clock.sleep(seconds / 2)
