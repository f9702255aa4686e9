"""Sandboxes: what a pod's containers share, and what keeps it there."""

from __future__ import annotations

import os
import secrets
import signal
import time
from contextlib import suppress

from hyperkube_kubelet.runtime.process.reaper import launch, syscalls
from hyperkube_kubelet.runtime.process.reaper.failures import Failure
from hyperkube_kubelet.runtime.process.reaper.network import NoAddressLeft
from hyperkube_kubelet.runtime.process.reaper.trees import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyperkube_kubelet.runtime.process.reaper.loop import Loop
    from hyperkube_kubelet.runtime.process.reaper.node import Node
    from hyperkube_kubelet.runtime.process.reaper.records import Records

__all__ = ["Sandbox", "Sandboxes"]

_FILES = {"hosts": "/etc/hosts", "hostname": "/etc/hostname", "resolv.conf": "/etc/resolv.conf"}
_SHARED_MEMORY = 64 << 20  # as containerd's


class Sandbox:
    """A sandbox and the namespaces that it holds: those of its network, host name and memory, and of its processes."""

    __slots__ = ("id", "namespaces", "network", "pause", "processes", "record")

    def __init__(self, identity: str, record: dict[str, Any]) -> None:
        self.id = identity
        self.record = record  # what is remembered and told: request, ip, state, created_at
        self.namespaces: list[tuple[int, int]] = []
        self.network = -1  # in `namespaces`, too
        self.processes = -1
        self.pause = 0  # the process that keeps the shared process namespace

    @property
    def ready(self) -> bool:
        return bool(self.record["state"] == "ready")

    @property
    def cable(self) -> str:
        return f"veth{self.id[:10]}"

    def document(self) -> dict[str, Any]:
        return {"id": self.id, **self.record}


class Sandboxes:
    """All sandboxes of the node."""

    def __init__(self, node: Node, loop: Loop, records: Records) -> None:
        self._node, self._loop, self._records = node, loop, records
        self.all: dict[str, Sandbox] = {}
        found, broken = records.read()
        for identity, record in sorted(found.items(), key=lambda item: float(item[1]["created_at"])):
            record["state"] = "not ready"  # its namespaces went with the reaper that wrote this
            if record["ip"]:
                node.addresses.go_on_after(record["ip"])
            self.all[identity] = Sandbox(identity, record)
        for folder in broken:
            remove_tree(folder)

    def get(self, identity: str) -> Sandbox:
        if identity not in self.all:
            raise Failure("NotFound", f"there is no sandbox {identity}")
        return self.all[identity]

    def run(self, request: dict[str, Any]) -> Sandbox:
        """Make a sandbox, or find the one that an earlier call for the same uid and attempt made."""
        key = (request["config"]["uid"], request["config"]["attempt"])
        for sandbox in self.all.values():
            config = sandbox.record["config"]
            if sandbox.ready and (config["uid"], config["attempt"]) == key:
                return sandbox
        identity = secrets.token_hex(32)
        config = request["config"]
        sandbox = Sandbox(identity, {"config": config, "ip": "", "state": "ready", "created_at": time.time()})
        try:
            self._set_up(sandbox, request)
            self._records.write(identity, sandbox.record)
        except BaseException as exc:
            self._take_down(sandbox)
            remove_tree(self._records.folder(identity))
            if isinstance(exc, NoAddressLeft | OSError):
                raise Failure("CreateFailed", f"cannot make the pod's sandbox: {exc}") from exc
            raise
        self.all[identity] = sandbox
        return sandbox

    def _set_up(self, sandbox: Sandbox, request: dict[str, Any]) -> None:
        config, node = request["config"], self._node
        own_network = node.network != "host" and not config["host_network"]
        if own_network:
            sandbox.record["ip"] = node.addresses.take()
        folder = self._records.folder(sandbox.id)
        os.makedirs(os.path.join(folder, "shm"), 0o711, exist_ok=True)
        for name in _FILES:
            with open(os.path.join(folder, name), "w") as file:
                os.fchmod(file.fileno(), 0o644)  # whoever containers run as reads them
                file.write(request["files"][name].replace("$IP", sandbox.record["ip"]))
        if not node.isolated:
            return
        sysctls: dict[str, str] = config["sysctls"]
        of_network = {name: value for name, value in sysctls.items() if name.startswith("net.")}
        others = {name: value for name, value in sysctls.items() if name not in of_network}
        hostname = "" if config["host_network"] else config["hostname"]
        sandbox.namespaces += node.add_names(hostname, others, memory=not config["host_ipc"])
        if own_network and node.network == "namespace":
            sandbox.network = node.add_pod(sandbox.cable, sandbox.record["ip"], of_network)
            sandbox.namespaces.append((sandbox.network, syscalls.CLONE_NEWNET))
        options = f"mode=1777,size={_SHARED_MEMORY}"
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        syscalls.mount("shm", os.path.join(folder, "shm"), "tmpfs", flags, options)
        if config["share_processes"]:
            self._start_pause(sandbox)

    def _start_pause(self, sandbox: Sandbox) -> None:
        """Start the first process of the pod's process namespace, which reaps its orphans."""
        pid, channel = launch.fork(launch.pause(), self._node.processes)
        channel.close()
        sandbox.pause = pid
        sandbox.processes = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._loop.when_ended(pid, lambda _: self._lose_pause(sandbox))

    def _lose_pause(self, sandbox: Sandbox) -> None:
        sandbox.pause = 0
        self.take_down(sandbox)

    def files(self, sandbox: Sandbox) -> dict[str, str]:
        """What containers find at some paths, and where it lies on disk."""
        folder = self._records.folder(sandbox.id)
        found = {target: os.path.join(folder, name) for name, target in _FILES.items()}
        found["/dev/shm"] = "/dev/shm" if sandbox.record["config"]["host_ipc"] else os.path.join(folder, "shm")
        return found

    def take_down(self, sandbox: Sandbox) -> None:
        """Give back what a sandbox holds, whose containers have ended; harmless when repeated."""
        if sandbox.ready:
            sandbox.record["state"] = "not ready"
            self._take_down(sandbox)
            self._records.amend(sandbox.id, sandbox.record)

    def _take_down(self, sandbox: Sandbox) -> None:
        # The network goes, with the bridge's end of the cable, once nobody holds it: the kernel sees to that aside,
        # where taking the cable away would keep everybody waiting for tens of milliseconds.
        for descriptor, _ in sandbox.namespaces:
            os.close(descriptor)
        sandbox.namespaces, sandbox.network = [], -1
        if sandbox.processes >= 0:
            os.close(sandbox.processes)
            sandbox.processes = -1
        if sandbox.pause:
            os.kill(sandbox.pause, signal.SIGKILL)
        if self._node.isolated:
            with suppress(OSError):  # it was not mounted yet
                syscalls.umount(os.path.join(self._records.folder(sandbox.id), "shm"), syscalls.MNT_DETACH)
        if sandbox.record["ip"]:
            self._node.addresses.give_back(sandbox.record["ip"])

    def forget(self, sandbox: Sandbox) -> None:
        """Forget a sandbox that was taken down."""
        remove_tree(self._records.folder(sandbox.id))
        self.all.pop(sandbox.id, None)
