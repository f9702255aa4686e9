"""A server as its users start it: a process of its own, on a free port, with a data directory that survives it."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import IO, Any

import _tools
import pytest
from _users import User, ordinary_user

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

    def send_bytes(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> HTTPResponse:
        self._http.request(method, path, body, dict(headers))
        return self._http.getresponse()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        response = self.send(method, path, body, **headers)
        return response.status, json.loads(response.read())

    def close(self) -> None:
        self._http.close()


class Kubectl:
    """One kubectl, in a home of its own, as the administrator of one server."""

    def __init__(self, program: Path, server: Server, home: Path, namespace: str = "default") -> None:
        self.version = _tools.kubectl_version(program)
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

    def try_to(self, *args: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *args],
            capture_output=True,
            text=True,
            input=stdin,
            env={**self._environment, **environment},
            timeout=_PATIENCE_SECONDS,
            check=False,
        )

    def __call__(self, *args: str, stdin: str = "", **environment: str) -> str:
        """What it prints; a failure fails the test."""
        done = self.try_to(*args, stdin=stdin, **environment)
        assert done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr}"
        return done.stdout

    def refused(self, *args: str, stdin: str = "") -> str:
        """What it complains of; success fails the test."""
        done = self.try_to(*args, stdin=stdin)
        assert done.returncode != 0, f"kubectl {' '.join(args)}: {done.stdout}"
        return done.stderr

    def read(self, *args: str) -> Any:
        """The object that `get` finds."""
        return json.loads(self("get", *args, "-o", "json"))

    def needs(self, major: int, minor: int) -> None:
        """Skip the test with a kubectl that is older."""
        if self.version < (major, minor):
            pytest.skip(f"kubectl {major}.{minor} has it")


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
def make_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start a server with these flags for all tests of a module."""
    started: list[Server] = []

    def start(*flags: str) -> Server:
        server = Server(tmp_path_factory.mktemp("server") / "data", *flags)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        assert server.end(signal.SIGTERM) == 0, "".join(server.log)


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that keep out of each other's way by their namespaces."""
    server = Server(tmp_path_factory.mktemp("server") / "data")
    server.start()
    yield server
    assert server.end(signal.SIGTERM) == 0, "".join(server.log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Test with every kubectl where a module says so or they are chosen, else with the newest and the oldest."""
    if "kubectl_program" in metafunc.fixturenames:
        programs = _tools.kubectl()
        if not getattr(metafunc.module, "EVERY_KUBECTL", _tools.KUBECTL_VARIABLE in os.environ):
            programs = list(dict.fromkeys((programs[0], programs[-1])))
        versions = ["{}.{}".format(*_tools.kubectl_version(program)) for program in programs]
        metafunc.parametrize("kubectl_program", programs, ids=versions, scope="session")


@pytest.fixture(scope="session")
def kubectl_home(kubectl_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home for each kubectl, where it keeps what it read of discovery and OpenAPI."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def user(wheels: Mapping[str, Path]) -> Iterator[User]:
    """An ordinary user who has all of hk installed, and of whom nothing runs in the end."""
    with ordinary_user(wheels) as user:
        yield user
        assert user.processes() == []


@pytest.fixture
def namespace(shared_server: Server) -> str:
    """A namespace of this test's."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    with shared_server.connect() as connection:
        assert connection.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
    return name


@pytest.fixture
def kubectl_of(kubectl_program: Path, kubectl_home: Path) -> Callable[[Server], Kubectl]:
    """A kubectl of any server."""
    return lambda server: Kubectl(kubectl_program, server, kubectl_home)


@pytest.fixture
def kubectl(kubectl_program: Path, kubectl_home: Path, shared_server: Server, namespace: str) -> Kubectl:
    """A kubectl in a namespace of this test's, in which pods can be made."""
    with shared_server.connect() as connection:
        account = {"metadata": {"name": "default"}}  # a controller's task; there may be none yet
        assert connection.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", account)[0] in (201, 409)
    return Kubectl(kubectl_program, shared_server, kubectl_home, namespace)
