"""The namespaces that all pods of the node are in, and what the machine lets be done there."""

from __future__ import annotations

import _thread
import os
import socket
import zlib

from hyperkube_kubelet.runtime.process.reaper import syscalls
from hyperkube_kubelet.runtime.process.reaper.cgroups import Cgroups, find_cgroups
from hyperkube_kubelet.runtime.process.reaper.network import Addresses, Bridge, set_sysctls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Node", "enter_namespaces", "identity_map"]

_NAMESPACES = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS


def identity_map(text: str) -> str:
    """A map of users that leaves each its number, for all that `text` (a /proc/PID/uid_map) knows."""
    return "".join(f"{start} {start} {count}\n" for start, _, count in (line.split() for line in text.splitlines()))


def enter_namespaces() -> None:
    """Go into new user, mount, process, IPC and host name namespaces; children are in the new process namespace.

    Root keeps all users, anybody else becomes root there, and the only user. Raises OSError.
    """
    uid, gid = os.geteuid(), os.getegid()
    entered, enter = os.pipe()
    mapped, map_ = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if not pid:  # whoever stays outside may write the maps of whoever goes inside
        status = 1
        try:
            os.close(enter)
            if os.read(entered, 1):
                _write_maps(parent, uid, gid)
                os.write(map_, b"x")
                status = 0
        finally:
            os._exit(status)
    os.close(map_)
    os.close(entered)
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        os.write(enter, b"x")
        if not os.read(mapped, 1):
            raise OSError(1, "the users of the new user namespace can't be set")
    finally:
        os.close(enter)
        os.close(mapped)
        os.waitpid(pid, 0)
    syscalls.unshare(_NAMESPACES)
    syscalls.mount("none", "/", "", syscalls.MS_SLAVE | syscalls.MS_REC)


def _write_maps(pid: int, uid: int, gid: int) -> None:
    if uid == 0:
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/self/{name}") as file:
                text = identity_map(file.read())
            _write(f"/proc/{pid}/{name}", text)
        return
    _write(f"/proc/{pid}/setgroups", "deny")
    _write(f"/proc/{pid}/gid_map", f"0 {gid} 1")
    _write(f"/proc/{pid}/uid_map", f"0 {uid} 1")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


class _NetworkThread:
    """A thread in a network namespace of its own, which does there what it is handed; the others stay outside."""

    def __init__(self) -> None:
        self._wanted, self._done = _thread.allocate_lock(), _thread.allocate_lock()
        self._wanted.acquire()
        self._done.acquire()
        self._job: Callable[[], Any] | None = None
        self._result: Any = None
        _thread.start_new_thread(self._work, ())

    def call(self, job: Callable[[], Any]) -> Any:
        """Wait for what `job` returns or raises there."""
        self._job = job
        self._wanted.release()
        self._done.acquire()
        result, self._result, self._job = self._result, None, None
        if isinstance(result, BaseException):
            raise result
        return result

    def _work(self) -> None:
        while True:
            self._wanted.acquire()
            assert self._job is not None
            try:
                self._result = self._job()
            except BaseException as exc:
                self._result = exc
            self._done.release()


class Node:
    """What pods are put into.

    isolated:    user, mount and process namespaces are to be had
    network:     "namespace", "loopback" or "host"
    users:       "all-users": any user may be had, "one-user": the node's own alone, under any number
    overlay:     options for the overlay file system; None where it can't be had
    cgroups:     what holds containers to their limits; None where nothing does
    why:         for each thing that can't be had, the system's own words
    """

    def __init__(self, settings: dict[str, Any], why: dict[str, str], *, isolated: bool) -> None:
        self.isolated = isolated
        self.why = why
        self.addresses = Addresses(settings["loopback_cidr"], set())
        self.users = "all-users" if os.geteuid() == 0 and not _alone() else "one-user"
        self.network = "loopback" if settings["network"] in ("auto", "namespace") else settings["network"]
        self.overlay: str | None = None
        self.cgroups: Cgroups | None = None
        self.processes = -1
        self._thread: _NetworkThread | None = None
        self._bridge: Bridge | None = None
        self._network_namespace = -1
        self._find_cgroups(settings["folder"])
        if not isolated:
            return
        syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
        self.processes = _namespace("pid")
        self._hostname, self._memory = _namespace("uts"), _namespace("ipc")
        self._find_overlay(settings["folder"])
        if settings["network"] in ("auto", "namespace"):
            self._make_network(Addresses(settings["pod_cidr"], set()))

    def _find_cgroups(self, folder: str) -> None:
        try:
            self.cgroups = find_cgroups(f"hk-{zlib.crc32(os.fsencode(folder)):08x}")
        except OSError as exc:
            self.why["limits"] = exc.strerror or str(exc)

    def _find_overlay(self, folder: str) -> None:
        """Try the overlay file system where containers will have theirs."""
        paths = {name: os.path.join(folder, "probe", name) for name in ("lower", "upper", "work", "root")}
        for path in paths.values():
            os.makedirs(path, 0o700, exist_ok=True)
        descriptors = [os.open(paths[name], os.O_PATH | os.O_CLOEXEC) for name in ("lower", "upper", "work")]
        lower, upper, work = (f"/proc/self/fd/{descriptor}" for descriptor in descriptors)
        try:
            options = ",userxattr"
            try:
                _try_overlay(f"lowerdir={lower},upperdir={upper},workdir={work}{options}", paths["root"])
            except OSError:
                options = ""  # what trusted.* attributes need is had where there is no user namespace
                _try_overlay(f"lowerdir={lower},upperdir={upper},workdir={work}", paths["root"])
            self.overlay = options
        except OSError as exc:
            self.why["overlay"] = exc.strerror or str(exc)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _make_network(self, addresses: Addresses) -> None:
        def enter() -> Bridge:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            return Bridge(addresses)

        thread = _NetworkThread()
        try:
            self._bridge = thread.call(enter)
        except OSError as exc:
            self.why["network"] = exc.strerror or str(exc)
            return
        self._thread = thread
        self._network_namespace = thread.call(lambda: _namespace("net"))
        self.network, self.addresses = "namespace", addresses

    @property
    def means(self) -> dict[str, Any]:
        """How containers are made here."""
        return {"isolated": self.isolated, "privileges": self.users, "overlay": self.overlay}

    # Pods

    def add_pod(self, name: str, address: str, sysctls: dict[str, str]) -> int:
        """A network namespace for a pod."""
        bridge = self._bridge
        assert self._thread is not None
        assert bridge is not None
        made: int = self._thread.call(lambda: bridge.add_pod(name, address, sysctls))
        return made

    def add_names(self, hostname: str, sysctls: dict[str, str], *, memory: bool) -> list[tuple[int, int]]:
        """Namespaces for a pod's host name and, with `memory`, its shared memory and semaphores."""
        kinds = [(syscalls.CLONE_NEWUTS, "uts", self._hostname)] if hostname else []
        if memory:
            kinds.append((syscalls.CLONE_NEWIPC, "ipc", self._memory))
        made: list[tuple[int, int]] = []
        entered: list[tuple[int, int]] = []
        try:
            for kind, name, home in kinds:
                syscalls.unshare(kind)
                entered.append((home, kind))
                made.append((_namespace(name), kind))
            if hostname:
                socket.sethostname(hostname)
            set_sysctls(sysctls)
        except BaseException:
            for descriptor, _ in made:
                os.close(descriptor)
            raise
        finally:
            for home, kind in entered:
                syscalls.setns(home, kind)
        return made

    # What others ask for by way of the network's socket

    def socket(self, family: int, kind: int, namespace: int | None = None, *, protocol: int = 0) -> int:
        """A socket in the pods' network, or in the network `namespace` (-1 is the host's); the caller's to close."""

        def make() -> int:
            return socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol).detach()

        def make_there() -> int:
            if namespace is not None:
                syscalls.setns(namespace, syscalls.CLONE_NEWNET)
            try:
                return make()
            finally:
                syscalls.setns(self._network_namespace, syscalls.CLONE_NEWNET)

        if self._thread is None or namespace == -1:
            return make()
        made: int = self._thread.call(make_there)
        return made

    @property
    def network_namespaces(self) -> tuple[tuple[int, int], ...]:
        """What a program enters that is run as the network's administrator."""
        return ((self._network_namespace, syscalls.CLONE_NEWNET),) if self._network_namespace >= 0 else ()


def _alone() -> bool:
    """Whether this user namespace knows one user only."""
    with open("/proc/self/uid_map") as file:
        return sum(int(line.split()[2]) for line in file) < 65536


def _namespace(name: str) -> int:
    return os.open(f"/proc/thread-self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)


def _try_overlay(options: str, target: str) -> None:
    syscalls.mount("overlay", target, "overlay", 0, options)
    syscalls.umount(target)
