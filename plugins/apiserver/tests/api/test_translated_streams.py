"""Streams for clients of WebSockets, from kubelets that speak SPDY alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.errors import failure
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.messages import Answer, Request, Response
from hyperkube_machinery.serving.spdy.connection import accept, speaking
from hyperkube_machinery.serving.spdy.session import Arrived, Opened
from hyperkube_machinery.serving.upgraded import ByteStream
from hyperkube_machinery.streaming.channels import InputEnded, Resized, Typed, ended
from hyperkube_machinery.streaming.sessions import Streams
from hyperkube_machinery.streaming.spdychannels import PROTOCOLS, SPDYChannels
from hyperkube_machinery.testing.spdy import tunnelled_spdy_client
from hyperkube_machinery.tls import create_ca, issue_serving_certificate, save, server_context

pytestmark = pytest.mark.anyio

PODS = "/api/v1/namespaces/default/pods"
EXEC = f"{PODS}/p/exec?command=sh&stdin=1&stdout=1&stderr=1"
PORTS = f"{PODS}/p/portforward"
V5, TUNNEL = "v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"
NOW = 1_800_000_000.0


class Kubelet:
    """Speaks SPDY, and nothing else."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.refusal: Response | None = None
        self.sizes: list[Resized] = []
        self.status: dict[str, Any] = ended(3)
        self.tasks: list[asyncio.Task[None]] = []
        self.port = 0

    def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        if self.refusal is not None:
            return self.refusal
        is_command = "/exec/" in request.path
        protocols = PROTOCOLS if is_command else ("portforward.k8s.io",)
        talk = self.command if is_command else self.ports
        return accept(request, protocols, talk, start=self.start, clock=SystemClock())

    def start(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self.tasks.append(task)
        return task

    async def command(self, stream: ByteStream, protocol: str) -> None:
        """Sends back what it gets in capitals, until the input ends."""
        query = self.asked[-1].query
        async with speaking(stream) as spdy:
            channels = SPDYChannels(spdy, protocol, SystemClock())
            tty = "tty=1" in query
            await channels.begin(Streams(stdin=True, stdout=True, stderr=not tty, tty=tty))
            async for piece in channels.input():
                match piece:
                    case Typed(data):
                        await channels.send("stdout", data.upper())
                    case Resized():
                        self.sizes.append(piece)
                    case InputEnded():
                        break
            await channels.end(self.status)

    async def ports(self, stream: ByteStream, protocol: str) -> None:
        async with speaking(stream) as spdy:
            async for event in spdy.events():
                match event:
                    case Opened(stream_id):
                        await spdy.reply(stream_id)
                    case Arrived(stream_id, data):
                        await spdy.send(stream_id, data.upper())
                        await spdy.finish(stream_id)


@pytest.fixture
async def kubelet(api: Any, tmp_path: Path) -> AsyncIterator[Kubelet]:
    """The kubelet of the node that pod p is on, which declares nothing."""
    ca = create_ca("test", now=NOW)
    files = tmp_path / "k.crt", tmp_path / "k.key"
    save(issue_serving_certificate(ca, "kubelet", ["127.0.0.1"], now=NOW), *files)
    found = Kubelet()
    server = HTTPServer(found.answer, clock=SystemClock(), ssl_context=server_context(*files))
    async with server.listening() as listening:
        found.port = listening.port
        await api.create("/api/v1/nodes", {"metadata": {"name": "n"}})
        await status(api, found.port)
        spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
        await api.create(PODS, {"metadata": {"name": "p"}, "spec": spec})
        yield found
    await asyncio.gather(*found.tasks, return_exceptions=True)


async def status(api: Any, port: int, *features: str) -> None:
    told = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "declaredFeatures": list(features),
    }
    content = "application/merge-patch+json"
    reply = await api.call("PATCH", "/api/v1/nodes/n/status", {"status": told}, content_type=content)
    assert reply.status == 200, reply.body


@pytest.fixture
async def served(api: Any) -> AsyncIterator[int]:
    """A port at which the API server answers as whoever the tests are."""

    async def handler(request: Request) -> Any:
        return await api.answer_to(request)

    async with HTTPServer(handler, clock=SystemClock()).listening() as server:
        yield server.port


@asynccontextmanager
async def websocket(port: int, path: str, *protocols: str) -> AsyncIterator[ClientConnection]:
    # The library takes the tunnel's name for none, which has a slash in it.
    known = [Subprotocol(name) for name in protocols if "/" not in name]
    others = [("Sec-WebSocket-Protocol", name) for name in protocols if "/" in name]
    uri = f"ws://127.0.0.1:{port}{path}"
    async with (
        asyncio.timeout(30),
        connect(uri, subprotocols=known or None, additional_headers=others, proxy=None) as client,
    ):
        yield client


async def rest(client: ClientConnection) -> dict[int, bytes]:
    """What comes on each channel until the end."""
    found: dict[int, bytes] = {}
    async for message in client:
        assert isinstance(message, bytes)
        found[message[0]] = found.get(message[0], b"") + message[1:]
    return found


async def test_a_command_is_translated(kubelet: Kubelet, served: int) -> None:
    async with websocket(served, EXEC, V5, "v4.channel.k8s.io") as client:
        assert client.subprotocol == V5
        await client.send(b"\0hello")
        await client.send(b"\xff\0")
        came = await rest(client)
    assert came[1] == b"HELLO"
    told = json.loads(came[3])
    assert (told["reason"], told["details"]["causes"][0]["message"]) == ("NonZeroExitCode", "3")
    (request,) = kubelet.asked
    assert (request.method, request.headers["upgrade"]) == ("POST", "SPDY/3.1")
    assert request.query == "command=sh&error=1&input=1&output=1"


async def test_a_terminal_is_translated(kubelet: Kubelet, served: int) -> None:
    async with websocket(served, f"{PODS}/p/exec?command=sh&stdin=1&stdout=1&tty=1", V5) as client:
        await client.send(b'\x04{"Width":80,"Height":25}')
        await client.send(b"\0x")
        assert await client.recv() == b"\1"
        assert await client.recv() == b"\1X"
        await client.send(b"\xff\0")
        await rest(client)
    assert kubelet.sizes == [Resized(80, 25)]


async def test_what_fails_is_told_as_the_kubelet_told_it(kubelet: Kubelet, served: int) -> None:
    kubelet.status = failure(500, "InternalError", "Internal error occurred: no such program")
    async with websocket(served, EXEC, V5) as client:
        await client.send(b"\xff\0")
        assert json.loads((await rest(client))[3]) == kubelet.status


async def test_a_kubelet_that_refuses_is_quoted(kubelet: Kubelet, served: int) -> None:
    kubelet.refusal = Response(404, b"container not found", "text/plain")
    async with websocket(served, EXEC, V5) as client:
        told = json.loads((await rest(client))[3])
    text = "Internal error occurred: unable to upgrade connection: container not found"
    assert (told["code"], told["message"]) == (500, text)
    with pytest.raises(InvalidStatus) as caught:
        async with websocket(served, PORTS, TUNNEL):
            pass
    assert (caught.value.response.status_code, caught.value.response.body) == (404, b"container not found")


async def test_ports_are_unwrapped(kubelet: Kubelet, served: int) -> None:
    async with asyncio.timeout(30), tunnelled_spdy_client(served, PORTS, TUNNEL) as client:
        assert f"\r\nSec-WebSocket-Protocol: {TUNNEL}\r\n" in client.head
        stream = await client.open(streamtype="data", port="80", requestid="0")
        await client.spdy.send(stream, b"hello")
        assert await client.text(stream) == b"HELLO"
    (request,) = kubelet.asked
    assert request.headers["x-stream-protocol-version"] == "portforward.k8s.io"
    assert not [name for name in request.headers if name.startswith("sec-websocket")]


async def test_a_kubelet_that_understands_gets_what_the_client_says(kubelet: Kubelet, served: int, api: Any) -> None:
    await status(api, kubelet.port, "ExtendWebSocketsToKubelet")
    for path, protocol in ((EXEC, V5), (PORTS, TUNNEL)):
        with pytest.raises(InvalidStatus):  # this one only says that it does
            async with websocket(served, path, protocol):
                pass
        assert kubelet.asked[-1].headers["sec-websocket-protocol"] == protocol


async def test_older_protocols_are_passed_on(kubelet: Kubelet, served: int) -> None:
    with pytest.raises(InvalidStatus):
        async with websocket(served, EXEC, "v4.channel.k8s.io"):
            pass
    assert kubelet.asked[-1].headers["sec-websocket-protocol"] == "v4.channel.k8s.io"


async def test_the_kubelet_is_told_that_the_client_is_gone(kubelet: Kubelet, served: int) -> None:
    async with websocket(served, EXEC, V5) as client:
        await client.send(b"\0x")
        await client.recv()
        await client.recv()
    async with asyncio.timeout(10):
        await asyncio.gather(*kubelet.tasks, return_exceptions=True)
