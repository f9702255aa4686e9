"""A client's ends of a process's streams, whichever protocol it speaks, and how they are passed on.

    a client's channels  ←─ output ─  pass_on  ─→  the session of a process
    WebSocketChannels, SPDYChannels  ─ input, sizes, the input's end ─→

Source: k8s.io/cri-streaming/pkg/streaming/remotecommand, k8s.io/apimachinery/pkg/util/remotecommand.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from hyperkube_machinery.streaming.sessions import Session, Stream, Streams

__all__ = ["Channels", "Input", "InputEnded", "Resized", "Typed", "ended", "pass_on", "size_of"]

_WIDEST = 0xFFFF
"""Terminals count columns and rows in 16 bits."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A piece of the input."""

    data: bytes


@dataclass(frozen=True, slots=True)
class InputEnded:
    """The client sends no more input."""


@dataclass(frozen=True, slots=True)
class Resized:
    """The client's terminal has another size."""

    columns: int
    rows: int


Input: TypeAlias = Typed | InputEnded | Resized


class Channels(Protocol):
    """A client's ends of a process's streams."""

    def input(self) -> AsyncIterator[Input]:
        """What the client sends, until it is gone."""

    async def send(self, stream: Stream, data: bytes) -> None:
        """Pass on what the process writes; only for streams that are wanted. Returns when there is room for more."""

    async def end(self, status: Mapping[str, Any]) -> None:
        """Say how it ended, a Status. Nothing is sent after that."""


def size_of(text: bytes) -> Resized | None:
    """A terminal's size as clients send it; None for what is none."""
    try:
        size = json.loads(text)
        columns, rows = int(size["Width"]), int(size["Height"])
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None
    return Resized(columns, rows) if 0 <= columns <= _WIDEST and 0 <= rows <= _WIDEST else None


def ended(exit_code: int) -> dict[str, Any]:
    """The Status of a process that has ended."""
    if exit_code == 0:
        return {"metadata": {}, "status": "Success"}
    text = f"command terminated with non-zero exit code: command terminated with exit code {exit_code}"
    causes = [{"reason": "ExitCode", "message": str(exit_code)}]
    return {
        "metadata": {},
        "status": "Failure",
        "message": text,
        "reason": "NonZeroExitCode",
        "details": {"causes": causes},
    }


async def pass_on(channels: Channels, process: Session, streams: Streams) -> int:
    """Let a client have the streams of a process that it wants, until that has ended; returns the exit code."""

    async def write() -> None:
        async for stream, data in process.output():
            if getattr(streams, stream):
                await channels.send(stream, data)

    async def read() -> None:
        async for piece in channels.input():
            await _take(piece, process, streams)
        if streams.stdin:
            await process.close_input()

    reading = asyncio.ensure_future(read())
    try:
        await _first_failure(write(), reading)
        return await process.wait()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _first_failure(work: Awaitable[None], beside: asyncio.Future[None]) -> None:
    """Wait for `work`; a failure of what goes on beside it ends that wait."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task, beside), return_when=asyncio.FIRST_COMPLETED)
        if beside.done() and beside.exception() is not None:
            await beside
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _take(piece: Input, process: Session, streams: Streams) -> None:
    match piece:
        case Typed(data):
            if streams.stdin:
                await process.write(data)
        case Resized(columns, rows):
            if streams.tty:
                await process.resize(columns, rows)
        case InputEnded():
            if streams.stdin:
                await process.close_input()
