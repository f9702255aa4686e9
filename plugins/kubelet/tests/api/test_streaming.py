"""Commands over SPDY, and ports over all that clients speak."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.api.portchannels import PortsError, ports
from hyperkube_machinery.serving.spdy.session import Arrived, Broken
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.spdy import SPDYClient, tunnelled_spdy_client

pytestmark = pytest.mark.anyio

EXEC = "/exec/ns/p/c"
PORTS = "/portForward/ns/p"
V4 = "v4.channel.k8s.io"


# Commands.


async def begun(client: SPDYClient, *kinds: str) -> dict[str, int]:
    return {kind: await client.open(streamtype=kind) for kind in kinds}


async def test_a_command_gets_its_input_and_gives_its_output_and_code(kubelet: Any) -> None:
    path = f"{EXEC}?command=3&input=1&output=1&error=1"
    async with kubelet.spdy(path, "v9.channel.k8s.io", V4, "channel.k8s.io") as client:
        assert f"\r\nX-Stream-Protocol-Version: {V4}\r\n" in client.head
        streams = await begun(client, "error", "stdin", "stdout", "stderr")
        await client.spdy.send(streams["stdin"], b"hello")
        await client.spdy.finish(streams["stdin"])
        assert await client.text(streams["stdout"]) == b"hello"
        assert await client.text(streams["stderr"]) == b"begun"
        status = json.loads(await client.text(streams["error"]))
        assert status["reason"] == "NonZeroExitCode"
        assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
        assert await client.goodbye()
    assert kubelet.runtime.left == 1


@pytest.mark.parametrize("protocol", ["v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"])
async def test_older_protocols_tell_failures_as_texts_and_success_not_at_all(kubelet: Any, protocol: str) -> None:
    for code, told in (("0", b""), ("3", b"command terminated with exit code 3")):
        async with kubelet.spdy(f"{EXEC}?command={code}&input=1&output=1", protocol) as client:
            streams = await begun(client, "error", "stdin", "stdout")
            await client.spdy.finish(streams["stdin"])
            assert told in await client.text(streams["error"])
            assert bool(client.so_far(streams["error"])) is bool(told)


async def test_a_terminal_is_resized_however_its_sizes_are_cut(kubelet: Any) -> None:
    async with kubelet.spdy(f"{EXEC}?command=0&input=1&output=1&tty=1", V4) as client:
        streams = await begun(client, "error", "stdin", "stdout", "resize")
        for piece in (b'{"Width":80,', b'"Height":25}\nnonsense\n{"Width":1,"Height":2}\n'):
            await client.spdy.send(streams["resize"], piece)
        await client.spdy.finish(streams["stdin"])
        await client.text(streams["error"])
    assert kubelet.runtime.started[0].sizes == [(80, 25), (1, 2)]


async def test_who_attaches_is_told_no_exit_code(kubelet: Any) -> None:
    async with kubelet.spdy("/attach/ns/p/c?input=1&output=1", V4) as client:
        streams = await begun(client, "error", "stdin", "stdout")
        await client.spdy.finish(streams["stdin"])
        assert json.loads(await client.text(streams["error"])) == {"metadata": {}, "status": "Success"}


async def test_who_can_not_be_attached_is_told(kubelet: Any) -> None:
    kubelet.runtime.paused = True
    async with kubelet.spdy("/attach/ns/p/c?input=1&output=1", V4) as client:
        streams = await begun(client, "error", "stdin", "stdout")
        status = json.loads(await client.text(streams["error"]))
    assert (status["code"], status["message"]) == (
        500,
        "Internal error occurred: error attaching to container: container 1 is paused",
    )


async def test_streams_that_are_not_wanted_are_refused(kubelet: Any) -> None:
    async with kubelet.spdy(f"{EXEC}?command=0&input=1&output=1", V4) as client:
        for kind in ("nonsense", "stderr", ""):
            stream_id = await client.open(streamtype=kind)
            assert client.seen[-1] == Broken(stream_id, 5)
        streams = await begun(client, "error", "stdin", "stdout")
        await client.open(streamtype="stdout")
        assert isinstance(client.seen[-1], Broken)
        await client.spdy.finish(streams["stdin"])
        assert json.loads(await client.text(streams["error"]))["status"] == "Success"


async def test_a_client_that_goes_ends_its_command(kubelet: Any) -> None:
    async with kubelet.spdy(f"{EXEC}?command=0&input=1&output=1", V4) as client:
        await begun(client, "error", "stdin", "stdout")
    async with asyncio.timeout(10):
        while not kubelet.runtime.left:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("headers", "status", "told"),
    [
        ("Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v9\r\n", 403, "client supports [v9], server accepts [v4."),
        ("Upgrade: SPDY/3.1\r\n", 400, "header X-Stream-Protocol-Version does not exist"),
        ("Upgrade: h2c\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n", 400, "missing upgrade headers"),
    ],
)
async def test_who_can_not_be_understood_is_told(kubelet: Any, headers: str, status: int, told: str) -> None:
    async with kubelet.wire() as wire:
        answer = await wire.ask("POST", f"{EXEC}?command=0&output=1", headers=f"Connection: Upgrade\r\n{headers}")
    assert answer.status == status
    assert told in answer.body.decode()
    if status == 403:
        assert "channel.k8s.io" in answer.headers["x-accepted-stream-protocol-versions"]


@pytest.mark.parametrize("protocol", ["v4.base64.channel.k8s.io", "base64.channel.k8s.io"])
async def test_clients_that_have_texts_alone_get_them(kubelet: Any, protocol: str) -> None:
    async with kubelet.exec("command=3&input=1&output=1&error=1", protocol) as client, asyncio.timeout(30):
        assert await client.recv() == "1"
        await client.send("0" + b64encode(b"hello").decode())
        await client.send("0!")
        await client.send("4" + b64encode(b'{"Width":1,"Height":2}').decode())
        found = {"1": b"", "2": b""}
        while found != {"1": b"hello", "2": b"begun"}:
            message = await client.recv()
            found[message[0]] += b64decode(message[1:])


async def test_an_idle_command_is_closed_and_told_why(running: Any, tmp_path: Path) -> None:
    clock = VirtualClock()
    async with running(tmp_path, clock, idle_seconds=40.0) as kubelet:
        async with kubelet.exec("command=3&input=1&output=1") as client, asyncio.timeout(30):
            assert await client.recv() == b"\1"
            for _ in range(3):  # pings do not count, what is typed does
                await clock.advance(30)
                await (await client.ping())
                await client.send(b"\0x")
                assert await client.recv() == b"\1x"
            for _ in range(6):
                await clock.advance(10)
            told = json.loads((await client.recv())[1:])
            assert (told["code"], told["reason"]) == (504, "Timeout")
            assert "idle for 40s" in told["message"]
        assert kubelet.runtime.left == 1


async def test_idle_ports_are_closed(running: Any, tmp_path: Path) -> None:
    clock = VirtualClock()
    async with running(tmp_path, clock, idle_seconds=40.0) as kubelet, direct(kubelet) as client:
        _, data = await asked(client, 80, "0")
        assert await client.text(data) == b""
        for _ in range(6):
            await clock.advance(10)
        assert await client.goodbye()


# Ports.


@pytest.mark.parametrize(
    ("texts", "found"),
    [(["80"], [80]), (["80,443", "65535"], [80, 443, 65535])],
)
def test_ports_are_read(texts: list[str], found: list[int]) -> None:
    assert ports({"port": texts}) == found


@pytest.mark.parametrize(
    "texts", [[], [""], ["0"], ["65536"], ["-1"], ["80,"], ["http"], ["²"], ["1" * 5000], ["1"] * 128]
)
def test_ports_that_are_none_are_refused(texts: list[str]) -> None:
    with pytest.raises(PortsError):
        ports({"port": texts})


class Server:
    """Listens on a port of a pod: sends back what it gets in capitals, and at the end of that the end."""

    def __init__(self) -> None:
        self.ended = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(64 << 10):
                if data == b"bye":
                    break
                writer.write(data.upper())
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.ended += 1
            writer.close()


@pytest.fixture
async def server(kubelet: Any) -> AsyncIterator[Server]:
    """On port 8080 of the pod; nobody listens on port 80."""
    found = Server()
    listening = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    kubelet.runtime.ports[8080] = listening.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        listening.close()
        await listening.wait_closed()


@asynccontextmanager
async def direct(kubelet: Any) -> AsyncIterator[SPDYClient]:
    async with kubelet.spdy(PORTS, "portforward.k8s.io") as client:
        yield client


@asynccontextmanager
async def tunnelled(kubelet: Any) -> AsyncIterator[SPDYClient]:
    async with tunnelled_spdy_client(kubelet.port, PORTS, "SPDY/3.1+portforward.k8s.io") as client:
        assert "\r\nSec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n" in client.head
        yield client


both = pytest.mark.parametrize("way", [direct, tunnelled])


async def asked(client: SPDYClient, port: int, request: str, *, errors_first: bool = True) -> tuple[int, int]:
    """The streams for errors and data of one request."""
    kinds = ("error", "data") if errors_first else ("data", "error")
    about = {"port": str(port), **({"requestid": request} if request else {})}
    streams = {kind: await client.open(streamtype=kind, **about) for kind in kinds}
    await client.spdy.finish(streams["error"])
    return streams["error"], streams["data"]


@both
@pytest.mark.parametrize("errors_first", [True, False])
async def test_connections_are_forwarded_beside_each_other(
    kubelet: Any, server: Server, way: Any, errors_first: bool
) -> None:
    async with way(kubelet) as client:
        first = await asked(client, 8080, "0", errors_first=errors_first)
        other = await asked(client, 8080, "1", errors_first=errors_first)
        for number, (_, data) in enumerate((first, other)):
            await client.spdy.send(data, b"hello %d" % number)
        for number, (errors, data) in enumerate((first, other)):
            await client.spdy.finish(data)
            assert await client.text(data) == b"HELLO %d" % number
            assert await client.text(errors) == b""


async def test_clients_that_number_no_requests_are_understood(kubelet: Any, server: Server) -> None:
    async with direct(kubelet) as client:
        errors, data = await asked(client, 8080, "")
        await client.spdy.send(data, b"hello")
        await client.spdy.finish(data)
        assert await client.text(data) == b"HELLO"
        assert await client.text(errors) == b""


async def test_a_server_that_ends_ends_the_streams(kubelet: Any, server: Server) -> None:
    async with direct(kubelet) as client:
        errors, data = await asked(client, 8080, "0")
        await client.spdy.send(data, b"bye")
        assert await client.text(data) == b""
        assert await client.text(errors) == b""


@both
async def test_a_port_on_which_nobody_listens_is_told(kubelet: Any, way: Any) -> None:
    async with way(kubelet) as client:
        errors, data = await asked(client, 80, "0")
        told = await client.text(errors)
        assert told == b"error forwarding port 80 to pod p, uid u: dial tcp 127.0.0.1:80: connect: connection refused"
        assert await client.text(data) == b""


async def test_much_is_forwarded_both_ways(kubelet: Any, server: Server) -> None:
    async with direct(kubelet) as client:
        _, data = await asked(client, 8080, "0")
        sent = bytes(range(97, 123)) * 100_000

        async def send() -> None:
            for at in range(0, len(sent), 100_000):
                await client.spdy.send(data, sent[at : at + 100_000])
            await client.spdy.finish(data)

        sending = asyncio.ensure_future(send())
        assert await client.text(data) == sent.upper()
        await sending


async def test_a_stream_that_the_client_breaks_off_ends_the_connection(kubelet: Any, server: Server) -> None:
    async with direct(kubelet) as client:
        errors, data = await asked(client, 8080, "0")
        await client.spdy.send(data, b"x")
        await client.until(lambda event: isinstance(event, Arrived))
        await client.spdy.reset(data)
        assert await client.text(errors) == b""
        async with asyncio.timeout(10):
            while not server.ended:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0)


@both
async def test_a_client_that_goes_ends_its_connections(kubelet: Any, server: Server, way: Any) -> None:
    async with way(kubelet) as client:
        for number in range(3):
            _, data = await asked(client, 8080, str(number))
            await client.spdy.send(data, b"x")
            await client.until(lambda event: isinstance(event, Arrived))
    async with asyncio.timeout(10):
        while server.ended < 3:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    "about",
    [
        {"streamtype": "data", "requestid": "0"},
        {"streamtype": "data", "requestid": "0", "port": "0"},
        {"streamtype": "data", "requestid": "0", "port": "65536"},
        {"streamtype": "other", "requestid": "0", "port": "8080"},
        {"requestid": "0", "port": "8080"},
    ],
)
async def test_streams_that_say_not_what_for_are_refused(kubelet: Any, about: dict[str, str]) -> None:
    async with direct(kubelet) as client:
        await client.open(**about)
        assert isinstance(client.seen[-1], Broken)


async def test_ports_are_forwarded_over_channels(kubelet: Any, server: Server) -> None:
    """One connection each, which begins at once; a port in the lower byte first comes ahead on both channels."""
    path = f"{PORTS}?port=8080,80&port=8080"
    async with kubelet.websocket(path, V4) as client, asyncio.timeout(30):
        first = [await client.recv() for _ in range(6)]
        assert first == [b"\0\x90\x1f", b"\1\x90\x1f", b"\2P\0", b"\3P\0", b"\4\x90\x1f", b"\5\x90\x1f"]
        told = await client.recv()
        assert told.startswith(b"\3error forwarding port 80 to pod p")
        for message, answer in ((b"\4there", b"\4THERE"), (b"\0here", b"\0HERE")):
            await client.send(message)
            assert await client.recv() == answer
        for message in (b"\x09nobody", b"", b"\0bye", b"\4bye"):
            await client.send(message)
        assert [message async for message in client] == []
    assert server.ended == 2


async def test_channels_need_ports(kubelet: Any) -> None:
    async with kubelet.wire() as wire:
        headers = (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {V4}\r\n"
        )
        answer = await wire.ask("GET", PORTS, headers=headers)
    assert (answer.status, answer.body) == (400, b'query parameter "port" is required')
