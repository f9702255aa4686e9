"""Answers the kubelet, and whoever else speaks to the pods' network."""

from __future__ import annotations

import base64
import os
import socket
import sys
import time
from contextlib import suppress

from hyperkube_kubelet.runtime.process.reaper import launch, syscalls
from hyperkube_kubelet.runtime.process.reaper.containers import Containers
from hyperkube_kubelet.runtime.process.reaper.failures import Failure
from hyperkube_kubelet.runtime.process.reaper.network import BRIDGE
from hyperkube_kubelet.runtime.process.reaper.programs import Program
from hyperkube_kubelet.runtime.process.reaper.records import Records
from hyperkube_kubelet.runtime.process.reaper.sandboxes import Sandbox, Sandboxes
from hyperkube_kubelet.runtime.process.reaper.sessions import Execution, attach
from hyperkube_kubelet.runtime.process.reaper.trees import remove_tree
from hyperkube_kubelet.runtime.process.reaper.wire import VERSION, Connection, address_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hyperkube_kubelet.runtime.process.reaper.loop import Loop, Timer
    from hyperkube_kubelet.runtime.process.reaper.node import Node

    Operation = Callable[[Connection, dict[str, Any]], None]

__all__ = ["Server"]

_END_GRACE_SECONDS = 5.0
_FIRST_SECONDS = 30.0
"""How long the kubelet that started the reaper may take to come back to it."""


class Server:
    """All that can be asked for, by the name of the operation."""

    def __init__(self, node: Node, loop: Loop, settings: dict[str, Any]) -> None:
        self._node, self._loop, self._settings = node, loop, settings
        self._listeners: list[tuple[socket.socket, str]] = []
        self._followers: list[Connection] = []
        self._lonely: Timer | None = None
        self._ending = False
        folder = settings["folder"]
        self._sandboxes = Sandboxes(node, loop, Records(os.path.join(folder, "sandboxes")))
        records = Records(os.path.join(folder, "containers"))
        self._containers = Containers(node, loop, records, self._sandboxes, settings, self._tell)
        self._network_operations: dict[str, Operation] = {
            "socket": self._socket,
            "run": self._run,
            "describe": self._describe,
            "end": self._end,
        }
        self._operations: dict[str, Operation] = {
            **self._network_operations,
            "attach": self._attach,
            "create_container": self._create_container,
            "dial": self._dial,
            "events": self._events,
            "exec": self._exec,
            "list": self._list,
            "mount_memory": self._mount_memory,
            "remove_container": self._remove_container,
            "remove_sandbox": self._remove_sandbox,
            "remove_tree": self._remove_tree,
            "run_sandbox": self._run_sandbox,
            "start_container": self._start_container,
            "stats": self._stats,
            "stop_container": self._stop_container,
            "stop_sandbox": self._stop_sandbox,
            "unmount_memory": self._unmount_memory,
            "update_limits": self._update_limits,
        }
        self._await_kubelet(max(_FIRST_SECONDS, settings["grace_seconds"]))

    def listen(self, path: str, *, everything: bool) -> None:
        """Answer on a Unix socket from now on: about the network only, or about everything."""
        folder = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with suppress(FileNotFoundError):
                os.unlink(path)
            made.bind(address_of(path, folder))
        finally:
            os.close(folder)
        made.listen(128)
        made.setblocking(False)
        self._listeners.append((made, path))
        operations = self._operations if everything else self._network_operations
        self._loop.when_ready(made.fileno(), lambda _: self._accept(made, operations))

    def close(self) -> None:
        """Let nobody ask for anything any more."""
        for listener, path in self._listeners:
            self._loop.forget(listener.fileno())
            listener.close()
            with suppress(OSError):  # the folder may be gone
                os.unlink(path)
        self._listeners.clear()
        if self._node.cgroups is not None:
            self._node.cgroups.close()

    def _accept(self, listener: socket.socket, operations: dict[str, Operation]) -> None:
        try:
            made, _ = listener.accept()
        except BlockingIOError:
            return
        Connection(made, self._loop, lambda connection, request: self._handle(operations, connection, request))

    def _handle(
        self,
        operations: dict[str, Operation],
        connection: Connection,
        request: dict[str, Any],
    ) -> None:
        try:
            name = request.get("op", "")
            if name not in operations:
                raise Failure("Unsupported", f"there is no operation {name!r}")
            operations[name](connection, request)
        except Failure as exc:
            connection.finish({"error": exc.document()})
        except Exception as exc:  # whoever asked is told; nobody else notices
            sys.excepthook(*sys.exc_info())
            connection.finish({"error": Failure("RuntimeFailure", f"{type(exc).__name__}: {exc}").document()})

    # Whether anybody cares

    def _await_kubelet(self, seconds: float) -> None:
        if not self._followers and self._lonely is None and not self._ending:
            self._lonely = self._loop.after(seconds, self._abandoned)

    def _abandoned(self) -> None:
        with suppress(OSError):  # such as of a full disk
            print("no kubelet is there any more: ending all pods", flush=True)
        self._end_all(_END_GRACE_SECONDS, lambda: None)

    def _events(self, connection: Connection, request: dict[str, Any]) -> None:
        """Tell of events from now on; this connection is also how a kubelet shows that it is there."""

        def lost() -> None:
            self._followers.remove(connection)
            self._await_kubelet(self._settings["grace_seconds"])

        self._followers.append(connection)
        connection.when_closed.append(lost)
        if self._lonely is not None:
            self._lonely.cancel()
            self._lonely = None
        connection.send({"ok": {}})

    def _tell(self, kind: str, sandbox_id: str, container_id: str) -> None:
        event = {"kind": kind, "sandbox_id": sandbox_id, "container_id": container_id, "at": time.time()}
        for follower in list(self._followers):
            follower.send(event)

    # The end

    def _end(self, connection: Connection, request: dict[str, Any]) -> None:
        """End all pods and the reaper: it answers then, and hangs up by its own end."""
        self._end_all(float(request.get("grace_seconds", _END_GRACE_SECONDS)), lambda: connection.send({"ok": {}}))

    def _end_all(self, grace_seconds: float, done: Callable[[], None]) -> None:
        self._ending = True
        waiting = {container.id for container in self._containers.all.values() if container.pid}

        def ended(identity: str) -> None:
            waiting.discard(identity)
            if not waiting:
                try:
                    for sandbox in list(self._sandboxes.all.values()):
                        self._sandboxes.take_down(sandbox)
                    self.close()
                    done()
                finally:  # what could not be written down is no reason to stay
                    self._loop.stop()

        for container in list(self._containers.all.values()):
            if container.pid:
                self._containers.stop(container, grace_seconds, lambda identity=container.id: ended(identity))  # type: ignore[misc]
        if not waiting:
            ended("")

    # Sandboxes

    def _run_sandbox(self, connection: Connection, request: dict[str, Any]) -> None:
        if self._ending:
            raise Failure("RuntimeUnavailable", "the node's pods are being ended")
        connection.finish({"ok": self._sandboxes.run(request).document()})

    def _stop_sandbox(self, connection: Connection, request: dict[str, Any]) -> None:
        sandbox = self._sandboxes.all.get(request["sandbox_id"])
        if sandbox is None:
            connection.finish({"ok": {}})
            return
        self._stop(sandbox, lambda: connection.finish({"ok": {}}))

    def _stop(self, sandbox: Sandbox, done: Callable[[], None]) -> None:
        waiting = {container.id for container in self._containers.of(sandbox)}

        def ended(identity: str) -> None:
            waiting.discard(identity)
            if not waiting:
                self._sandboxes.take_down(sandbox)
                done()

        for container in self._containers.of(sandbox):
            self._containers.stop(container, 0, lambda identity=container.id: ended(identity))  # type: ignore[misc]
        if not waiting:
            ended("")

    def _remove_sandbox(self, connection: Connection, request: dict[str, Any]) -> None:
        sandbox = self._sandboxes.all.get(request["sandbox_id"])
        if sandbox is None:
            connection.finish({"ok": {}})
            return

        def forget() -> None:
            self._sandboxes.forget(sandbox)
            connection.finish({"ok": {}})

        def remove_containers() -> None:
            waiting = {container.id for container in self._containers.of(sandbox)}
            if not waiting:
                forget()

            def removed(identity: str) -> None:
                waiting.discard(identity)
                if not waiting:
                    forget()

            for container in self._containers.of(sandbox):
                self._containers.remove(container, lambda identity=container.id: removed(identity))  # type: ignore[misc]

        self._stop(sandbox, remove_containers)

    def _list(self, connection: Connection, request: dict[str, Any]) -> None:
        """Sandboxes or containers: all, those of one sandbox, or one."""
        sandbox, container = request.get("sandbox_id"), request.get("container_id")
        found: list[Any]
        if request["of"] == "sandboxes":
            found = list(self._sandboxes.all.values()) if sandbox is None else [self._sandboxes.get(sandbox)]
        elif container is not None:
            found = [self._containers.get(container)]
        else:
            found = [one for one in self._containers.all.values() if sandbox in (None, one.record["sandbox_id"])]
        connection.finish({"ok": {"items": [one.document() for one in found]}})

    # Containers

    def _create_container(self, connection: Connection, request: dict[str, Any]) -> None:
        connection.finish({"ok": {"id": self._containers.create(request).id}})

    def _start_container(self, connection: Connection, request: dict[str, Any]) -> None:
        def done(failure: Failure | None) -> None:
            connection.finish({"ok": {}} if failure is None else {"error": failure.document()})

        self._containers.start(self._containers.get(request["container_id"]), done)

    def _stop_container(self, connection: Connection, request: dict[str, Any]) -> None:
        container = self._containers.all.get(request["container_id"])
        if container is None:
            connection.finish({"ok": {}})
            return
        self._containers.stop(container, float(request["grace_seconds"]), lambda: connection.finish({"ok": {}}))

    def _remove_container(self, connection: Connection, request: dict[str, Any]) -> None:
        container = self._containers.all.get(request["container_id"])
        if container is None:
            connection.finish({"ok": {}})
            return
        self._containers.remove(container, lambda: connection.finish({"ok": {}}))

    def _exec(self, connection: Connection, request: dict[str, Any]) -> None:
        Execution(self._node, self._loop, self._containers.running(request["container_id"]), request, connection)

    def _attach(self, connection: Connection, request: dict[str, Any]) -> None:
        attach(self._containers.running(request["container_id"]), request, connection)

    def _stats(self, connection: Connection, request: dict[str, Any]) -> None:
        connection.finish({"ok": {"containers": self._containers.stats()}})

    def _update_limits(self, connection: Connection, request: dict[str, Any]) -> None:
        container = self._containers.running(request["container_id"])
        container.record["config"] = request["config"]
        self._containers.hold(container, request["limits"])
        connection.finish({"ok": {}})

    # Files

    def _mount_memory(self, connection: Connection, request: dict[str, Any]) -> None:
        path = request["path"]
        if not self._node.isolated:
            raise Failure("Unsupported", "file systems in memory can't be had without namespaces")
        if not os.path.ismount(path):
            size = f",size={request['size_bytes']}" if request["size_bytes"] else ""
            syscalls.mount("tmpfs", path, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, f"mode=0777{size}")
        connection.finish({"ok": {}})

    def _unmount_memory(self, connection: Connection, request: dict[str, Any]) -> None:
        if self._node.isolated and os.path.ismount(request["path"]):
            syscalls.umount(request["path"], syscalls.MNT_DETACH)
        connection.finish({"ok": {}})

    def _remove_tree(self, connection: Connection, request: dict[str, Any]) -> None:
        self._loop.aside(lambda: remove_tree(request["path"]), lambda: connection.finish({"ok": {}}))

    # The network

    def _socket(self, connection: Connection, request: dict[str, Any]) -> None:
        protocol = int(request.get("protocol", 0))
        made = self._node.socket(int(request["family"]), int(request["type"]), protocol=protocol)
        connection.finish({"ok": {}}, [made])

    def _dial(self, connection: Connection, request: dict[str, Any]) -> None:
        sandbox = self._sandboxes.get(request["sandbox_id"])
        made = self._node.socket(int(request["family"]), socket.SOCK_STREAM, sandbox.network)
        connection.finish({"ok": {"ip": sandbox.record["ip"], "own": sandbox.network >= 0}}, [made])

    def _run(self, connection: Connection, request: dict[str, Any]) -> None:
        child = launch.program(request["argv"], self._node.network_namespaces)

        def done(code: int, stdout: bytes, stderr: bytes) -> None:
            streams = {"stdout": base64.b64encode(stdout).decode(), "stderr": base64.b64encode(stderr).decode()}
            connection.finish({"ok": {"exit_code": code, **streams}})

        program = Program(self._loop, child, base64.b64decode(request["stdin"]), done)
        connection.when_closed.append(program.kill)

    def _describe(self, connection: Connection, request: dict[str, Any]) -> None:
        node = self._node
        own = node.network == "namespace"
        answer = {
            "mode": node.network,
            "gateway": node.addresses.gateway if own else "",
            "pod_cidr": node.addresses.cidr if node.network != "host" else "",
            "bridge": BRIDGE if own else "",
            "version": VERSION,
            "isolated": node.isolated,
            "users": node.users,
            "overlay": node.overlay is not None,
            "limits": node.cgroups.controllers if node.cgroups is not None else [],
            "why": node.why,
        }
        connection.finish({"ok": answer})
