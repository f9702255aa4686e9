"""Whatever comes on a WebSocket is understood or ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.serving.websocket import WebSocket
from hyperkube_machinery.streaming.channels import size_of
from hyperkube_machinery.streaming.websocketchannels import PROTOCOLS, WebSocketChannels


class Wire:
    """A connection that only notes whether it is still one."""

    def __init__(self) -> None:
        self.closed = False

    def write(self, data: bytes) -> None:
        assert data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


MESSAGES = st.builds(
    lambda opcode, data, fin: Frame(opcode, data, fin).serialize(mask=True),
    st.sampled_from([Opcode.BINARY, Opcode.TEXT, Opcode.CONT]),
    st.one_of(st.binary(max_size=40), st.sampled_from([b"\xff\0", b"\xff", b"\4{}", b"4e30=", b"\4[1"])),
    st.booleans(),
)


@settings(deadline=None)
@given(st.sampled_from(PROTOCOLS), st.lists(st.one_of(st.binary(max_size=60), MESSAGES), max_size=6))
def test_whatever_comes_is_understood_or_ends_it(protocol: str, pieces: list[bytes]) -> None:
    async def run() -> None:
        async def talk(socket: WebSocket) -> None:
            async for _ in WebSocketChannels(socket).input():
                pass

        def start(work: Awaitable[None]) -> asyncio.Task[None]:
            return asyncio.ensure_future(work)

        wire: Any = Wire()
        socket = WebSocket(protocol, talk, start, SystemClock())
        socket.connection_made(wire)
        for piece in pieces:
            if not wire.closed:
                socket.data_received(piece)
                await asyncio.sleep(0)
        socket.connection_lost(None)
        assert socket._task is not None
        await asyncio.gather(socket._task, return_exceptions=True)
        assert socket._task.cancelled() or socket._task.exception() is None

    asyncio.run(run())


@given(st.one_of(st.binary(max_size=60), st.just(b"[" * 100_000), st.just(b'{"Width":1e999,"Height":1}')))
def test_sizes_are_read_or_passed_over(text: bytes) -> None:
    found = size_of(text)
    assert found is None or 0 <= found.columns <= 0xFFFF
