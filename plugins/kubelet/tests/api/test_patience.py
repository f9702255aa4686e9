"""How long clients of SPDY are waited for, and what becomes of nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hyperkube_kubelet.api.portforward import Target
from hyperkube_kubelet.api.portspdy import forward_streams
from hyperkube_machinery.serving.spdy.connection import speaking
from hyperkube_machinery.serving.spdy.frames import FrameReader, GoAway
from hyperkube_machinery.streaming.channels import InputEnded, Resized, Typed
from hyperkube_machinery.streaming.sessions import Streams
from hyperkube_machinery.streaming.spdychannels import NoStreams, SPDYChannels
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.spdy import SPDYClient

pytestmark = pytest.mark.anyio


class End:
    """One end of a connection in memory."""

    def __init__(self) -> None:
        self.other: End
        self._came: asyncio.Queue[bytes] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self._came.get():
            yield data

    async def send(self, data: bytes) -> None:
        self.other._came.put_nowait(data)

    def close(self) -> None:
        self.other._came.put_nowait(b"")


@pytest.fixture
def ends() -> tuple[End, End]:
    left, right = End(), End()
    left.other, right.other = right, left
    return left, right


def nobody(port: int) -> Any:
    raise AssertionError(f"port {port} is dialled")


TARGET = Target("p", "u", nobody)


@pytest.mark.parametrize("kind", ["error", "data"])
async def test_a_request_without_its_other_stream_is_given_up(ends: tuple[End, End], kind: str) -> None:
    clock = VirtualClock()
    theirs, ours = ends
    serving = asyncio.ensure_future(forward_streams(ours, TARGET, clock))
    async with asyncio.timeout(30), speaking(theirs, client=True) as spdy:
        client = SPDYClient(spdy)
        stream_id = await client.open(streamtype=kind, port="80", requestid="7")
        await clock.advance(29)
        assert client.so_far(stream_id) == b""
        await clock.advance(2)
        told = b"(request=7) timed out waiting for streams" if kind == "error" else b""
        assert await client.text(stream_id) == told
    theirs.close()
    await serving


async def test_who_begins_not_all_streams_of_a_command_is_given_up(ends: tuple[End, End]) -> None:
    clock = VirtualClock()
    theirs, ours = ends
    async with asyncio.timeout(30), speaking(ours) as server, speaking(theirs, client=True) as spdy:
        channels = SPDYChannels(server, "v4.channel.k8s.io", clock)
        waiting = asyncio.ensure_future(channels.begin(Streams(stdout=True)))
        await SPDYClient(spdy).open(streamtype="error")
        await clock.advance(31)
        with pytest.raises(NoStreams):
            await waiting


async def test_input_that_comes_ahead_of_the_last_stream_is_kept(ends: tuple[End, End]) -> None:
    clock = VirtualClock()
    theirs, ours = ends
    async with asyncio.timeout(30), speaking(ours) as server, speaking(theirs, client=True) as spdy:
        for kind in ("error", "stdin", "resize"):
            stream_id = await spdy.open({"streamtype": kind})
            if kind == "stdin":
                await spdy.send(stream_id, b"early")
                await spdy.finish(stream_id)
        await spdy.send(stream_id, b'{"Width":1,"Height":2}\n')
        await spdy.open({"streamtype": "stdout"})
        channels = SPDYChannels(server, "v4.channel.k8s.io", clock)
        await channels.begin(Streams(stdin=True, stdout=True, tty=True))
        found = channels.input()
        assert [await anext(found) for _ in range(3)] == [Typed(b"early"), InputEnded(), Resized(1, 2)]


async def test_nonsense_is_answered_with_goodbye(ends: tuple[End, End]) -> None:
    theirs, ours = ends
    await theirs.send(b"\xff" * 100)
    async with asyncio.timeout(30):
        await forward_streams(ours, TARGET, VirtualClock())
    assert list(FrameReader().feed(await anext(aiter(theirs)))) == [GoAway(0, 1)]
