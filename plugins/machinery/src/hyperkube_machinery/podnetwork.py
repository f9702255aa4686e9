"""The network that pods are in, for those who are not in it themselves.

Without root a node's pods live in a network namespace of their own, whose agent (the kubelet's reaper) listens on a
Unix socket. A socket belongs to the namespace that it was made in, whoever holds it: so the agent makes sockets and
passes them on, and connecting, binding and all the rest is done here, with the system's own errors.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Protocol

from hyperkube_machinery.agents import AgentRefused, AgentUnavailable, Call

__all__ = [
    "AgentNetwork",
    "Completed",
    "Description",
    "HostNetwork",
    "NetworkUnavailable",
    "PodNetwork",
    "pod_network",
    "search_path",
]

Mode = Literal["host", "namespace", "loopback"]

_BACKLOG = 1024


NetworkUnavailable = AgentUnavailable
"""The agent of the pods' network doesn't answer, or refuses."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A program's end and what it wrote."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class Description:
    """What kind of network it is."""

    mode: Mode  # "loopback": pods have addresses 127.x.y.z of the host
    gateway: str = ""  # the node's own address in it
    pod_cidr: str = ""
    bridge: str = ""  # the name of the interface that pods hang on


class PodNetwork(Protocol):
    """Sockets and programs in the network of the node's pods.

    All sockets are non-blocking and the caller's to close. Calls raise OSError as the system does, and
    NetworkUnavailable; none has a time limit of its own.
    """

    async def dial(self, host: str, port: int) -> socket.socket:
        """A TCP connection to an address in the network."""

    async def listen(self, host: str, port: int) -> socket.socket:
        """A listening TCP socket; `host` "" is every address, `port` 0 one that is free."""

    async def datagram(
        self, local: tuple[str, int] | None = None, remote: tuple[str, int] | None = None
    ) -> socket.socket:
        """A UDP socket, bound to `local` and connected to `remote` where they are given."""

    async def netlink(self, protocol: int) -> socket.socket:
        """A netlink socket that speaks to the network's kernel, with the rights of the network's administrator."""

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> Completed:
        """Run one of the machine's programs to its end, as the network's administrator (`nft -f -`)."""

    async def describe(self) -> Description:
        """What kind of network it is."""


class _Sockets(ABC):
    """What sockets are used for, wherever they come from."""

    @abstractmethod
    async def _make(
        self, family: socket.AddressFamily, kind: socket.SocketKind, protocol: int = 0
    ) -> socket.socket: ...

    async def netlink(self, protocol: int) -> socket.socket:
        if not hasattr(socket, "AF_NETLINK"):
            raise OSError(errno.EAFNOSUPPORT, "there is no netlink here: it is Linux's")
        made = await self._make(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        try:
            made.bind((0, 0))
        except BaseException:
            made.close()
            raise
        return made

    async def dial(self, host: str, port: int) -> socket.socket:
        family, address = await _resolve(host, port, socket.SOCK_STREAM)
        made = await self._make(family, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(made, address)
        except BaseException:
            made.close()
            raise
        return made

    async def listen(self, host: str, port: int) -> socket.socket:
        family, address = await _resolve(host, port, socket.SOCK_STREAM)
        made = await self._make(family, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen(_BACKLOG)
        except BaseException:
            made.close()
            raise
        return made

    async def datagram(
        self, local: tuple[str, int] | None = None, remote: tuple[str, int] | None = None
    ) -> socket.socket:
        family = socket.AF_INET
        addresses: list[Any] = []
        for pair in (local, remote):
            if pair is None:
                addresses.append(None)
                continue
            family, address = await _resolve(*pair, socket.SOCK_DGRAM)
            addresses.append(address)
        made = await self._make(family, socket.SOCK_DGRAM)
        try:
            if addresses[0] is not None:
                made.bind(addresses[0])
            if addresses[1] is not None:
                made.connect(addresses[1])
        except BaseException:
            made.close()
            raise
        return made


def search_path() -> str:
    """Where programs are looked for: on the path, then where administrators' are, which few users have on theirs."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin", os.defpath])


class HostNetwork(_Sockets):
    """The network of this process itself."""

    async def _make(self, family: socket.AddressFamily, kind: socket.SocketKind, protocol: int = 0) -> socket.socket:
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> Completed:
        import tempfile  # of the many who dial, few run programs

        pipe = asyncio.subprocess.PIPE
        # A file, since writing to the pipe of a program that has ended already is an error that uvloop doesn't catch.
        with tempfile.TemporaryFile() as source:
            source.write(stdin)
            source.seek(0)
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=source, stdout=pipe, stderr=pipe, env={**os.environ, "PATH": search_path()}
            )
        try:
            stdout, stderr = await process.communicate()
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        assert process.returncode is not None
        return Completed(process.returncode, stdout, stderr)

    async def describe(self) -> Description:
        return Description("host")


class AgentNetwork(_Sockets):
    """The network of the agent that listens on the Unix socket at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def _make(self, family: socket.AddressFamily, kind: socket.SocketKind, protocol: int = 0) -> socket.socket:
        request = {"op": "socket", "family": int(family), "type": int(kind), "protocol": protocol}
        async with Call(self.path, request) as call:
            await _answer(call)
            made = socket.socket(family, kind, protocol, fileno=call.descriptors.pop())
        made.setblocking(False)
        return made

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> Completed:
        answer = await self._ask({"op": "run", "argv": list(argv), "stdin": b64encode(stdin).decode()})
        return Completed(answer["exit_code"], b64decode(answer["stdout"]), b64decode(answer["stderr"]))

    async def describe(self) -> Description:
        answer = await self._ask({"op": "describe"})
        return Description(answer["mode"], answer["gateway"], answer["pod_cidr"], answer["bridge"])

    async def end(self, grace_seconds: float = 5.0) -> None:
        """End the agent with all pods of its node; each gets `grace_seconds` to end by itself."""
        async with Call(self.path, {"op": "end", "grace_seconds": grace_seconds}) as call:
            await _answer(call)
            with suppress(AgentUnavailable):
                await call.receive()  # nothing more comes; it hangs up when it is gone

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        async with Call(self.path, request) as call:
            return await _answer(call)


async def _answer(call: Call) -> dict[str, Any]:
    try:
        return await call.answer()
    except AgentRefused as exc:
        raise NetworkUnavailable(0, str(exc)) from exc


def pod_network(path: Path | None) -> PodNetwork:
    """The network of the agent at `path`, the host's own where there is none."""
    return HostNetwork() if path is None else AgentNetwork(path)


async def _resolve(host: str, port: int, kind: socket.SocketKind) -> tuple[socket.AddressFamily, Any]:
    try:
        version = ip_address(host or "0.0.0.0").version
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=kind)
        return found[0][0], found[0][4]
    return (socket.AF_INET if version == 4 else socket.AF_INET6), (host, port)
