"""The pods' network: a bridge in the reaper's network namespace, and a namespace with a cable to it for each pod.

A pod's address is its alone (/32), and everything else lies behind the gateway: what one pod sends another passes the
reaper's namespace as routed packets, both ways, so that the addresses of services can be translated there without
hiding who asks (on a common link, answers would pass the translation by).
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from hyperkube_kubelet.runtime.process.reaper import syscalls
from hyperkube_kubelet.runtime.process.reaper.netlink import Netlink

__all__ = ["Addresses", "Bridge", "NoAddressLeft", "set_sysctls"]

BRIDGE = "hk0"
POD_INTERFACE = "eth0"


class NoAddressLeft(Exception):
    """Every address of the node's range is some pod's."""


class Addresses:
    """The addresses of a range of IPv4, handed out in turn, so that one that was given back stays unused for long."""

    def __init__(self, cidr: str, taken: set[str]) -> None:
        base, _, length = cidr.partition("/")
        size = 1 << (32 - int(length))
        first = int.from_bytes(socket.inet_aton(base), "big") & ~(size - 1)
        self.gateway = _spelled(first + 1)
        self.prefix = int(length)
        self.cidr = f"{_spelled(first)}/{length}"
        self._first, self._count = first + 2, max(0, size - 3)  # without network, gateway and broadcast
        self._taken = taken
        self._next = 0

    def take(self) -> str:
        for _ in range(self._count):
            address = _spelled(self._first + self._next)
            self._next = (self._next + 1) % self._count
            if address not in self._taken:
                self._taken.add(address)
                return address
        raise NoAddressLeft(f"all {self._count} addresses of {self.cidr} are taken")

    def give_back(self, address: str) -> None:
        self._taken.discard(address)

    def go_on_after(self, address: str) -> None:
        """Hand out next what follows `address`, which was the last before a restart."""
        place = int.from_bytes(socket.inet_aton(address), "big") - self._first
        if 0 <= place < self._count:
            self._next = (place + 1) % self._count


def _spelled(number: int) -> str:
    return socket.inet_ntoa(number.to_bytes(4, "big"))


def _mac(address: str) -> bytes:
    """A link address made of an IPv4 address, as CNI's bridge makes it."""
    return b"\x0a\x58" + socket.inet_aton(address)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def set_sysctls(sysctls: dict[str, str]) -> None:
    """Set kernel parameters of the namespaces that the caller is in. Raises OSError, naming the parameter."""
    for name, value in sysctls.items():
        try:
            _write("/proc/sys/" + name.replace(".", "/"), value)
        except OSError as exc:
            raise OSError(exc.errno, f"cannot set sysctl {name}: {exc.strerror}") from exc


class Bridge:
    """The bridge that pods hang on; the thread that makes it is in its namespace and stays there."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._netlink = Netlink()
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._netlink.bring_up(self._netlink.index("lo"))
        _let_everybody_bind()
        _write("/proc/sys/net/ipv4/ip_forward", "1")
        self._netlink.add_bridge(BRIDGE, _mac(addresses.gateway))
        _write(f"/proc/sys/net/ipv4/conf/{BRIDGE}/send_redirects", "0")
        _write("/proc/sys/net/ipv4/conf/all/send_redirects", "0")
        self._index = self._netlink.index(BRIDGE)
        self._netlink.add_address(self._index, addresses.gateway, addresses.prefix)
        self._netlink.bring_up(self._index)

    def add_pod(self, name: str, address: str, sysctls: dict[str, str]) -> int:
        """Make a network namespace with `address` and return its descriptor; `name` is of the cable's end here.

        The caller's own namespace is the bridge's again afterwards.
        """
        syscalls.unshare(syscalls.CLONE_NEWNET)
        try:
            namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            inside = Netlink()
            try:
                self._netlink.add_pair(name, self._index, POD_INTERFACE, namespace, _mac(address))
                inside.bring_up(1)  # lo is the first interface of every namespace
                index = inside.index(POD_INTERFACE)
                inside.add_address(index, address, 32)
                inside.bring_up(index)
                inside.add_route(index, self._addresses.gateway, 32)
                inside.add_route(index, gateway=self._addresses.gateway)
                _let_everybody_bind()
                set_sysctls(sysctls)
            except BaseException:
                os.close(namespace)
                raise
            finally:
                inside.close()
            return namespace
        finally:
            syscalls.setns(self._home, syscalls.CLONE_NEWNET)


def _let_everybody_bind() -> None:
    """Let ports below 1024 be bound without a capability, as containerd does."""
    with suppress(OSError):  # capabilities in the namespace do as well, for those who have them
        _write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
