"""One HTTP/1.1 request to another server, on a connection of its own, and its answer as it comes.

For what is passed on: nothing is retried, followed, decoded or kept open for the next request.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

__all__ = ["Exchange", "ExchangeError", "Peer", "exchange", "failure_text"]

_HEAD_BYTES = 64 << 10
_PIECE_BYTES = 64 << 10
_WITHOUT_BODY = (204, 304)

Headers = Sequence[tuple[str, str]]


class ExchangeError(Exception):
    """The other server could not be reached, or says what isn't HTTP. The text is in Go's words, which tools know."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to talk to."""

    host: str  # a name or an address, without brackets
    port: int
    tls: ssl.SSLContext | None = None  # None for plain HTTP
    server_name: str = ""  # whom its certificate must be for, where that is not `host`

    @property
    def scheme(self) -> str:
        return "http" if self.tls is None else "https"

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Reader(asyncio.StreamReader):
    """Knows whether all has come, also while some of it was not taken yet."""

    ended = False

    def feed_eof(self) -> None:
        self.ended = True
        super().feed_eof()


class Exchange:
    """The answer to a request. Whoever has it closes it."""

    def __init__(
        self, reader: Reader, writer: asyncio.StreamWriter, status: int, headers: Headers, *, empty: bool
    ) -> None:
        self.reader, self.writer = reader, writer  # the bytes behind a 101
        self.status = status
        self.headers = headers  # in order, as they were sent
        self._empty = empty

    def header(self, name: str) -> str:
        """The first value of a header, "" where there is none; `name` is in lower case."""
        return next((value for known, value in self.headers if known.lower() == name), "")

    @property
    def length(self) -> int | None:
        """How long the body is in bytes, None if that isn't told beforehand."""
        if self._empty:
            return 0
        if "chunked" in self.header("transfer-encoding").lower():
            return None
        text = self.header("content-length")
        return int(text) if text.isascii() and text.isdigit() else None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body. Raises ExchangeError if it breaks off."""
        try:
            if "chunked" in self.header("transfer-encoding").lower() and not self._empty:
                async for piece in self._chunks():
                    yield piece
                return
            left = self.length
            while left is None or left > 0:
                piece = await self.reader.read(_PIECE_BYTES if left is None else min(left, _PIECE_BYTES))
                if not piece:
                    if left is None:
                        return
                    raise ExchangeError("unexpected EOF")
                yield piece
                left = None if left is None else left - len(piece)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as exc:
            raise ExchangeError("unexpected EOF") from exc

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int((await self.reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            while size > 0:
                piece = await self.reader.read(min(size, _PIECE_BYTES))
                if not piece:
                    raise ExchangeError("unexpected EOF")
                yield piece
                size -= len(piece)
            await self.reader.readexactly(2)
        while await self.reader.readuntil(b"\r\n") != b"\r\n":  # trailers are dropped
            pass

    async def body(self, most: int) -> bytes:
        """The first `most` bytes of the body."""
        parts, size = [], 0
        async for piece in self.pieces():
            parts.append(piece)
            size += len(piece)
            if size >= most:
                break
        return b"".join(parts)[:most]

    async def hand_over(self, protocol: asyncio.Protocol) -> tuple[bytes, bool]:
        """Let `protocol` have the connection from here on; its `connection_made` is not called.

        Returns what came already, and whether that was all.
        """
        self.transport.set_protocol(protocol)
        ended = self.reader.ended
        self.reader.feed_eof()  # nothing more comes that way
        try:
            return await self.reader.read(), ended
        except OSError:
            return b"", True

    @property
    def transport(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self.writer.transport)

    def close(self) -> None:
        self.writer.close()


async def exchange(
    peer: Peer,
    method: str,
    target: str,
    headers: Headers,
    body: bytes = b"",
    *,
    connected: socket.socket | None = None,
) -> Exchange:
    """Send a request and return its answer once its head is there. `target` is what stands behind the method.

    `headers` are sent as they are; a Content-Length is added where there is a body. `connected` is a connection to the
    peer that was made elsewhere, which is closed with the answer. Raises ExchangeError.
    """
    try:
        reader, writer = await _connected(peer, connected)
    except (OSError, UnicodeError) as exc:
        raise ExchangeError(failure_text(peer, exc)) from exc
    try:
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*map(_one_line, lines), "", ""]).encode("utf-8") + body)
        await writer.drain()
        while True:
            status, answered = await _read_head(reader)
            if status >= 200 or status == 101:
                return Exchange(reader, writer, status, answered, empty=method == "HEAD" or status in _WITHOUT_BODY)
    except BaseException as exc:
        writer.close()
        if isinstance(exc, (OSError, asyncio.IncompleteReadError)):
            raise ExchangeError("EOF") from exc
        raise


async def _connected(peer: Peer, connected: socket.socket | None) -> tuple[Reader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = Reader(limit=_HEAD_BYTES, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    named = (peer.server_name or peer.host) if peer.tls else None
    if connected is None:
        transport, _ = await loop.create_connection(
            lambda: protocol, peer.host, peer.port, ssl=peer.tls, server_hostname=named
        )
    else:
        transport, _ = await loop.create_connection(
            lambda: protocol, sock=connected, ssl=peer.tls, server_hostname=named
        )
    if (sock := transport.get_extra_info("socket")) is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, Headers]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as exc:
        raise ExchangeError("server response headers exceeded 65536 bytes; aborted") from exc
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise ExchangeError(f'malformed HTTP response "{first}"')
    pairs = (line.partition(":") for line in lines)
    return int(rest[:3]), [(name.strip(), value.strip()) for name, _, value in pairs]


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


def failure_text(peer: Peer, exc: Exception) -> str:
    """Why there is no connection to `peer`, in Go's words."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError):
        return f"tls: {exc.reason or exc}"
    if isinstance(exc, socket.gaierror | UnicodeError):
        return f"dial tcp: lookup {peer.host}: no such host"
    number = exc.errno if isinstance(exc, OSError) else None
    if number == errno.ETIMEDOUT or isinstance(exc, TimeoutError):
        return f"dial tcp {peer.authority}: i/o timeout"
    with suppress(TypeError, ValueError):
        return f"dial tcp {peer.authority}: connect: {os.strerror(number).lower()}"  # type: ignore[arg-type]
    return f"dial tcp {peer.authority}: {exc}"
