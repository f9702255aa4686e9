"""An HTTP client that sends exactly the bytes that it is given, and shows exactly what comes back."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

__all__ = ["Received", "Wire"]

_SECONDS = 10.0
"""How long a test waits for a server that should have answered; not part of what is tested, so it is real time."""


@dataclass(frozen=True, slots=True)
class Received:
    """An answer as it came."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    version: str = "HTTP/1.1"


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @asynccontextmanager
    async def connect(cls, port: int, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def reset(self) -> None:
        """Let the server see that nobody is here any more, and not only that nothing more will be sent."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def head(self) -> Received:
        """Status and headers of the next answer, without its body."""
        async with asyncio.timeout(_SECONDS):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
        version, status, _ = first.split(" ", 2)
        pairs = (line.split(": ", 1) for line in lines)
        return Received(int(status), {name.lower(): value for name, value in pairs}, b"", version)

    async def answer(self, *, to_head: bool = False) -> Received:
        """The next answer, whole."""
        head = await self.head()
        async with asyncio.timeout(_SECONDS):
            if to_head or head.status in (100, 101, 204, 304):
                body = b""
            elif head.headers.get("transfer-encoding") == "chunked":
                body = b"".join([piece async for piece in self.chunks()])
            elif "content-length" in head.headers:
                body = await self.reader.readexactly(int(head.headers["content-length"]))
            else:
                body = await self.reader.read()
        return Received(head.status, head.headers, body, head.version)

    async def chunk(self) -> bytes:
        """The next chunk of a body; empty at its end."""
        async with asyncio.timeout(_SECONDS):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            data = await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        return data

    async def chunks(self) -> AsyncIterator[bytes]:
        while data := await self.chunk():
            yield data

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        async with asyncio.timeout(_SECONDS):
            return await self.reader.read()

    async def ask(self, method: str, target: str, *, body: bytes = b"", headers: str = "") -> Received:
        """Send a plain request and return its answer; `headers` are lines, each with its end."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.send(f"{method} {target} HTTP/1.1\r\nHost: test\r\n{length}{headers}\r\n".encode() + body)
        return await self.answer(to_head=method == "HEAD")
