"""Tells of processes that the kernel kills because the whole machine is out of memory.

Those of a container that has used up its own limit are told of in its pod's status.
Source: k8s.io/kubernetes/pkg/kubelet/oom, the kernel's Documentation/ABI/testing/dev-kmsg.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from hyperkube_kubelet.telling import Recorder, node_reference
from hyperkube_machinery.companions import companions

__all__ = ["kernel_followed", "system_kills"]

log = logging.getLogger(__name__)

KERNEL_LOG = Path("/dev/kmsg")
_MOST_BYTES = 8192  # of one record, and more than the kernel ever has
_KILL = re.compile(r"Out of memory(?: \(oom_kill_allocating_task\))?: Kill(?:ed)? process (\d+),? \((.+?)\)")


def system_kills(text: str) -> Iterator[tuple[int, str]]:
    """Pids and names of who was killed, of records of the kernel's log: `4,1234,5678,-;Out of memory: Killed …`."""
    for line in text.splitlines():
        head, semicolon, message = line.partition(";")
        # Whoever writes to the log, as root may, is told from the kernel by the facility.
        if not semicolon or not head.split(",")[0].isdigit() or int(head.split(",")[0]) >> 3:
            continue
        found = _KILL.match(message)
        if found:
            yield int(found.group(1)), found.group(2)


@asynccontextmanager
async def kernel_followed(node: str, recorder: Recorder, path: Path = KERNEL_LOG) -> AsyncIterator[None]:
    """Tell of every kill from now on, for the length of the block. Who may not read the log is told so once."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        log.info("system-wide OOM kills are not told of: %s can't be read (%s)", path, exc.strerror)
        yield
        return
    try:
        with suppress(OSError):  # what is no log has no end
            os.lseek(descriptor, 0, os.SEEK_END)  # what was before was told of before
        async with companions(_follow(descriptor, node, recorder)):
            yield
    finally:
        os.close(descriptor)


async def _follow(descriptor: int, node: str, recorder: Recorder) -> None:
    loop = asyncio.get_running_loop()
    more = asyncio.Event()
    loop.add_reader(descriptor, more.set)
    try:
        while True:
            await more.wait()
            more.clear()
            for text in _records(descriptor):
                for pid, name in system_kills(text):
                    message = f"System OOM encountered, victim process: {name}, pid: {pid}"
                    log.warning("%s", message)
                    recorder.event(node_reference(node), "Warning", "SystemOOM", message)
    except EOFError:
        log.warning("the kernel's log has ended: system-wide OOM kills are not told of any more")
    finally:
        loop.remove_reader(descriptor)


def _records(descriptor: int) -> Iterator[str]:
    """What can be read now; each read is of one record."""
    while True:
        try:
            data = os.read(descriptor, _MOST_BYTES)
        except BlockingIOError:
            return
        except BrokenPipeError:
            continue  # records were overwritten before they were read; the next is the oldest there is
        if not data:
            raise EOFError
        yield data.decode("utf-8", "replace")
