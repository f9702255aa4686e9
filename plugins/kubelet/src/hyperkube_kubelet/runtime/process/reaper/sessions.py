"""Programs that are run in a container beside its own, and those who are attached to it."""

from __future__ import annotations

import json
import os
import signal

from hyperkube_kubelet.runtime.process.reaper import launch, processes, syscalls
from hyperkube_kubelet.runtime.process.reaper.failures import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from hyperkube_kubelet.runtime.process.reaper.containers import Container
    from hyperkube_kubelet.runtime.process.reaper.loop import Loop
    from hyperkube_kubelet.runtime.process.reaper.node import Node
    from hyperkube_kubelet.runtime.process.reaper.wire import Connection

__all__ = ["Execution", "attach"]

_ENTERED = (
    ("net", syscalls.CLONE_NEWNET),
    ("uts", syscalls.CLONE_NEWUTS),
    ("ipc", syscalls.CLONE_NEWIPC),
    ("mnt", syscalls.CLONE_NEWNS),
)


class Execution:
    """A program that runs in a container for as long as its connection is open.

    The client gets the other ends of its streams: input, output and errors, or its terminal.
    """

    def __init__(
        self, node: Node, loop: Loop, container: Container, request: dict[str, Any], connection: Connection
    ) -> None:
        self._node, self._loop, self._connection = node, loop, connection
        self._ours: list[int] = []  # to be passed on
        self._failure: dict[str, Any] | None = None
        self._status: int | None = None
        self._pid = 0
        self._channel: socket.socket | None = None
        env = [*container.record["run"]["env"]]
        if not node.isolated:
            env.append([processes.MARK, container.id])
        if request["tty"]:
            env.append(["TERM", "xterm"])
        run = {**container.record["run"], "argv": request["argv"], "tty": request["tty"], "env": env}
        self._fork(container, run, stdin=request["stdin"])
        connection.when_closed.append(self._kill)
        connection.when_told = lambda message: None  # the end of its input it sees itself

    def _fork(self, container: Container, run: dict[str, Any], *, stdin: bool) -> None:
        opened: list[tuple[int, int]] = []
        users = pids = -1
        theirs = [] if run["tty"] else self._make_streams(stdin=stdin)
        try:
            if self._node.isolated:
                for name, kind in _ENTERED:
                    if processes.namespace_of(container.pid, name) != os.readlink(f"/proc/thread-self/ns/{name}"):
                        opened.append((_open_namespace(container.pid, name), kind))
                pids = _open_namespace(container.pid, "pid")
                users = _open_namespace(container.pid, "user") if container.own_users else -1
            child = launch.in_container(run, container.folder, container.groups, tuple(opened), users, theirs)
            self._pid, channel = launch.fork(child, self._node.processes, pids)
        except OSError as exc:
            for descriptor in self._ours:
                os.close(descriptor)
            raise Failure("ExecFailed", f"cannot enter the container: {exc}", exit_code=126) from exc
        finally:
            for descriptor in (*theirs, *(number for number, _ in opened), users, pids):
                if descriptor >= 0:
                    os.close(descriptor)
        self._channel = channel
        self._loop.when_ended(self._pid, self._ended)
        self._loop.when_ready(channel.fileno(), lambda _: self._hear())

    def _make_streams(self, *, stdin: bool) -> list[int]:
        if stdin:
            reading, writing = os.pipe2(os.O_CLOEXEC)
        else:
            reading, writing = (os.open("/dev/null", mode | os.O_CLOEXEC) for mode in (os.O_RDONLY, os.O_WRONLY))
        theirs = [reading]
        self._ours.append(writing)
        for _ in range(2):
            reading, writing = os.pipe2(os.O_CLOEXEC)
            self._ours.append(reading)
            theirs.append(writing)
        return theirs

    def _hear(self) -> bool:
        """Take what the child says; whether there may be more."""
        assert self._channel is not None
        heard = launch.read_channel(self._channel)
        if heard is None:
            return False
        data, descriptors = heard
        self._ours += descriptors
        text = data.strip()
        if text:
            self._failure = json.loads(text)
        elif data:
            return True
        self._loop.forget(self._channel.fileno())
        self._channel.close()
        self._channel = None
        if self._failure is None:
            ours, self._ours = self._ours, []
            self._connection.send({"ok": {}}, ours)
        else:
            for descriptor in self._ours:
                os.close(descriptor)
            self._ours = []
            code = self._failure["code"]
            failure = Failure("ExecFailed", self._failure["message"], exit_code=code)
            self._connection.finish({"error": failure.document()})
        return False

    def _ended(self, status: int) -> None:
        self._pid = 0
        while self._channel is not None and self._hear():
            pass
        code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        if self._failure is None:
            self._connection.finish({"exit_code": code})

    def _kill(self) -> None:
        if self._pid:
            try:
                os.killpg(self._pid, signal.SIGKILL)
            except ProcessLookupError:
                os.kill(self._pid, signal.SIGKILL)  # it has not made a session of its own yet


def _open_namespace(pid: int, name: str) -> int:
    return os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)


def attach(container: Container, request: dict[str, Any], connection: Connection) -> None:
    """Have a client take part in a container's streams for as long as its connection is open.

    It gets pipes with a copy of what the container writes from now on (one for a terminal), and behind them the writing
    end of its input, where it has one.
    """
    run = container.record["run"]
    assert container.output is not None
    passed: list[int] = []
    copies = []
    for stream in ("stdout",) if run["tty"] else ("stdout", "stderr"):
        reading, writing = os.pipe2(os.O_CLOEXEC)
        passed.append(reading)
        copies.append(container.output.copy(stream, writing))
    if container.input >= 0 and (request["stdin"] or run["tty"]):
        passed.append(os.dup(container.input))

    def close_input() -> None:
        if request["stdin"] and run["stdin_once"] and not run["tty"] and container.input >= 0:
            os.close(container.input)
            container.input = -1

    def closed() -> None:
        close_input()
        for copy in copies:
            copy.close()

    connection.when_closed.append(closed)
    connection.when_told = lambda message: close_input() if message.get("op") == "close_input" else None
    container.ended.append(lambda: connection.finish({"exit_code": container.record["exit_code"]}))
    connection.send({"ok": {"tty": run["tty"]}}, passed)
