"""Single tries, against real servers on loopback."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from hyperkube_kubelet.probes.ports import port_number
from hyperkube_kubelet.probes.trying import Errored, Outcome, Trier
from hyperkube_kubelet.runtime.errors import ExecFailed, ExecTimeout, NotRunning, RuntimeFailure
from hyperkube_kubelet.runtime.values import ExecResult
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.podnetwork import HostNetwork

from ..builders import container

pytestmark = pytest.mark.anyio

HERE = "127.0.0.1"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Commands:
    """Of a runtime what probes need: its network, and commands that end as told."""

    def __init__(self, end: ExecResult | RuntimeFailure | None = None) -> None:
        self.network = HostNetwork()
        self.end = end
        self.commands: list[Any] = []

    async def exec_sync(self, container_id: str, command: Any, timeout_seconds: float = 0.0) -> ExecResult:
        self.commands.append(command)
        assert self.end is not None
        if isinstance(self.end, RuntimeFailure):
            raise self.end
        return self.end


async def tried(probe: dict[str, Any], runtime: Commands | None = None, **spec: Any) -> Outcome:
    trier = Trier(runtime or Commands(), SystemClock())  # type: ignore[arg-type]
    return await trier({"timeoutSeconds": 1, **probe}, container(**spec), "main-0", HERE)


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """A port that `serve` answers at."""
    connections: list[asyncio.Task[None]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.append(task)
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(connected, HERE, 0)
    try:
        async with server:
            yield server.sockets[0].getsockname()[1]
    finally:
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def answering(*answers: str) -> Serve:
    """An HTTP server that gives one answer after the other; an answer is its status and headers."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {left.pop(0)}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi".encode())
        writer.close()

    return serve


@pytest.mark.parametrize(
    ("answer", "result", "output"),
    [
        ("200 OK", "success", "hi"),
        ("399 Odd", "warning", "Probe terminated redirects, Response body: hi"),
        ("404 Not Found", "failure", "HTTP probe failed with statuscode: 404"),
        ("500 No", "failure", "HTTP probe failed with statuscode: 500"),
        ("302 Away\r\nLocation: http://elsewhere.invalid/", "warning", "Probe terminated redirects, Response body: hi"),
    ],
)
async def test_http_is_judged_by_its_status(answer: str, result: str, output: str) -> None:
    async with serving(answering(answer)) as port:
        assert await tried({"httpGet": {"port": port, "path": "/healthz"}}) == Outcome(result, output)  # type: ignore[arg-type]


async def test_redirects_on_the_same_host_are_followed() -> None:
    async with serving(answering("302 Here\r\nLocation: /other", "204 Fine")) as port:
        assert (await tried({"httpGet": {"port": port}})).result == "success"


async def test_a_request_says_who_asks() -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with serving(serve) as port:
        headers = [{"name": "Host", "value": "shop"}, {"name": "X-A", "value": "b"}]
        await tried(
            {"httpGet": {"port": "http", "path": "/a?b=c", "httpHeaders": headers}},
            ports=[{"name": "http", "containerPort": port}],
        )
    lines = heads[0].decode().split("\r\n")
    assert lines[0] == "GET /a?b=c HTTP/1.1"
    assert {"Host: shop", "X-A: b", "User-Agent: kube-probe/1.36", "Accept: */*"} <= set(lines)


async def test_nobody_at_the_port_is_a_failure_in_gos_words() -> None:
    async with serving(answering()) as port:
        pass
    for probe, begin in (
        ({"httpGet": {"port": port}}, f'Get "http://{HERE}:{port}/": '),
        ({"tcpSocket": {"port": port}}, ""),
    ):
        outcome = await tried(probe)
        assert outcome == Outcome("failure", f"{begin}dial tcp {HERE}:{port}: connect: connection refused")


async def test_a_port_that_accepts_is_enough_for_tcp() -> None:
    async with serving(answering()) as port:
        assert await tried({"tcpSocket": {"port": port}}) == Outcome("success")


async def test_silence_is_a_failure() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with serving(silent) as port:
        outcome = await tried({"httpGet": {"port": port}, "timeoutSeconds": 0.05})
    assert outcome.output.endswith("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (ExecResult(0, b"fine", b""), Outcome("success", "fine")),
        (ExecResult(3, b"a", b"b"), Outcome("failure", "ab")),
        (ExecTimeout(""), Outcome("failure", 'command timed out: "check 1" timed out after 1s')),
        (ExecFailed("no such program", 127), Outcome("failure", "no such program")),
    ],
)
async def test_commands_are_judged_by_their_end(end: Any, outcome: Outcome) -> None:
    runtime = Commands(end)
    command = {"command": ["check", "$(A)"]}
    assert await tried({"exec": command}, runtime, env=[{"name": "A", "value": "1"}]) == outcome
    assert runtime.commands == [["check", "1"]]


async def test_a_runtime_that_fails_says_nothing_of_the_container() -> None:
    with pytest.raises(Errored, match="rpc error: gone"):
        await tried({"exec": {"command": ["x"]}}, Commands(NotRunning("gone")))


@pytest.mark.parametrize(
    ("port", "found"), [(80, 80), ("http", 8080), ("81", 81), ("none", "invalid syntax"), (0, "invalid port number: 0")]
)
def test_ports_have_numbers_or_names(port: Any, found: Any) -> None:
    spec = container(ports=[{"name": "http", "containerPort": 8080}])
    if isinstance(found, int):
        assert port_number(port, spec) == found
        return
    with pytest.raises(ValueError, match=found):
        port_number(port, spec)


def health(message: bytes | None) -> Serve:
    """A gRPC server that reads one call and answers it with `message`."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(24) == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        seen: list[tuple[int, bytes]] = []
        while not seen or seen[-1][0] != 0:
            head = await reader.readexactly(9)
            seen.append((head[3], await reader.readexactly(int.from_bytes(head[:3], "big"))))
        assert b"/grpc.health.v1.Health/Check" in seen[1][1]
        assert seen[-1][1] == b"\x00\x00\x00\x00\x06\x0a\x04shop"
        writer.write(frame(4, 0, 0, b"") + frame(6, 0, 0, b"12345678") + frame(1, 4, 1, b"\x88"))
        if message is not None:
            writer.write(frame(0, 0, 1, struct.pack("!BI", 0, len(message)) + message))
        writer.write(frame(1, 5, 1, b"\x88"))
        await reader.read(1)
        writer.close()

    return serve


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        (b"\x08\x01", Outcome("success", 'service healthy (responded with "SERVING")')),
        (b"\x08\x02", Outcome("failure", 'service unhealthy (responded with "NOT_SERVING")')),
        (b"", Outcome("failure", 'service unhealthy (responded with "UNKNOWN")')),
        (None, Outcome("failure", "error: health rpc probe failed: the call was answered without a message")),
    ],
)
async def test_grpc_is_judged_by_what_it_says_of_itself(message: bytes | None, outcome: Outcome) -> None:
    async with serving(health(message)) as port:
        assert await tried({"grpc": {"port": port, "service": "shop"}}) == outcome


async def test_a_grpc_server_that_says_too_much_at_once_is_not_listened_to() -> None:
    async with serving(health(b"\x08\x01" + bytes(1 << 14))) as port:
        found = await tried({"grpc": {"port": port, "service": "shop"}})
    assert (found.result, "larger than was agreed" in found.output) == ("failure", True)


async def test_pods_in_the_nodes_network_are_asked_from_there() -> None:
    class Elsewhere(Commands):
        network = property(lambda _: pytest.fail("the pods' network was used"))

        def __init__(self) -> None: ...

    async with serving(answering()) as port:
        trier = Trier(Elsewhere(), SystemClock())  # type: ignore[arg-type]
        outcome = await trier({"tcpSocket": {"port": port}}, container(), "main-0", HERE, host_network=True)
    assert outcome == Outcome("success")
