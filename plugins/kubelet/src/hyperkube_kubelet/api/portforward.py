"""Connections to ports of pods, passed on to clients: what all ways to speak to these have in common.

Each has the data's two directions, and one more for what went wrong.
Source: k8s.io/cri-streaming/pkg/streaming/portforward.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Any

from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.exchange import Peer, failure_text
from hyperkube_machinery.serving.bell import Bell
from hyperkube_machinery.streaming.errors import StreamingError
from hyperkube_machinery.streaming.ports import PortConnection

__all__ = ["Leg", "Target", "forward", "within"]

_AHEAD_BYTES = 256 << 10
"""What is kept for a connection that takes it more slowly; then the client waits with all of them."""
_LAST_WORDS_SECONDS = 1.0
"""How long a port that sends no more is still given what came for it before."""


@dataclass(frozen=True, slots=True)
class Target:
    """The pod whose ports they are."""

    name: str
    uid: str
    dial: Callable[[int], AbstractAsyncContextManager[PortConnection]]  # see Runtime.dial


class Leg(ABC):
    """The client's end of one connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._pieces: deque[bytes] = deque()
        self._ahead = 0
        self._ended = False
        self._changed = Bell()

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Pass on what the port sends."""

    @abstractmethod
    async def fail(self, text: str) -> None:
        """Say what went wrong."""

    @abstractmethod
    async def finish(self) -> None:
        """Say that the port sends no more."""

    @property
    def has_more(self) -> bool:
        return bool(self._pieces)

    async def put(self, data: bytes) -> None:
        """Take what the client sends, and return when there is room for more. Dropped where nobody takes it."""
        if self._ended:
            return
        self._pieces.append(data)
        self._ahead += len(data)
        self._changed.ring()
        while self._ahead > _AHEAD_BYTES and not self._ended:
            await self._changed.wait()

    async def take(self) -> bytes:
        """The next piece that the client sent, empty when there will be none."""
        while not self._pieces:
            if self._ended:
                return b""
            await self._changed.wait()
        piece = self._pieces.popleft()
        self._ahead -= len(piece)
        self._changed.ring()
        return piece

    def end(self) -> None:
        """The client sends no more, or nobody will take it."""
        self._ended = True
        self._changed.ring()


async def forward(leg: Leg, target: Target, clock: Clock) -> None:
    """Pass on between the client and the port until both or the port have nothing more to say."""
    try:
        async with target.dial(leg.port) as connection:
            await _pass_on(leg, connection, clock)
    except (OSError, RuntimeFailure, StreamingError) as exc:
        why = failure_text(Peer("127.0.0.1", leg.port), exc) if isinstance(exc, OSError) else str(exc)
        await leg.fail(f"error forwarding port {leg.port} to pod {target.name}, uid {target.uid}: {why}")


async def _pass_on(leg: Leg, connection: PortConnection, clock: Clock) -> None:
    inward = asyncio.ensure_future(_copy_in(leg, connection))
    try:
        with suppress(OSError):  # an end as any other
            while data := await connection.read():
                await leg.send(data)
        await leg.finish()
        if leg.has_more:
            leg.end()
            await within(inward, _LAST_WORDS_SECONDS, clock)
    finally:
        inward.cancel()
        await asyncio.gather(inward, return_exceptions=True)


async def _copy_in(leg: Leg, connection: PortConnection) -> None:
    with suppress(OSError):  # told by what it reads
        while data := await leg.take():
            await connection.write(data)
        await connection.finish()


async def within(task: asyncio.Future[Any], seconds: float, clock: Clock) -> bool:
    """Whether `task` ends in time."""
    waiting = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        return task.done()
    finally:
        waiting.cancel()
