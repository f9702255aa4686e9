"""Bodies that are written piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

__all__ = ["LAST_CHUNK", "PIECE_BYTES", "Stream", "chunk", "pieces"]

LAST_CHUNK = b"0\r\n\r\n"

PIECE_BYTES = 64 * 1024
"""Bodies longer than this are written in pieces of about that size, so that they wait for their reader."""


def chunk(data: bytes) -> bytes:
    """`data`, which isn't empty, framed for `BodyWriter.send_framed`: once for however many clients."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Outlet(Protocol):
    """What a stream needs of its connection."""

    @property
    def gone(self) -> bool: ...

    def write(self, data: bytes) -> None: ...

    @property
    def buffered(self) -> int: ...

    async def wait_writable(self) -> None: ...

    async def wait_ending(self) -> None: ...


class Stream:
    """The BodyWriter of one answer; what is sent after its end is dropped."""

    __slots__ = ("_chunked", "_ended", "_outlet")

    def __init__(self, outlet: Outlet, *, chunked: bool) -> None:
        self._outlet = outlet
        self._chunked = chunked  # an HTTP/1.0 client reads until the connection closes
        self._ended = False

    def send(self, data: bytes) -> None:
        if data and not self.closed:  # an empty chunk would be the last
            self._outlet.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def send_framed(self, frame: bytes) -> None:
        if not self.closed:
            self._outlet.write(frame if self._chunked else frame[frame.index(b"\n") + 1 : -2])

    @property
    def buffered(self) -> int:
        return 0 if self._outlet.gone else self._outlet.buffered

    @property
    def closed(self) -> bool:
        return self._ended or self._outlet.gone

    async def drain(self) -> None:
        await self._outlet.wait_writable()

    async def wait_closed(self) -> None:
        await self._outlet.wait_ending()

    def end(self) -> None:
        """Write what ends the body; nothing is sent from here on."""
        if self._chunked and not self.closed:
            self._outlet.write(LAST_CHUNK)
        self._ended = True


def pieces(head: bytes, body: bytes | Sequence[bytes]) -> Iterator[bytes | memoryview]:
    """`head` and `body` in pieces that are neither small nor much larger than `PIECE_BYTES`."""
    parts = [head]
    size = len(head)
    for part in (body,) if isinstance(body, bytes) else body:
        if size + len(part) <= PIECE_BYTES:
            parts.append(part)
            size += len(part)
            continue
        yield b"".join(parts)
        parts, size = [part], len(part)
        if size > PIECE_BYTES:
            view = memoryview(part)
            yield from (view[at : at + PIECE_BYTES] for at in range(0, size, PIECE_BYTES))
            parts, size = [], 0
    if parts:
        yield b"".join(parts)
