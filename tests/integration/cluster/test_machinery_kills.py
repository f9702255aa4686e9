"""An API server that is killed again and again: informers end up with what it has, and miss no last state."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
from _clusters import Process, eventually

from hyperkube_machinery import kubeconfig
from hyperkube_machinery.builtin import CONFIG_MAPS
from hyperkube_machinery.client import Client, ClientError, connect
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.informers import Informer, key_of

pytestmark = pytest.mark.anyio

ROUNDS = 10
NAMES = 30
CLOCK = SystemClock()


async def started(stack: AsyncExitStack, data: Path, port: int) -> Process:
    process = Process("apiserver", (f"--data-dir={data}", f"--secure-port={port}"), {})
    stack.callback(process.close)
    await process.ready()
    return process


async def write(client: Client, random: Random, seen: list[int]) -> None:
    """Make, change and delete objects until cancelled, whatever becomes of it."""
    while True:
        name = f"c{random.randrange(NAMES)}"
        about = {"name": name, "namespace": "default"}
        try:
            match random.randrange(3):
                case 0:
                    await client.create(CONFIG_MAPS, {"metadata": about, "data": {"n": "0"}})
                case 1:
                    await client.patch(CONFIG_MAPS, name, {"data": {"n": str(random.random())}}, "default")
                case _:
                    await client.delete(CONFIG_MAPS, name, "default")
            seen.append(1)
        except (APIError, ClientError):
            await asyncio.sleep(0.005)  # the server is away, or another was quicker


async def test_what_informers_show_is_what_the_server_has_after_it_was_killed(tmp_path: Path) -> None:
    random, data = Random(11), tmp_path / "data"
    async with AsyncExitStack() as stack:
        server = await started(stack, data, 0)
        access = kubeconfig.read(data / "admin.kubeconfig")
        port = urlsplit(access.server).port or 0
        client = await stack.enter_async_context(connect(access, clock=CLOCK, user_agent="test"))
        informer = Informer(client, CLOCK, CONFIG_MAPS, namespace="default")
        mirror: dict[str, Any] = {}  # by what the handlers were told
        wrong: list[str] = []  # who is told of a change was told of what it changes

        def note(old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
            key = key_of(new or old or {})
            if (old is None) is (key in mirror):
                wrong.append(f"{key}: told of {old} after {mirror.get(key)}")
            if new is None:
                mirror.pop(key, None)
            else:
                mirror[key] = new

        informer.on_change(note)
        await stack.enter_async_context(informer.running())
        written: list[int] = []
        writers = [asyncio.create_task(write(client, random, written)) for _ in range(4)]
        try:
            for _ in range(ROUNDS):
                before = len(written)
                await eventually(lambda before=before: len(written) > before + 20)  # type: ignore[misc]
                await asyncio.sleep(random.random() / 20)
                await server.kill()
                server = await started(stack, data, port)
        finally:
            for writer in writers:
                writer.cancel()
            await asyncio.wait(writers)

        async def alike() -> bool:
            listing = await client.list(CONFIG_MAPS, "default")
            there = {key_of(obj): obj["metadata"]["resourceVersion"] for obj in listing.items}
            shown = {key_of(obj): obj["metadata"]["resourceVersion"] for obj in informer.list()}
            told = {key: obj["metadata"]["resourceVersion"] for key, obj in mirror.items()}
            assert there == shown == told
            return True

        await eventually(alike)
        assert wrong == []
        assert await server.stop() == 0
