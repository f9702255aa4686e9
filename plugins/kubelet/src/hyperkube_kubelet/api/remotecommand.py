"""Commands in containers, and containers' own streams, for clients of either protocol.

    a client's channels  ←─ output, how it ended ─  talk  ─→  the runtime's session
    WebSocketChannels, SPDYChannels  ─ input, sizes, the input's end ─→

Source: k8s.io/cri-streaming/pkg/streaming/remotecommand, k8s.io/apimachinery/pkg/util/remotecommand.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from hyperkube_kubelet.runtime.errors import ExecFailed, RuntimeFailure
from hyperkube_kubelet.runtime.interface import Session, Stream
from hyperkube_machinery.errors import failure

__all__ = ["Channels", "Input", "InputEnded", "Resized", "Streams", "StreamsError", "Typed", "size_of", "talk"]


class StreamsError(ValueError):
    """What is asked for makes no sense; the text is upstream's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Which streams a client wants."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    @classmethod
    def of(cls, query: Mapping[str, Sequence[str]]) -> Streams:
        """Raises StreamsError. Source: NewOptions."""
        wanted = {name: "1" in query.get(name, ()) for name in ("input", "output", "error", "tty")}
        stderr = wanted["error"] and not wanted["tty"]  # a terminal has one output
        if not (wanted["input"] or wanted["output"] or stderr):
            raise StreamsError("you must specify at least 1 of stdin, stdout, stderr")
        return cls(stdin=wanted["input"], stdout=wanted["output"], stderr=stderr, tty=wanted["tty"])


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
        return Resized(int(size["Width"]), int(size["Height"]))
    except (ValueError, TypeError, KeyError):
        return None


async def talk(
    channels: Channels,
    session: Callable[[], AbstractAsyncContextManager[Session]],
    streams: Streams,
    *,
    attached: bool = False,
) -> None:
    """Pass the streams of a process to and fro, and say in the end how it ended.

    `session` starts the process, or with `attached` takes part in one that is there: then its end is a success,
    whatever its exit code, which the pod's status tells.
    """
    try:
        async with session() as process:
            exit_code = await _pass_on(channels, process, streams)
            status = _ended(0 if attached else exit_code)
    except RuntimeFailure as exc:
        status = _refused(exc, "attaching to container" if attached else "executing command in container")
        if isinstance(exc, ExecFailed) and (streams.stdout or streams.stderr):  # of an exit code kubectl tells no more
            text = str(exc).encode() + (b"\r\n" if streams.tty else b"\n")
            await channels.send("stderr" if streams.stderr else "stdout", text)
    await channels.end(status)


async def _pass_on(channels: Channels, process: Session, streams: Streams) -> int:
    """The exit code."""

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


def _ended(exit_code: int) -> dict[str, Any]:
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


def _refused(exc: RuntimeFailure, what: str) -> dict[str, Any]:
    """A command that can't be started has the exit code that a shell would give it, as runtimes tell."""
    if isinstance(exc, ExecFailed):
        return {**_ended(exc.exit_code), "message": f"error {what}: {exc}"}
    return failure(500, "InternalError", f"error {what}: {exc}")
