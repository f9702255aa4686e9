"""Streams of a container runtime, which tells URLs where they are to be had.

    exec, attach ─→ a URL, good for one use ─→ SPDY                         a Session
    a port       ─→ the sandbox's network namespace, where it may be entered ─→ a socket
                 └→ a URL ─→ SPDY

Source: k8s.io/cri-streaming (the server's side); containerd's and CRI-O's port forwarding.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from hyperkube_kubelet.runtime.errors import RuntimeFailure, RuntimeUnavailable
from hyperkube_kubelet.runtime.process.reaper.syscalls import CLONE_NEWNET, setns
from hyperkube_machinery.exchange import ExchangeError, Peer
from hyperkube_machinery.streaming.errors import UpgradeRefused
from hyperkube_machinery.streaming.ports import PortConnection, connected, remote_port
from hyperkube_machinery.streaming.remotecommand import RemoteProcess, remote_command
from hyperkube_machinery.streaming.sessions import Streams
from hyperkube_machinery.tls import client_context

__all__ = ["HOST_NETWORK", "command_at", "network_namespace", "port_at", "port_in"]

HOST_NETWORK = Path("/proc/thread-self/ns/net")
"""The namespace of a sandbox in the node's network, which is the kubelet's own."""

_PORTS = {"http": 80, "https": 443}
_LOCALHOSTS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_OTHER_FAMILY = (errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EAFNOSUPPORT)

Ask = Callable[[], Awaitable[str]]
"""Asks the runtime for a URL. Raises RuntimeFailure."""


@asynccontextmanager
async def command_at(ask: Ask, streams: Streams) -> AsyncIterator[RemoteProcess]:
    """The process that the runtime tells a URL for, for the length of the block.

    Raises RuntimeUnavailable where nobody answers there, RuntimeFailure where the runtime doesn't want.
    """
    peer, target = _place(await ask())
    try:
        async with remote_command(peer, target, streams) as process:
            yield process
    except (ExchangeError, UpgradeRefused) as exc:
        raise _translated(exc) from exc


@asynccontextmanager
async def port_at(ask: Ask, port: int) -> AsyncIterator[PortConnection]:
    """A port of a sandbox by way of the runtime, which the URL is for. Raises as `command_at` does."""
    peer, target = _place(await ask())
    try:
        async with remote_port(peer, target, port) as connection:
            yield connection
    except (ExchangeError, UpgradeRefused) as exc:
        raise _translated(exc) from exc


def _translated(exc: ExchangeError | UpgradeRefused) -> RuntimeFailure:
    if isinstance(exc, ExchangeError):
        return RuntimeUnavailable(f"cannot reach the container runtime's streams: {exc}")
    return RuntimeFailure(str(exc))


def _place(url: str) -> tuple[Peer, str]:
    """Raises RuntimeFailure for what is no URL."""
    parts = urlsplit(url)
    try:
        port = parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        raise RuntimeFailure(f"the container runtime tells a URL that is none: {parts.scheme}://…") from None
    host = parts.hostname or "localhost"
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    # On this machine runtimes show certificates of their own making; that the URL was told is what vouches for it.
    tls = client_context(trusts_anybody=_is_here(host)) if parts.scheme == "https" else None
    return Peer(host, port, tls), target


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def network_namespace(info: Mapping[str, str]) -> Path | None:
    """Of a sandbox, out of what its status tells those who ask for more; None where it doesn't tell."""
    try:
        namespaces = json.loads(info["info"])["runtimeSpec"]["linux"]["namespaces"]
        found = next((one for one in namespaces if one["type"] == "network"), None)
    except (KeyError, TypeError, ValueError):
        return None
    if found is None:
        return HOST_NETWORK
    path = found.get("path")
    return Path(path) if path else None


@asynccontextmanager
async def port_in(namespace: Path, port: int) -> AsyncIterator[PortConnection]:
    """A port of localhost in a network namespace. Raises OSError as connect does, or where it may not be entered."""
    loop = asyncio.get_running_loop()
    refused: OSError | None = None
    for family, host in _LOCALHOSTS:
        made = await _socket_in(namespace, family)
        try:
            await loop.sock_connect(made, (host, port))
        except OSError as exc:
            made.close()
            if exc.errno not in _OTHER_FAMILY:
                raise
            refused = refused or exc
            continue
        except BaseException:
            made.close()
            raise
        async with connected(made) as connection:
            yield connection
            return
    assert refused is not None
    raise refused


async def _socket_in(namespace: Path, family: socket.AddressFamily) -> socket.socket:
    """A socket belongs to the namespace that it was made in, whoever has it: a thread that ends then enters it."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[socket.socket] = loop.create_future()

    def enter() -> None:
        try:
            with closing(_Descriptor(namespace)) as opened:
                setns(opened.number, CLONE_NEWNET)
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
        except OSError as exc:
            loop.call_soon_threadsafe(_fail, made, exc)
        else:
            loop.call_soon_threadsafe(_hand_over, made, sock)

    threading.Thread(target=enter, name=f"enter {namespace.name}", daemon=True).start()
    return await made


class _Descriptor:
    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self.number)


def _hand_over(made: asyncio.Future[socket.socket], sock: socket.socket) -> None:
    if made.done():  # nobody waits any more
        sock.close()
    else:
        made.set_result(sock)


def _fail(made: asyncio.Future[socket.socket], exc: OSError) -> None:
    if not made.done():
        made.set_exception(exc)
