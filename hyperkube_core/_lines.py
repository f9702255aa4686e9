"""The output of child processes, told apart by server, line by line."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Protocol, TextIO

from hyperkube_core._logging import LogSettings, painted, redacted

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 64 * 1024
"""Bytes after which a line is broken, lest a child that never ends one fills our memory."""


class Splitter:
    """Cuts a stream of bytes into lines, of `limit` bytes at most."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their line breaks."""
        self._rest += data
        if b"\n" not in data and len(self._rest) <= self._limit:
            return []
        *lines, rest = bytes(self._rest).split(b"\n")
        pieces = [piece for line in lines for piece in self._pieces(line)]
        *whole, rest = self._pieces(rest)
        self._rest = bytearray(rest)
        return pieces + whole

    def flush(self) -> list[bytes]:
        """What the stream ended with, if that was no line break."""
        rest, self._rest = bytes(self._rest), bytearray()
        return [rest] if rest else []

    def _pieces(self, line: bytes) -> list[bytes]:
        limit = self._limit
        return [line[at : at + limit] for at in range(0, len(line), limit)] or [b""]


class Lines(Protocol):
    """Takes what servers write."""

    def write(self, label: str, lines: list[bytes]) -> None:
        """Take whole lines, without their breaks, of the server `label`. Must not fail."""


class Relay:
    """Writes the lines of many servers to one stream: `apiserver | line`, each in one piece.

    JSON stays JSON: a line that is an object passes as it is, since it names its server, and any other becomes one.
    """

    def __init__(self, settings: LogSettings, stream: TextIO | None = None) -> None:
        settings = settings.resolved()
        self._json = settings.format == "json"
        self._color = settings.color == "always" and not self._json
        self._stream = stream
        self._width = 0

    def align(self, labels: list[str]) -> None:
        """Make room for the longest of the servers' names, so that their lines begin in one column."""
        self._width = max(self._width, *map(len, labels))

    def write(self, label: str, lines: list[bytes]) -> None:
        if not lines:
            return
        texts = [redacted(line.decode(errors="replace").rstrip("\r")) for line in lines]
        if self._json:
            written = [text if text.startswith("{") and text.endswith("}") else _as_json(label, text) for text in texts]
        else:
            padding = " " * (self._width - len(label))
            prefix = f"{painted(label) if self._color else label}{padding} | "
            written = [prefix + text for text in texts]
        stream = self._stream if self._stream is not None else sys.stderr
        try:
            stream.write("\n".join(written) + "\n")
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads any more; that is no reason to stop serving


def _as_json(label: str, text: str) -> str:
    import json
    import time

    entry = {"ts": round(time.time() * 1000, 3), "msg": text, "v": 0, "server": label}
    return json.dumps(entry, separators=(",", ":"))


class PipeReader(asyncio.Protocol):
    """Reads a pipe to its end, and hands on the lines."""

    def __init__(self, deliver: Callable[[list[bytes]], None]) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deliver = deliver
        self._splitter = Splitter()

    def data_received(self, data: bytes) -> None:
        self._deliver(self._splitter.feed(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._deliver(self._splitter.flush())
        if not self.ended.done():
            self.ended.set_result(None)


async def read_lines(
    descriptor: int, deliver: Callable[[list[bytes]], None]
) -> tuple[asyncio.ReadTransport, PipeReader]:
    """Read the pipe `descriptor`, which is closed with the transport, in the background."""
    pipe = os.fdopen(descriptor, "rb", 0)
    loop = asyncio.get_running_loop()
    transport, reader = await loop.connect_read_pipe(lambda: PipeReader(deliver), pipe)
    return transport, reader
