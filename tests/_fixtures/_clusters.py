"""An API server and whatever other servers a test wants beside it: each a process of its own, or all in the test's.

Each server is somebody: it gets a kubeconfig with the identity that its upstream counterpart has, so what it may do
is decided as in production.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from hyperkube_core import HyperKube
from hyperkube_core._lifeline import LIFELINE, NOTIFY
from hyperkube_core.testing import RunningServer, running
from hyperkube_machinery import kubeconfig, tls
from hyperkube_machinery.client import Client, LocalServer, connect
from hyperkube_machinery.clock import SystemClock

Mode = Literal["process", "in-process"]

PATIENCE_SECONDS = 60.0
"""Real time: how long a test waits for what should have happened long ago."""

DISK_ASIDE = ("--eviction-hard=memory.available<100Mi", "--image-gc-high-threshold=100")
"""Kubelets leave pods and images alone however full the machine's disk is; a flag of a test's own comes after these."""

_IDENTITIES = {
    "controller-manager": "system:kube-controller-manager",
    "scheduler": "system:kube-scheduler",
    "proxy": "system:kube-proxy",
}


class Process:
    """A server in a process of its own, which ends with this one at the latest."""

    def __init__(
        self, name: str, args: Sequence[str], environment: dict[str, str], *, inside: Sequence[str] = ()
    ) -> None:
        """`inside` is what the command line begins with, such as `nsenter`."""
        self.name = name
        self._lines: list[bytes] = []
        theirs, self._lifeline = os.pipe()
        self._told, telling = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*inside, sys.executable, "-m", "hyperkube_core", name, *args],
                env={**os.environ, **environment, LIFELINE: str(theirs), NOTIFY: str(telling)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(theirs, telling),
            )
        finally:
            os.close(theirs)
            os.close(telling)
        assert self._process.stderr is not None
        self._stderr = self._process.stderr
        os.set_blocking(self._stderr.fileno(), False)
        self._ended = asyncio.Event()
        self._ready = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._stderr.fileno(), self._read_log)
        loop.add_reader(self._told, self._hear)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """What it said so far."""
        return b"".join(self._lines).decode(errors="replace")

    async def ready(self) -> None:
        ready, ended = asyncio.ensure_future(self._ready.wait()), asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((ready, ended), timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
            ended.cancel()
        assert self._ready.is_set(), f"{self.name} is not ready:\n{self.log}"

    async def stop(self) -> int:
        """Ask it to stop, as a supervisor does, and return its exit status."""
        return await self.end(signal.SIGTERM)

    async def kill(self) -> None:
        """As a power cut would: it has no say."""
        await self.end(signal.SIGKILL)

    async def end(self, by: signal.Signals) -> int:
        if self._process.poll() is None:
            self._process.send_signal(by)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._ended.wait()
            return await asyncio.to_thread(self._process.wait)

    def close(self) -> None:
        """Let go of it; it is killed if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._stderr.fileno())
        self._stderr.close()
        if self._told >= 0:
            loop.remove_reader(self._told)
            os.close(self._told)
        os.close(self._lifeline)

    def _read_log(self) -> None:
        if data := self._stderr.read():
            self._lines.append(data)
        elif data is not None:  # its last descriptor is closed: it has ended
            asyncio.get_running_loop().remove_reader(self._stderr.fileno())
            self._ended.set()

    def _hear(self) -> None:
        data = os.read(self._told, 4096)
        if b"READY=1" in data:
            self._ready.set()
        if not data:
            asyncio.get_running_loop().remove_reader(self._told)
            os.close(self._told)
            self._told = -1


class Beside:
    """A server in the test's process."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self.name = server.name

    async def stop(self) -> int:
        await self._server.stop()
        return 0


class Cluster:
    """An API server, and what was started beside it."""

    def __init__(self, mode: Mode, folder: Path, stack: AsyncExitStack, kubectl: Callable[[], Path]) -> None:
        self.mode = mode
        self.folder = folder
        self.data_dir = folder / "apiserver"
        self.kubeconfig = self.data_dir / "admin.kubeconfig"
        self.client: Client
        self.local: LocalServer | None = None
        self._stack = stack
        self._kubectl = kubectl
        self._launcher = HyperKube("hk")

    async def open(self, *flags: str) -> None:
        """Start the API server."""
        args = (f"--data-dir={self.data_dir}", "--secure-port=0", "--allow-privileged", *flags)
        server = await self._start("apiserver", args)
        if isinstance(server, Beside):
            self.local = server._server.require(LocalServer)
        self.client = await self.connect(self.kubeconfig)

    async def connect(self, config: Path) -> Client:
        """A client with the identity in a kubeconfig; it is closed with the cluster."""
        access = kubeconfig.read(config)
        return await self._stack.enter_async_context(
            connect(access, clock=SystemClock(), user_agent="hk-tests", local=self.local)
        )

    def identity(self, user: str, *groups: str) -> Path:
        """A kubeconfig for a user, with a certificate of the API server's own authority."""
        pki = self.data_dir / "pki"
        now = SystemClock().now()
        pair = tls.issue_client_certificate(tls.load(pki / "ca.crt", pki / "ca.key"), user, groups, now=now)
        admin = kubeconfig.read(self.kubeconfig)
        access = kubeconfig.Access(
            server=admin.server, ca_pem=admin.ca_pem, certificate_pem=pair.certificate_pem, key_pem=pair.key_pem
        )
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        kubeconfig.write(path, access, cluster="test", user=user)
        return path

    async def start(self, name: str, *args: str, user: str = "", groups: Sequence[str] = ()) -> Process | Beside:
        """Start a server, as the identity that it has in production or as `user`, and return once it is ready.

        A kubelet is told its node's name by `--hostname-override`, which makes its identity; it looks at no disk unless
        `args` have it.
        """
        if name == "kubelet":
            args = (*DISK_ASIDE, *args)
        if name == "kubelet" and not user:
            node = next(arg.partition("=")[2] for arg in args if arg.startswith("--hostname-override="))
            user, groups = f"system:node:{node}", ("system:nodes",)
        config = self.identity(user or _IDENTITIES[name], *groups)
        return await self._start(name, (f"--kubeconfig={config}", *args))

    async def start_told(self, name: str, *args: str) -> Process | Beside:
        """Start a server that is told by `args` alone, who it is included, and return once it is ready."""
        return await self._start(name, args)

    def begin(
        self, name: str, *args: str, inside: Sequence[str] = (), environment: dict[str, str] | None = None
    ) -> Process:
        """The same in a process of its own, without waiting for anything."""
        process = Process(name, args, environment or {}, inside=inside)
        self._stack.push_async_callback(_let_go, process)
        return process

    async def start_process(self, name: str, *args: str, user: str = "", groups: Sequence[str] = ()) -> Process:
        """The same in a process of its own, whatever the mode: for what kills it."""
        assert self.mode == "process", "a process can't reach an API server that is killed with the test"
        started = await self.start(name, *args, user=user, groups=groups)
        assert isinstance(started, Process)
        return started

    async def _start(self, name: str, args: Sequence[str]) -> Process | Beside:
        if self.mode == "process":
            process = Process(name, args, {})
            self._stack.push_async_callback(_let_go, process)
            await process.ready()
            return process
        invocation = self._launcher.parse(name, args)
        provided: dict[type[Any], Any] = {} if self.local is None else {LocalServer: self.local}
        return Beside(
            await self._stack.enter_async_context(
                running(invocation.server, options=invocation.options, provided=provided)
            )
        )

    async def kubectl(self, *args: str, stdin: str = "", namespace: str = "default") -> str:
        """What kubectl prints, as the administrator; a failure fails the test."""
        status, output, complaint = await self.try_kubectl(*args, stdin=stdin, namespace=namespace)
        assert status == 0, f"kubectl {' '.join(args)}: {complaint}"
        return output

    async def try_kubectl(self, *args: str, stdin: str = "", namespace: str = "default") -> tuple[int, str, str]:
        """Exit status, output and complaints."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        with tempfile.TemporaryFile() as given:  # a pipe that kubectl reads nothing from would break
            given.write(stdin.encode())
            given.seek(0)
            process = await asyncio.create_subprocess_exec(
                str(self._kubectl()),
                f"--kubeconfig={self.kubeconfig}",
                f"--namespace={namespace}",
                *args,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
            )
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                output, complaint = await process.communicate()
        except BaseException:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return process.returncode, output.decode(), complaint.decode()


async def _let_go(process: Process) -> None:
    """Stop it in good order if it still runs: what a server leaves behind after that is a fault of its own."""
    try:
        await process.stop()
    finally:
        process.close()


@asynccontextmanager
async def open_cluster(mode: Mode, folder: Path, kubectl: Callable[[], Path], *flags: str) -> AsyncIterator[Cluster]:
    """An API server with `flags`, and nothing beside it yet; all that is started ends with the block, last first."""
    async with AsyncExitStack() as stack:
        cluster = Cluster(mode, folder, stack, kubectl)
        await cluster.open(*flags)
        yield cluster


async def eventually(condition: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> Any:
    """What `condition`, a function or coroutine function, returns once it is true. It is asked every 20 ms.

    For what another process does, of which nothing tells here. An assertion that fails counts as not true yet.
    """
    found: Any = None
    complaint: AssertionError | None = None
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        try:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            complaint = None
        except AssertionError as exc:
            found, complaint = None, exc
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"it did not come to pass within {seconds:g} s; last seen: {found!r}") from complaint
