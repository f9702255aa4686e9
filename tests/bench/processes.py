"""Servers that are measured, each in a process of its own, which is gone when its block ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

__all__ = ["Process", "apiserver", "bare", "printed"]


class Process:
    """A server that answers at `port`."""

    def __init__(self, process: subprocess.Popen[str], port: int, seconds: float) -> None:
        self._process = process
        self.port = port
        self.seconds = seconds  # from exec until it was ready

    @property
    def processor_seconds(self) -> float:
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        try:
            return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
        except FileNotFoundError:  # a thread ended meanwhile
            return self.processor_seconds

    @property
    def memory_megabytes(self) -> float:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def _process(command: list[str], port_of: Callable[[str], int | None]) -> Iterator[Process]:
    """`command` until its port is known, for the length of the block. Raises RuntimeError if it ends before."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield _ready(process, port_of, began)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _ready(process: subprocess.Popen[str], port_of: Callable[[str], int | None], began: float) -> Process:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        port = port_of(line)
        if port is not None:
            return Process(process, port, time.perf_counter() - began)
        said.append(line)
    raise RuntimeError(f"a server ended instead of getting ready: {''.join(said)}")


def apiserver(data: Path, tokens: Path, backend: str = "sqlite", *flags: str) -> AbstractContextManager[Process]:
    """The API server, on a data directory that may be empty."""
    command = [sys.executable, "-m", "hyperkube_core", "apiserver", "--data-dir", str(data), "--secure-port", "0"]
    command += ["--storage-backend", backend, "--token-auth-file", str(tokens), *flags]

    def port(line: str) -> int | None:
        found = re.search(r"serving Kubernetes .* on https://127\.0\.0\.1:(\d+)", line)
        return int(found[1]) if found else None

    return _process(command, port)


def bare(folder: Path) -> AbstractContextManager[Process]:
    """The bare responder, which answers with what is in `folder`."""
    return _process([sys.executable, "-m", "tests.bench.bare", str(folder)], int)


def printed(source: str) -> AbstractContextManager[Process]:
    """A script that prints a line when it is ready; it has no port."""
    return _process([sys.executable, "-c", source], lambda line: 0)
