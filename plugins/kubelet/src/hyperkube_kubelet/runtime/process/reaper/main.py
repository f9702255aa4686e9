"""The reaper's start: it puts itself apart from whoever started it, then into namespaces if it may.

    starter ──▶ reaper in no namespaces (with a guard that outlives it)
           └──▶ nobody ──▶ reaper, the first process of the node's process namespace

Its one argument is an object of settings:

    folder          what it keeps, and the folder of its sockets
    network_socket  the path of the socket for the network alone
    isolation       "auto" or "none"
    network         "auto", "namespace", "loopback" or "host"
    pod_cidr        of the node, loopback_cidr where pods have addresses of the host
    grace_seconds   how long pods outlive the last kubelet
    log_bytes, log_files

Its output is how its start went, as one object; what it says later goes where its errors go.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import signal
import sys

from hyperkube_kubelet.runtime.process.reaper import launch, processes, syscalls
from hyperkube_kubelet.runtime.process.reaper.loop import Loop
from hyperkube_kubelet.runtime.process.reaper.node import Node, enter_namespaces
from hyperkube_kubelet.runtime.process.reaper.server import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["main"]

_NO_OTHER = 3
"""Exit code where another reaper has the folder."""


def main(argv: list[str]) -> int:
    """Start the reaper that `argv` describes; returns when it is on its way."""
    settings: dict[str, Any] = json.loads(argv[1])
    os.umask(0o077)
    launch.allow_descriptors()
    if os.getsid(0) != os.getpid():
        os.setsid()
    lock = os.open(os.path.join(settings["folder"], "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _report({"running": True})
        return _NO_OTHER
    os.chdir("/")
    why: dict[str, str] = {}
    if settings["isolation"] == "auto" and _in_child(_isolated, settings, why):
        return 0
    return _in_child_plain(settings, why)


def _report(document: dict[str, Any]) -> None:
    """Tell the starter how it went; what is said from now on goes into the log."""
    os.write(1, json.dumps(document).encode())
    os.dup2(2, 1)


def _in_child(serve: Any, settings: dict[str, Any], why: dict[str, str]) -> bool:
    """Whether a reaper in namespaces came to be, in a process that this one needn't wait for."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        os._exit(serve(settings, writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        failure = pipe.read()
    os.waitpid(pid, 0)
    if failure:
        why["isolation"] = failure.decode()
    return not failure


def _isolated(settings: dict[str, Any], failed: int) -> int:
    """Go into namespaces and leave the reaper there; what speaks against it is written to `failed`."""
    try:
        enter_namespaces()
    except OSError as exc:
        os.write(failed, (exc.strerror or str(exc)).encode())
        return 1
    if os.fork():
        return 0
    status = 1
    try:
        status = _serve(settings, {}, failed, isolated=True)
    finally:
        os._exit(status)


def _in_child_plain(settings: dict[str, Any], why: dict[str, str]) -> int:
    """Leave a reaper without namespaces, under a guard that kills what a killed one leaves."""
    if os.fork():
        return 0
    syscalls.make_subreaper()
    guard = os.getpid()
    reaper = os.fork()
    if reaper:
        _guard(reaper)
    syscalls.make_subreaper()
    syscalls.set_death_signal(signal.SIGTERM)
    if os.getppid() != guard:
        os._exit(1)
    status = 1
    try:
        status = _serve(settings, why, -1, isolated=False)
    finally:
        processes.kill_all(lambda: processes.all_below(os.getpid()))
        os._exit(status)


def _guard(reaper: int) -> None:
    """Wait for the reaper's end, then end what it left; never returns."""
    os.dup2(2, 1)  # the report is the reaper's alone
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pid, _ = os.waitpid(-1, 0)
        if pid == reaper:
            break
    processes.kill_all(lambda: processes.all_below(os.getpid()))
    os._exit(0)


def _serve(settings: dict[str, Any], why: dict[str, str], failed: int, *, isolated: bool) -> int:
    try:
        node = Node(settings, why, isolated=isolated)
    except OSError as exc:
        if failed < 0:
            raise
        os.write(failed, (exc.strerror or str(exc)).encode())
        return 1
    loop = Loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    server = Server(node, loop, settings)
    server.listen(os.path.join(settings["folder"], "reaper.sock"), everything=True)
    server.listen(settings["network_socket"], everything=False)
    if failed >= 0:
        os.close(failed)
    _report({"running": True})
    gc.collect()
    gc.freeze()  # what is there stays; forked children then share it
    loop.run()
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
