"""A server as its users start it: a process of its own, on a free port, with a data directory that survives it."""

from __future__ import annotations

import json
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import IO, Any

import pytest

from hyperkube_machinery import kubeconfig

_SERVING = re.compile(r"serving Kubernetes \S+ on https://[^:\s]+:(\d+)")
_PATIENCE_SECONDS = 60


class Server:
    """`hk apiserver`: started, killed and started again over one data directory."""

    def __init__(self, data_dir: Path, *flags: str) -> None:
        self.data_dir = data_dir
        self.kubeconfig = data_dir / "admin.kubeconfig"
        self.port = 0
        self.log: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self._flags = flags
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start it and return once it serves."""
        command = [sys.executable, "-m", "hyperkube_core", "apiserver", f"--data-dir={self.data_dir}"]
        self.process = subprocess.Popen(
            [*command, "--secure-port=0", *self._flags], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        ports: queue.Queue[int] = queue.Queue()
        assert self.process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr, ports))
        self._reader.start()
        self.port = ports.get(timeout=_PATIENCE_SECONDS)
        assert self.port, "the server ended before it served:\n" + "".join(self.log)

    def _read(self, lines: IO[str], ports: queue.Queue[int]) -> None:
        with lines:
            for line in lines:
                self.log.append(line)
                if match := _SERVING.search(line):
                    ports.put(int(match[1]))
        ports.put(0)

    def end(self, by: signal.Signals) -> int:
        """Send the signal, and return the exit status once the server is gone."""
        assert self.process is not None
        assert self._reader is not None
        self.process.send_signal(by)
        status = self.process.wait(_PATIENCE_SECONDS)
        self._reader.join(_PATIENCE_SECONDS)
        return status

    def kill(self) -> None:
        """As a power cut would: the process has no say."""
        self.end(signal.SIGKILL)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        connection = Connection(self)
        try:
            yield connection
        finally:
            connection.close()


class Connection:
    """A connection of the administrator's; what is asked on it is asked in order."""

    def __init__(self, server: Server) -> None:
        access = kubeconfig.read(server.kubeconfig)
        self._http = HTTPSConnection("127.0.0.1", server.port, context=access.ssl_context(), timeout=_PATIENCE_SECONDS)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> HTTPResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent.setdefault("content-type", "application/json")
        self._http.request(method, path, None if body is None else json.dumps(body), sent)
        return self._http.getresponse()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        response = self.send(method, path, body, **headers)
        return response.status, json.loads(response.read())

    def close(self) -> None:
        self._http.close()


class Kubectl:
    """One kubectl, in a home of its own, as the administrator of one server."""

    def __init__(self, program: Path, server: Server, home: Path, namespace: str = "default") -> None:
        self.namespace = namespace
        self.server = server
        self._command = [str(program), f"--kubeconfig={server.kubeconfig}", f"--namespace={namespace}"]
        self._environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._command, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=self._environment,
        )

    def try_to(self, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *args],
            capture_output=True,
            text=True,
            input=stdin,
            env=self._environment,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )

    def __call__(self, *args: str, stdin: str = "") -> str:
        """What it prints; a failure fails the test."""
        done = self.try_to(*args, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr}"
        return done.stdout


StartServer = Callable[..., Server]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Start a server with these flags over `data_dir`; it ends with the test."""
    started: list[Server] = []

    def start(*flags: str, data_dir: Path | None = None) -> Server:
        server = Server(data_dir or tmp_path / f"data-{len(started)}", *flags)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        if server.process is not None and server.process.poll() is None:
            server.kill()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of a module, which keep out of each other's way by their namespaces."""
    server = Server(tmp_path_factory.mktemp("server") / "data")
    server.start()
    yield server
    assert server.end(signal.SIGTERM) == 0, "".join(server.log)


@pytest.fixture
def new_kubectl(tmp_path: Path) -> Callable[..., Kubectl]:
    """Make a kubectl from a program, a server and, as a third, a namespace that it works in."""
    return lambda program, server, namespace="default": Kubectl(program, server, tmp_path, namespace)
