"""What kubectl does with containers that run, as tests of any runtime need it: its programs, terminals and ports."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import struct
import tempfile
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import _tools
import pytest
from _clusters import Cluster

SECONDS = 60.0


def kubectls() -> list[Path]:
    """The newest, the oldest and one from between: WebSockets came with 1.30 for commands, with 1.31 for ports."""
    found = _tools.kubectl()
    return list(dict.fromkeys((found[0], found[len(found) // 2], found[-1])))


class Kubectl:
    """One version, as the administrator."""

    def __init__(self, cluster: Cluster, program: Path) -> None:
        self._base = (str(program), f"--kubeconfig={cluster.kubeconfig}")
        self._environment = {"HOME": str(cluster.folder), "PATH": "/usr/bin:/bin"}

    @asynccontextmanager
    async def started(self, *args: str, **streams: Any) -> AsyncIterator[asyncio.subprocess.Process]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE) | streams
        process = await asyncio.create_subprocess_exec(*self._base, *args, env=self._environment, **pipes)
        try:
            async with asyncio.timeout(SECONDS):
                yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def run(self, *args: str, stdin: bytes = b"") -> tuple[int | None, bytes, str]:
        """Exit code, output and complaints."""
        with tempfile.TemporaryFile() as given:  # a pipe that kubectl reads nothing from would break
            given.write(stdin)
            given.seek(0)
            async with self.started(*args, stdin=given) as process:
                output, complaint = await process.communicate()
        return process.returncode, output, complaint.decode()


async def answer(port: int) -> bytes:
    """What a server at a port of loopback answers; empty where it says nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        with suppress(ConnectionError):
            return await reader.read()
        return b""
    finally:
        writer.close()


async def local_port(forwarding: asyncio.subprocess.Process) -> int:
    """Where kubectl listens."""
    assert forwarding.stdout is not None
    assert forwarding.stderr is not None
    line = await forwarding.stdout.readline()
    found = re.search(rb"127\.0\.0\.1:(\d+) ->", line)
    assert found, await forwarding.stderr.read()
    return int(found[1])


class Terminal:
    """One for a program to run in."""

    def __init__(self, *, rows: int, columns: int) -> None:
        self._ours, self.theirs = os.openpty()
        os.set_blocking(self._ours, False)
        self._seen = b""
        self.resize(rows=rows, columns=columns)

    def resize(self, *, rows: int, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def let_go(self) -> None:
        """The program has its end."""
        os.close(self.theirs)

    def write(self, data: bytes) -> None:
        os.write(self._ours, data)

    async def until(self, text: bytes) -> None:
        """Return when `text` is shown."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._ours, readable.set)
        try:
            async with asyncio.timeout(SECONDS):
                while text not in self._seen:
                    await readable.wait()
                    readable.clear()
                    with suppress(BlockingIOError, OSError):
                        self._seen += os.read(self._ours, 4096)
        except TimeoutError:
            pytest.fail(f"{text!r} is not in {self._seen!r}")
        finally:
            loop.remove_reader(self._ours)
        self._seen = self._seen.partition(text)[2]

    def close(self) -> None:
        os.close(self._ours)
