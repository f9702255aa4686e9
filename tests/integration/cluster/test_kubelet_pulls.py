"""Pulls that are broken off, and registries that hang."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import _images
import _tools
import pytest
from _clusters import eventually
from _registry import registry_running

from hyperkube_machinery.builtin import PODS, SERVICE_ACCOUNTS

pytestmark = pytest.mark.anyio

NODE = "node-1"


class Slow:
    """A registry behind a line that lets only so much through at first."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.partition(":")
        self._port = int(port)
        self.most = 100_000  # bytes of an answer, before it hangs
        self.asked: list[bytes] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(request)
            inner_reader, inner_writer = await asyncio.open_connection(self._host, self._port)
            inner_writer.write(request)
            sent = 0
            while piece := await inner_reader.read(1 << 14):
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
                if sent > self.most:
                    await reader.read()  # until the other side goes
                    break
            inner_writer.close()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def ranges(self) -> list[bytes]:
        return [line for request in self.asked for line in request.split(b"\r\n") if line.startswith(b"Range:")]


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[tuple[str, Slow]]:
    stays = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"]
    archive = _images.write_image(tmp_path / "app.tar", "app:1", busybox=_tools.busybox(), command=stays)
    with registry_running(tmp_path / "registry") as registry:
        registry.push(archive, "app:1")
        line = Slow(registry.address)
        async with await asyncio.start_server(line.accept, "127.0.0.1", 0) as server:
            yield "{}:{}".format(*server.sockets[0].getsockname()), line


async def test_a_kubelet_that_is_killed_goes_on_with_what_it_was_pulling(
    processes: Any, slow: tuple[str, Slow], tmp_path: Path
) -> None:
    address, line = slow
    account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
    await processes.client.create(SERVICE_ACCOUNTS, account, "default")
    flags = (f"--hostname-override={NODE}", f"--root-dir={tmp_path / 'kubelet'}", "--port=0", "--healthz-port=0")
    kubelet = await processes.start_process("kubelet", *flags, "--orphan-grace-period=10s")
    spec = {"containers": [{"name": "main", "image": f"{address}/app:1"}], "nodeName": NODE}
    pod = {"metadata": {"name": "web"}, "spec": {**spec, "terminationGracePeriodSeconds": 1}}
    await processes.client.create(PODS, pod, "default")
    downloads = tmp_path / "kubelet" / "images" / "downloads"

    async def has_begun() -> bool:
        parts = await asyncio.to_thread(lambda: [part.stat().st_size for part in downloads.glob("*.part")])
        return any(size > line.most // 2 for size in parts)

    await eventually(has_begun)
    await kubelet.end(signal.SIGKILL)
    line.most = 1 << 30
    await processes.start_process("kubelet", *flags, "--orphan-grace-period=10s")

    async def runs() -> bool:
        found = await processes.client.get(PODS, "web", "default")
        return bool((found.get("status") or {}).get("phase") == "Running")

    await eventually(runs)
    assert line.ranges()  # what was here is not fetched again
    assert not await asyncio.to_thread(lambda: list(downloads.iterdir()))
    await processes.client.delete(PODS, "web", "default")

    async def gone() -> bool:
        return not (await processes.client.list(PODS, "default")).items

    await eventually(gone)
