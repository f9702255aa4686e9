"""Commands in containers over WebSockets: one message is one piece of one of five channels, named by its first byte.

    0 input   1 output   2 errors   3 how it ended, a Status   4 the terminal's size   255 (v5): that channel is closed

Source: k8s.io/kubelet/pkg/cri/streaming/remotecommand, k8s.io/apimachinery/pkg/util/remotecommand.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from hyperkube_kubelet.runtime.errors import ExecFailed, RuntimeFailure
from hyperkube_kubelet.runtime.interface import Session
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import failure
from hyperkube_machinery.serving.websocket import WebSocket

__all__ = ["PROTOCOLS", "Streams", "StreamsError", "talk"]

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io")

_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHANNELS = {"stdout": _STDOUT, "stderr": _STDERR}


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


async def talk(
    socket: WebSocket, session: Callable[[], AbstractAsyncContextManager[Session]], streams: Streams
) -> None:
    """Pass the streams of the process that `session` starts to and fro, and say in the end how it ended."""
    first = _STDOUT if streams.stdout else _STDERR if streams.stderr else _ERROR
    await socket.send(bytes((first,)))  # tells the client that the connection stands
    try:
        async with session() as process:
            status = await _pass_on(socket, process, streams)
    except RuntimeFailure as exc:
        status = _refused(exc)
        if isinstance(exc, ExecFailed) and (streams.stdout or streams.stderr):  # of an exit code kubectl tells no more
            errors = _STDERR if streams.stderr else _STDOUT
            await socket.send(bytes((errors,)) + str(exc).encode() + (b"\r\n" if streams.tty else b"\n"))
    if socket.protocol != "channel.k8s.io":
        await socket.send(bytes((_ERROR,)) + encode(status))
    elif status["status"] != "Success":  # the first version had texts alone
        await socket.send(bytes((_ERROR,)) + status["message"].encode())


async def _pass_on(socket: WebSocket, process: Session, streams: Streams) -> dict[str, Any]:
    """How the process ended, as a Status."""

    async def write() -> None:
        async for stream, data in process.output():
            if getattr(streams, stream):
                await socket.send(bytes((_CHANNELS[stream],)) + data)

    async def read() -> None:
        async for message in socket:
            if message:
                await _take(message, process, streams)
        if streams.stdin:
            await process.close_input()

    reading = asyncio.ensure_future(read())
    try:
        await _first_failure(write(), reading)
        return _ended(await process.wait())
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


async def _take(message: bytes, process: Session, streams: Streams) -> None:
    channel, data = message[0], message[1:]
    if channel == _STDIN and streams.stdin:
        await process.write(data)
    elif channel == _RESIZE and streams.tty:
        try:
            size = json.loads(data)
            columns, rows = int(size["Width"]), int(size["Height"])
        except (ValueError, TypeError, KeyError):
            return  # no size: upstream's decoder stops listening to it
        await process.resize(columns, rows)
    elif channel == _CLOSE and data[:1] == bytes((_STDIN,)):
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


def _refused(exc: RuntimeFailure) -> dict[str, Any]:
    """A command that can't be started has the exit code that a shell would give it, as runtimes tell."""
    if isinstance(exc, ExecFailed):
        return {**_ended(exc.exit_code), "message": f"error executing command in container: {exc}"}
    return failure(500, "InternalError", f"error executing command in container: {exc}")
