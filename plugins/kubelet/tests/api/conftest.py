"""The kubelet's API on a real port, with a runtime that only pretends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from hyperkube_kubelet.api.handler import KubeletAPI
from hyperkube_kubelet.api.permissions import Asked
from hyperkube_kubelet.runtime.errors import ExecFailed, NotRunning
from hyperkube_kubelet.runtime.interface import Runtime, Stream
from hyperkube_kubelet.runtime.values import (
    Container,
    ContainerConfig,
    ContainerState,
    Sandbox,
    SandboxConfig,
    SandboxState,
)
from hyperkube_machinery.clock import Clock, SystemClock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.streaming.ports import PortConnection, connected
from hyperkube_machinery.testing.spdy import SPDYClient, spdy_client
from hyperkube_machinery.testing.wire import Wire

POD = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
    "spec": {"containers": [{"name": "c"}]},
    "status": {"containerStatuses": [{"name": "c", "containerID": "hk://1", "state": {"running": {}}}]},
}


class Echo:
    """A process that writes what it reads, and ends with the code that it is told."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command
        self.sizes: list[tuple[int, int]] = []
        self._out: asyncio.Queue[tuple[Stream, bytes] | None] = asyncio.Queue()
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._out.put_nowait(("stderr", b"begun"))

    async def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        while (piece := await self._out.get()) is not None:
            yield piece

    async def write(self, data: bytes) -> None:
        self._out.put_nowait(("stdout", data))

    async def close_input(self) -> None:
        self._out.put_nowait(None)
        if not self._code.done():
            self._code.set_result(int(self.command[0]))

    async def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))

    async def wait(self) -> int:
        return await self._code


class Pretending:
    """As much of a runtime as the API needs, and of the store of pods."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.started: list[Echo] = []
        self.left = 0
        self.paused = False
        self.ports: dict[int, int] = {80: 1}  # of pods, and where they are here; nobody listens on 1

    def pod_named(self, namespace: str, name: str) -> Any:
        return POD if (namespace, name) == ("ns", "p") else None

    def pods(self) -> Sequence[Any]:
        return [POD]

    async def container(self, container_id: str) -> Container:
        assert container_id == "1"
        return Container(
            id="1",
            sandbox_id="s",
            config=ContainerConfig(name="c", image="i"),
            image_id="",
            image_ref="",
            state=ContainerState.RUNNING,
            created_at=0.0,
            log_path=self.log,
        )

    async def containers(self) -> list[Container]:
        return [await self.container("1")]

    async def sandboxes(self) -> list[Sandbox]:
        config = SandboxConfig(name="p", namespace="ns", uid="u")
        return [Sandbox(id="s", config=config, state=SandboxState.READY, created_at=0.0)]

    @asynccontextmanager
    async def dial(self, sandbox_id: str, port: int) -> AsyncIterator[PortConnection]:
        assert sandbox_id == "s"
        connection = socket.socket()
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.ports[port]))
        except BaseException:
            connection.close()
            raise
        async with connected(connection) as made:
            yield made

    @asynccontextmanager
    async def exec(
        self, container_id: str, command: Sequence[str], *, tty: bool = False, stdin: bool = False
    ) -> AsyncIterator[Echo]:
        if not command[0].isdigit():
            raise ExecFailed(f"no such program: {command[0]}", 127)
        echo = Echo(command)
        self.started.append(echo)
        try:
            yield echo
        finally:
            self.left += 1

    @asynccontextmanager
    async def attach(self, container_id: str, *, tty: bool = False, stdin: bool = False) -> AsyncIterator[Echo]:
        if self.paused:
            raise NotRunning("container 1 is paused")
        async with self.exec(container_id, ["3"]) as echo:
            yield echo


class Running:
    def __init__(self, runtime: Pretending, port: int) -> None:
        self.runtime = runtime
        self.port = port

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        async with Wire.connect(self.port) as wire:
            yield wire

    @asynccontextmanager
    async def websocket(self, path: str, protocol: str) -> AsyncIterator[ClientConnection]:
        uri = f"ws://127.0.0.1:{self.port}{path}"
        async with connect(uri, subprotocols=[Subprotocol(protocol)], proxy=None) as client:
            yield client

    @asynccontextmanager
    async def spdy(self, path: str, *protocols: str) -> AsyncIterator[SPDYClient]:
        async with spdy_client(self.port, path, protocols) as client:
            yield client

    @asynccontextmanager
    async def exec(self, query: str, protocol: str = "v5.channel.k8s.io") -> AsyncIterator[ClientConnection]:
        async with self.websocket(f"/exec/ns/p/c?{query}", protocol) as client:
            yield client


@asynccontextmanager
async def kubelet_running(folder: Path, clock: Clock, *, idle_seconds: float = 0.0) -> AsyncIterator[Running]:
    async def check(request: Request, what: Asked) -> None:
        if "who" in request.headers:
            raise APIError.of(403, "Forbidden", f"Forbidden (user=who, verb={what.verb}, resource=nodes)")

    runtime = Pretending(folder / "log")

    async def healthy(request: Request) -> Response | None:
        return Response(200, b"ok", "text/plain") if request.path == "/healthz" else None

    api = KubeletAPI(runtime, cast(Runtime, runtime), clock, check=check, other=healthy, idle_seconds=idle_seconds)
    server = HTTPServer(api)
    await server.start("127.0.0.1", 0)
    try:
        yield Running(runtime, server.port)
    finally:
        await api.close()
        await server.close()


@pytest.fixture
def running() -> Any:
    """`running(folder, clock, idle_seconds=…)`: a kubelet for the length of a block."""
    return kubelet_running


@pytest.fixture
async def kubelet(tmp_path: Path) -> AsyncIterator[Running]:
    async with kubelet_running(tmp_path, SystemClock()) as running:
        yield running
