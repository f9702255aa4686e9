"""The streams of a process that another server has: a kubelet's, for API servers; a container runtime's, for kubelets.

Source: k8s.io/client-go/tools/remotecommand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import orjson

from hyperkube_machinery.exchange import Peer
from hyperkube_machinery.serving.spdy.connection import SPDY
from hyperkube_machinery.serving.spdy.session import Arrived, Broken, Ended
from hyperkube_machinery.streaming.errors import RemoteFailure
from hyperkube_machinery.streaming.sessions import Stream, Streams
from hyperkube_machinery.streaming.spdychannels import PROTOCOLS, SIZES, STATUSES
from hyperkube_machinery.streaming.upgrades import speaking_spdy_with

__all__ = ["RemoteProcess", "exit_code_of", "remote_command"]

_MOST_SAID = 1 << 20


@asynccontextmanager
async def remote_command(peer: Peer, target: str, streams: Streams) -> AsyncIterator[RemoteProcess]:
    """The process that `target` (path and query) of a server is about, for the length of the block.

    Raises UpgradeRefused, ExchangeError.
    """
    async with speaking_spdy_with(peer, target, PROTOCOLS) as (spdy, protocol):
        process = RemoteProcess(spdy, protocol or PROTOCOLS[-1])
        await process.begin(streams)
        yield process


class RemoteProcess:
    """Fits `Session`."""

    def __init__(self, spdy: SPDY, protocol: str) -> None:
        self._spdy = spdy
        self._protocol = protocol
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._unfinished: set[str] = set()  # streams on which more may come
        self._said = b""
        self._said_all = False
        self._events = spdy.events()

    async def begin(self, streams: Streams) -> None:
        """Begin the streams; comes first."""
        wanted = [name for name in ("stdin", "stdout", "stderr") if getattr(streams, name)]
        if streams.tty and self._protocol in SIZES:
            wanted.append("resize")
        for name in ("error", *wanted):
            self._ids[name] = stream_id = await self._spdy.open({"streamtype": name})
            self._names[stream_id] = name
        self._unfinished = {"error", *wanted} - {"stdin", "resize"}

    async def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        while self._unfinished:
            event = await anext(self._events, None)
            match event:
                case None:
                    self._unfinished.clear()
                case Arrived(stream_id, data):
                    name = self._names.get(stream_id)
                    if name == "error":
                        self._hear(data)
                    elif name in ("stdout", "stderr"):
                        yield cast("Stream", name), data
                case Ended(stream_id) | Broken(stream_id):
                    name = self._names.get(stream_id, "")
                    self._unfinished.discard(name)
                    if name == "error" and isinstance(event, Ended):
                        self._said_all = True

    def _hear(self, data: bytes) -> None:
        self._said += data
        if len(self._said) > _MOST_SAID:
            raise RemoteFailure(f"the server says more than {_MOST_SAID} bytes about how the command ended")

    async def write(self, data: bytes) -> None:
        if "stdin" in self._ids:
            await self._spdy.send(self._ids["stdin"], data)

    async def close_input(self) -> None:
        if "stdin" in self._ids:
            await self._spdy.finish(self._ids["stdin"])

    async def resize(self, columns: int, rows: int) -> None:
        if "resize" in self._ids:
            await self._spdy.send(self._ids["resize"], b'{"Width":%d,"Height":%d}\n' % (columns, rows))

    async def wait(self) -> int:
        """The exit code. Raises RemoteFailure where the process has none."""
        async for _ in self.output():
            pass
        if self._protocol == STATUSES:
            if self._said:
                return exit_code_of(self._said)
        elif self._said:
            text = self._said.decode("utf-8", "replace")
            raise RemoteFailure(f"error executing remote command: {text}")
        if not self._said_all:
            raise RemoteFailure("the connection was lost before it was told how the command ended")
        return 0


def exit_code_of(text: bytes) -> int:
    """Of what is said of a process's end. Raises RemoteFailure for any other end than an exit."""
    try:
        status: Mapping[str, Any] = orjson.loads(text)
        if status["status"] == "Success":
            return 0
        if status.get("reason") == "NonZeroExitCode":
            causes = (status.get("details") or {}).get("causes") or ()
            return next(int(cause["message"]) for cause in causes if cause.get("reason") == "ExitCode")
        message = str(status.get("message") or "the command failed, it was not told why")
    except (orjson.JSONDecodeError, AttributeError, KeyError, StopIteration, TypeError, ValueError) as exc:
        raise RemoteFailure(f"error stream protocol error: {exc!r} in {text[:200]!r}") from exc
    raise RemoteFailure(message, status)
