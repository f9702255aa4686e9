"""Containers: their processes, their logs and how they ended."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from contextlib import suppress

from hyperkube_kubelet.runtime.process.reaper import launch, processes
from hyperkube_kubelet.runtime.process.reaper.cgroups import limited
from hyperkube_kubelet.runtime.process.reaper.endings import ending, lost, never_started
from hyperkube_kubelet.runtime.process.reaper.failures import Failure
from hyperkube_kubelet.runtime.process.reaper.logs import Log
from hyperkube_kubelet.runtime.process.reaper.output import Output
from hyperkube_kubelet.runtime.process.reaper.trees import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

    from hyperkube_kubelet.runtime.process.reaper.loop import Loop, Timer
    from hyperkube_kubelet.runtime.process.reaper.node import Node
    from hyperkube_kubelet.runtime.process.reaper.records import Records
    from hyperkube_kubelet.runtime.process.reaper.sandboxes import Sandbox, Sandboxes

__all__ = ["Container", "Containers"]

_GROUP_ATTEMPTS, _GROUP_SECONDS = 100, 0.05


class Container:
    """A container as the reaper knows it; `record` is what is remembered of it and told."""

    def __init__(self, identity: str, record: dict[str, Any], folder: str) -> None:
        self.id = identity
        self.record = record
        self.folder = folder  # its own, on disk
        self.pid = 0
        self.mounts = ""  # its mount namespace, once it runs
        self.groups: list[str] = []  # files by which processes join its control groups
        self.channel: socket.socket | None = None  # on which its process tells how it starts
        self.output: Output | None = None
        self.input = -1  # where its standard input is written
        self.failure: dict[str, Any] | None = None  # why its program could not be started
        self.started: list[Callable[[], None]] = []  # wait for the program to run, or to have failed
        self.ended: list[Callable[[], None]] = []
        self.sentence: Timer | None = None  # when it is killed

    @property
    def own_users(self) -> bool:
        """Whether it has a user namespace of its own."""
        run = self.record["run"]
        return bool(run["privileges"] == "one-user" and (run["uid"] or run["gid"]))

    @property
    def state(self) -> str:
        return str(self.record["state"])

    def document(self) -> dict[str, Any]:
        told = {name: value for name, value in self.record.items() if name != "run"}
        user = {name: self.record["run"][name] for name in ("uid", "gid", "groups")}
        return {"id": self.id, "pid": self.pid, **user, **told}


class Containers:
    """All containers of the node."""

    def __init__(
        self,
        node: Node,
        loop: Loop,
        records: Records,
        sandboxes: Sandboxes,
        settings: dict[str, Any],
        tell: Callable[[str, str, str], None],
    ) -> None:
        self._node, self._loop, self._records, self._sandboxes = node, loop, records, sandboxes
        self._settings = settings
        self._tell = tell  # (what, sandbox, container)
        self.all: dict[str, Container] = {}
        found, broken = records.read()
        for identity, record in found.items():
            if record["state"] == "running":
                record.update(lost())
                records.amend(identity, record)
            self.all[identity] = Container(identity, record, records.folder(identity))
        for folder in broken:
            remove_tree(folder)

    def get(self, identity: str) -> Container:
        if identity not in self.all:
            raise Failure("NotFound", f"there is no container {identity}")
        return self.all[identity]

    def running(self, identity: str) -> Container:
        container = self.get(identity)
        if container.state != "running":
            raise Failure("NotRunning", f"container {identity} doesn't run: it is {container.state}")
        return container

    def of(self, sandbox: Sandbox) -> list[Container]:
        return [container for container in self.all.values() if container.record["sandbox_id"] == sandbox.id]

    # Create and start

    def create(self, request: dict[str, Any]) -> Container:
        sandbox = self._sandboxes.get(request["sandbox_id"])
        if not sandbox.ready:
            raise Failure("CreateFailed", f"sandbox {sandbox.id} is not ready")
        record = {
            "sandbox_id": sandbox.id,
            "config": request["config"],
            "run": {**request["run"], **self._node.means},
            "image_id": request["image_id"],
            "image_ref": request["image_ref"],
            "log_path": request["log_path"],
            "state": "created",
            "created_at": time.time(),
            "started_at": 0.0,
            "finished_at": 0.0,
            "exit_code": 0,
            "signal": 0,
            "reason": "",
            "message": "",
        }
        identity = secrets.token_hex(32)
        container = Container(identity, record, self._records.folder(identity))
        try:
            self._records.write(container.id, record)
        except OSError as exc:
            remove_tree(container.folder)
            raise Failure("CreateFailed", f"the container can't be written down: {exc}") from exc
        self.all[container.id] = container
        self._tell("created", sandbox.id, container.id)
        return container

    def start(self, container: Container, done: Callable[[Failure | None], None]) -> None:
        """Start it; `done` is called once its program runs or could not be started."""
        if container.channel is not None:  # somebody asked before, and it is on its way
            container.started.append(lambda: done(_start_failure(container)))
            return
        if container.state != "created":
            raise Failure("StartFailed", f"container {container.id} was started before: it is {container.state}")
        sandbox = self._sandboxes.get(container.record["sandbox_id"])
        if not sandbox.ready:
            raise Failure("StartFailed", f"its sandbox {sandbox.id} is not ready")
        container.started.append(lambda: done(_start_failure(container)))
        self._fork(container, sandbox)

    def _fork(self, container: Container, sandbox: Sandbox) -> None:
        record, run = container.record, container.record["run"]
        parent = _parent(container)
        if self._node.cgroups is not None and (parent or limited(run["limits"])):
            try:
                container.groups = self._node.cgroups.make(container.id, run["limits"], parent)
            except OSError as exc:
                raise Failure("CreateFailed", f"cannot hold the container to its limits: {exc}") from exc
        own, target = not sandbox.record["config"]["host_pid"], -1
        if own and sandbox.processes < 0 and run.get("processes_of"):
            target = self._namespace_of(run["processes_of"])
        if record["log_path"]:
            log = Log(record["log_path"], self._settings["log_bytes"], self._settings["log_files"])
        else:
            log = None
        container.output = Output(self._loop, log)
        theirs = self._make_streams(container, run)
        child = launch.start_container(
            {**run, "env": [*run["env"], *self._mark(container.id)]},
            container.folder,
            self._sandboxes.files(sandbox),
            container.groups,
            tuple(sandbox.namespaces),
            theirs,
        )
        try:
            pid, channel = launch.fork(
                child, self._node.processes if own else -1, target if target >= 0 else sandbox.processes
            )
        finally:
            for descriptor in (*theirs, *([target] if target >= 0 else ())):
                os.close(descriptor)
        container.pid, container.channel = pid, channel
        record["state"], record["started_at"] = "running", time.time()
        self._loop.when_ended(pid, lambda status: self._ended(container, status))
        self._loop.when_ready(channel.fileno(), lambda _: self._hear(container))

    def _namespace_of(self, identity: str) -> int:
        """A descriptor of the process namespace of a container that runs; whoever asks closes it."""
        if not self._node.isolated:
            return -1
        try:
            return os.open(f"/proc/{self.running(identity).pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as exc:
            raise Failure("StartFailed", f"container {identity} has just ended") from exc

    def _mark(self, identity: str) -> list[list[str]]:
        """Without a process namespace, this is how all processes of a container are known."""
        return [] if self._node.isolated else [[processes.MARK, identity]]

    def _make_streams(self, container: Container, run: dict[str, Any]) -> list[int]:
        """The child's ends of its streams; it makes a terminal itself."""
        assert container.output is not None
        if run["tty"]:
            return []
        if run["stdin"]:
            stdin, container.input = os.pipe2(os.O_CLOEXEC)
        else:
            stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        theirs = [stdin]
        for stream in ("stdout", "stderr"):
            reading, writing = os.pipe2(os.O_CLOEXEC)
            container.output.follow(stream, reading)
            theirs.append(writing)
        return theirs

    def _hear(self, container: Container) -> bool:
        """The child made a terminal, failed or became the program; whether it may say more."""
        assert container.channel is not None
        assert container.output is not None
        heard = launch.read_channel(container.channel)
        if heard is None:
            return False
        data, descriptors = heard
        if descriptors:
            container.input = os.dup(descriptors[0])
            container.output.follow("stdout", descriptors[0])
        text = data.strip()
        if text:
            container.failure = json.loads(text)
        elif data:
            return True
        self._loop.forget(container.channel.fileno())
        container.channel.close()
        container.channel = None
        if container.failure is None:
            container.mounts = processes.namespace_of(container.pid, "mnt") if self._node.isolated else ""
            self._records.amend(container.id, container.record)
            self._tell("started", container.record["sandbox_id"], container.id)
            _call_all(container.started)
        return False

    def stats(self) -> list[dict[str, Any]]:
        """What those that run have used."""
        running = [container for container in self.all.values() if container.pid]
        if self._node.isolated:
            found = processes.by_namespace("mnt")
            groups = [found.get(container.mounts, []) for container in running]
        else:
            groups = [processes.marked(container.id) for container in running]
        told = []
        for container, pids in zip(running, groups, strict=True):
            used = processes.usage(pids)
            told.append({"container_id": container.id, **used, "memory_bytes": used["rss_bytes"]})
        return told

    # Stop and remove

    def stop(self, container: Container, grace_seconds: float, done: Callable[[], None]) -> None:
        """Have it end within its grace; `done` is called once it has."""
        if not container.pid:
            if container.state == "created":
                container.record.update(never_started())
                self._records.amend(container.id, container.record)
            done()
            return
        container.ended.append(done)
        if grace_seconds > 0:
            os.kill(container.pid, container.record["run"]["stop_signal"])
        self._sentence(container, grace_seconds)

    def _sentence(self, container: Container, grace_seconds: float) -> None:
        due = time.monotonic() + grace_seconds
        if container.sentence is not None:
            if container.sentence.due <= due:
                return
            container.sentence.cancel()
        if grace_seconds <= 0:
            os.kill(container.pid, signal.SIGKILL)
            return
        container.sentence = self._loop.after(grace_seconds, lambda: self.kill(container))

    def kill(self, container: Container) -> None:
        if container.pid:
            os.kill(container.pid, signal.SIGKILL)

    def _ended(self, container: Container, status: int) -> None:
        while container.channel is not None and self._hear(container):
            pass
        container.pid = 0
        self._kill_rest(container)
        if container.sentence is not None:
            container.sentence.cancel()
        if container.output is not None:
            container.output.drain()
            container.output = None
        if container.input >= 0:
            os.close(container.input)
            container.input = -1
        out_of_memory = False
        if self._node.cgroups is not None:
            out_of_memory = self._node.cgroups.ran_out_of_memory(container.id, _parent(container))
            self._leave_group(container.id, _parent(container), _GROUP_ATTEMPTS)
        container.record.update(ending(status, container.failure, out_of_memory=out_of_memory))
        self._records.amend(container.id, container.record)
        self._tell("stopped", container.record["sandbox_id"], container.id)
        _call_all(container.started)
        _call_all(container.ended)

    def _leave_group(self, identity: str, parent: str, attempts: int) -> None:
        """Remove a container's control groups, in which its last processes may be a moment longer."""
        assert self._node.cgroups is not None
        if not self._node.cgroups.remove(identity, parent) and attempts:
            self._loop.after(_GROUP_SECONDS, lambda: self._leave_group(identity, parent, attempts - 1))

    def hold(self, container: Container, limits: dict[str, Any]) -> None:
        """Hold one that runs to other limits."""
        if self._node.cgroups is None:
            raise Failure("Unsupported", f"limits are not enforced here: {self._node.why.get('limits', '')}")
        container.record["run"]["limits"] = limits
        try:
            if container.groups:
                self._node.cgroups.hold(container.id, limits, _parent(container))
            else:
                container.groups = self._node.cgroups.make(container.id, limits, _parent(container))
                self._join(container)
        except OSError as exc:
            raise Failure("Unsupported", f"cannot hold the container to its limits: {exc}") from exc
        self._records.amend(container.id, container.record)

    def _join(self, container: Container) -> None:
        """Put what runs already into the container's control groups, and what that starts meanwhile."""
        joined: set[int] = set()
        while fresh := set(self._processes(container)) - joined:
            for pid in fresh:
                for path in container.groups:
                    with suppress(ProcessLookupError), open(path, "w") as file:
                        file.write(str(pid))
            joined |= fresh

    def _processes(self, container: Container) -> list[int]:
        if self._node.isolated:
            return processes.sharing(container.mounts, "mnt")
        return processes.marked(container.id)

    def _kill_rest(self, container: Container) -> None:
        """Kill what a container leaves behind where its first process was not the first of a namespace of its own."""
        sandbox = self._sandboxes.all.get(container.record["sandbox_id"])
        shared = sandbox is not None and (sandbox.processes >= 0 or sandbox.record["config"]["host_pid"])
        if shared or container.record["run"].get("processes_of") or not self._node.isolated:
            processes.kill_all(lambda: self._processes(container))

    def remove(self, container: Container, done: Callable[[], None]) -> None:
        """Kill it and forget it; `done` is called once it is gone."""

        def forget() -> None:
            if self.all.pop(container.id, None) is not None:
                self._tell("deleted", container.record["sandbox_id"], container.id)
                self._loop.aside(lambda: remove_tree(container.folder), done)
            else:
                done()

        self.stop(container, 0, forget)


def _call_all(actions: list[Callable[[], None]]) -> None:
    waiting, actions[:] = list(actions), []
    for action in waiting:
        action()


def _parent(container: Container) -> str:
    """The control group of its pod; "" where that has none. An earlier kubelet may have said nothing of it."""
    parent: str = container.record["run"].get("cgroup_parent", "")
    return parent


def _start_failure(container: Container) -> Failure | None:
    if container.failure is None:
        return None
    return Failure("StartFailed", container.failure["message"], exit_code=container.failure["code"])
