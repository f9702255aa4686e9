"""The kubelet's API over real connections, with a runtime that only pretends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from hyperkube_kubelet.api.handler import KubeletAPI
from hyperkube_kubelet.api.permissions import Asked
from hyperkube_kubelet.runtime.errors import ExecFailed
from hyperkube_kubelet.runtime.interface import Runtime, Stream
from hyperkube_kubelet.runtime.values import (
    Container,
    ContainerConfig,
    ContainerState,
    Sandbox,
    SandboxConfig,
    SandboxState,
)
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.testing.wire import Wire

pytestmark = pytest.mark.anyio

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


class Running:
    def __init__(self, runtime: Pretending, port: int) -> None:
        self.runtime = runtime
        self.port = port

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        async with Wire.connect(self.port) as wire:
            yield wire

    @asynccontextmanager
    async def exec(self, query: str, protocol: str = "v5.channel.k8s.io") -> AsyncIterator[ClientConnection]:
        uri = f"ws://127.0.0.1:{self.port}/exec/ns/p/c?{query}"
        async with connect(uri, subprotocols=[Subprotocol(protocol)], proxy=None) as socket:
            yield socket


@pytest.fixture
async def kubelet(tmp_path: Path) -> AsyncIterator[Running]:
    async def check(request: Request, what: Asked) -> None:
        if "who" in request.headers:
            raise APIError.of(403, "Forbidden", f"Forbidden (user=who, verb={what.verb}, resource=nodes)")

    runtime = Pretending(tmp_path / "log")

    async def healthy(request: Request) -> Response | None:
        return Response(200, b"ok", "text/plain") if request.path == "/healthz" else None

    api = KubeletAPI(runtime, cast(Runtime, runtime), SystemClock(), check=check, other=healthy)
    server = HTTPServer(api)
    await server.start("127.0.0.1", 0)
    try:
        yield Running(runtime, server.port)
    finally:
        await api.close()
        await server.close()


async def test_who_may_not_gets_nothing(kubelet: Running) -> None:
    async with kubelet.wire() as wire:
        answer = await wire.ask("GET", "/pods", headers="who: x\r\n")
    assert (answer.status, answer.body) == (403, b"Forbidden (user=who, verb=get, resource=nodes)")


async def test_pods_are_told(kubelet: Running) -> None:
    async with kubelet.wire() as wire:
        for path in ("/pods", "/runningpods/"):
            answer = await wire.ask("GET", path)
            assert [pod["metadata"]["name"] for pod in json.loads(answer.body)["items"]] == ["p"]


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/containerLogs/ns/no/c", 404, 'pod "no" does not exist'),
        ("/containerLogs/ns/p/no", 404, 'container "no" not found in pod "p"'),
        ("/containerLogs/ns/p/c?previous=true", 400, 'previous terminated container "c" in pod "p" not found'),
        ("/exec/ns/p/c?command=0&output=1", 400, "this kubelet speaks WebSockets alone"),
        ("/portForward/ns/p", 501, "this kubelet does not forward ports"),
        ("/exec/ns/p/c?output=1", 400, "you must specify a command"),
        ("/exec/ns/p/c?command=0", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("/nothing", 404, "404 page not found"),
        ("/healthz", 200, "ok"),
    ],
)
async def test_answers(kubelet: Running, path: str, status: int, text: str) -> None:
    async with kubelet.wire() as wire:
        answer = await wire.ask("GET", path)
    assert answer.status == status
    assert answer.body.decode().startswith(text)


@pytest.mark.parametrize("path", ["/exec/ns/p/c?command=0&output=1", "/attach/ns/p/c?output=1", "/portForward/ns/p"])
async def test_what_streams_are_refused_with_is_shown_by_kubectl(kubelet: Running, path: str) -> None:
    """It reads what answers an upgrade as a Status in YAML, if it can, and shows its message: none."""
    async with kubelet.wire() as wire:
        answer = await wire.ask("POST", path, headers="Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n")
    assert answer.status >= 400
    assert b": " not in answer.body


async def test_a_log_is_answered(kubelet: Running) -> None:
    kubelet.runtime.log.write_bytes(b"2026-01-02T03:04:05.000000000Z stdout F hello\n")
    async with kubelet.wire() as wire:
        answer = await wire.ask("GET", "/containerLogs/ns/p/c?tailLines=1")
    assert (answer.status, answer.body) == (200, b"hello\n")


async def test_a_command_gets_its_input_and_gives_its_output_and_code(kubelet: Running) -> None:
    async with kubelet.exec("command=3&command=x&input=1&output=1&error=1") as socket:
        assert await socket.recv() == b"\x01", "it says that it is there"
        assert await socket.recv() == b"\x02begun"
        await socket.send(b"\x00hello")
        assert await socket.recv() == b"\x01hello"
        await socket.send(b"\xff\x00")
        message = await socket.recv()
        assert isinstance(message, bytes)
        status = json.loads(message[1:])
        assert message[0] == 3
        assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
        assert status["reason"] == "NonZeroExitCode"
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert kubelet.runtime.started[0].command == ["3", "x"]
    assert kubelet.runtime.left == 1


async def test_success_is_told(kubelet: Running) -> None:
    async with kubelet.exec("command=0&input=1&error=1", "v4.channel.k8s.io") as socket:
        await socket.send(b"\xff\x00")
        messages = [message async for message in socket]
    assert messages == [b"\x02", b"\x02begun", b'\x03{"metadata":{},"status":"Success"}']


async def test_a_terminal_is_resized(kubelet: Running) -> None:
    async with kubelet.exec("command=0&input=1&output=1&tty=1") as socket:
        await socket.send(b'\x04{"Width":80,"Height":25}')
        await socket.send(b"\x04nonsense")
        await socket.send(b"\xff\x00")
        messages = [message async for message in socket]
    assert messages[0] == b"\x01"
    assert messages[-1][0] == 3
    assert kubelet.runtime.started[0].sizes == [(80, 25)]


async def test_a_command_that_cant_be_started_is_told(kubelet: Running) -> None:
    async with kubelet.exec("command=nothing&output=1&error=1") as socket:
        messages = [message async for message in socket]
    assert messages[:2] == [b"\x01", b"\x02no such program: nothing\n"]
    status = json.loads(messages[-1][1:])
    assert "no such program: nothing" in status["message"]
    assert status["details"]["causes"][0]["message"] == "127"


async def test_where_there_is_a_terminal_it_is_told_there(kubelet: Running) -> None:
    async with kubelet.exec("command=nothing&output=1&input=1&tty=1") as socket:
        messages = [message async for message in socket]
    assert messages[:2] == [b"\x01", b"\x01no such program: nothing\r\n"]


async def test_a_client_that_goes_ends_its_command(kubelet: Running) -> None:
    async with kubelet.exec("command=0&input=1&output=1&error=1") as socket:
        await socket.recv()
        socket.transport.abort()
    async with asyncio.timeout(10):
        while not kubelet.runtime.left:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)


async def test_an_unknown_subprotocol_is_refused(kubelet: Running) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with kubelet.exec("command=0&output=1", "v9.channel.k8s.io"):
            pass
    assert refused.value.response.status_code == 400
