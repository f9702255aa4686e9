"""The proxy is killed again and again, at random moments, while endpoints come and go."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import cast

import _podnet
import pytest
from _clusters import Cluster, Process, eventually
from _podnet import PodNet, pod_net

from .test_proxy_services import A, B, C, Proxied

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(_podnet.unavailable()), reason=f"no namespaces here: {_podnet.unavailable()}"),
]

ROUNDS = int(os.environ.get("HK_TEST_KILLS", "3"))
CONNECTIONS = 8


@pytest.fixture(params=["nftables", "userspace"])
async def proxied(request: pytest.FixtureRequest, processes: Cluster, tmp_path: Path) -> AsyncIterator[Proxied]:
    async with pod_net(tmp_path / "net") as net:
        proxied = Proxied(processes, net, cast(str, request.param), tmp_path)
        await proxied.start()
        yield proxied


async def echo(net: PodNet, address: str, port: int) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # the proxy that was between may have been killed
            while data := await reader.read(100):
                writer.write(data)
        writer.close()

    return await asyncio.start_server(serve, sock=await net.pods[address].listen(address, port))


class Talk:
    """A connection that is used all the time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.said = 0

    async def go_on(self) -> None:
        """Say something and hear it again, until cancelled. Raises OSError when the connection breaks."""
        reader, writer = await asyncio.open_connection(sock=self._sock)
        try:
            for number in count():
                text = f"{number:09}".encode()
                writer.write(text)
                assert await asyncio.wait_for(reader.readexactly(len(text)), 10) == text
                self.said += 1
                await asyncio.sleep(0.01)
        finally:
            writer.close()


@asynccontextmanager
async def changing(proxied: Proxied) -> AsyncIterator[None]:
    """Let the endpoints of the service be others all the time; B is always one of them."""

    async def change() -> None:
        for number in count():
            await proxied.lead("web", B, *((A,) if number % 2 else (C,)))
            await asyncio.sleep(0.05)

    task = asyncio.create_task(change())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_connections_survive_or_new_ones_are_soon_had(proxied: Proxied) -> None:
    net, chance, loop = proxied.net, random.Random(7), asyncio.get_running_loop()
    servers = [await echo(net, pod, 8080) for pod in (A, B, C)]
    address = await proxied.service("web", A, B, C)

    async def connected() -> socket.socket | None:
        try:
            return await net.pods[A].dial(address, 80)
        except OSError:
            return None

    waited: list[float] = []
    async with changing(proxied):
        talks = [Talk(await eventually(connected)) for _ in range(CONNECTIONS)]
        tasks = [asyncio.create_task(talk.go_on()) for talk in talks]
        for _ in range(ROUNDS):
            await asyncio.sleep(chance.uniform(0, 0.3))
            await cast(Process, proxied.proxy).kill()
            if proxied.mode == "nftables":
                sock = await connected()
                assert sock is not None, "the rules are still there"
                sock.close()
            await proxied.start()
            began = loop.time()
            (await eventually(connected)).close()
            waited.append(loop.time() - began)
        broken = [task for task in tasks if task.done()]
        if proxied.mode == "nftables":
            said = [talk.said for talk in talks]
            await asyncio.sleep(0.2)
            assert not [task for task in tasks if task.done()], "no connection breaks by the proxy's doing"
            assert all(talk.said > before for talk, before in zip(talks, said, strict=True))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert max(waited) < 1.0
    print(
        f"\n{proxied.mode}: {ROUNDS} kills, {len(broken)} of {CONNECTIONS} connections broken; new ones"
        f" {statistics.median(waited):.3f} s after the proxy was ready (at most {max(waited):.3f} s)"
    )
    for server in servers:
        server.close()
