"""Speaks to a process on this machine that listens on a Unix socket and passes file descriptors on.

The protocol: objects of JSON, each behind its length (4 bytes, big-endian). A connection carries one request,
`{"op": …}`, and its answer, `{"ok": {…}}` or `{"error": {"kind", "message", …}}`; descriptors come with the first byte
of an answer. Where a matter goes on, more objects follow both ways, and hanging up ends it.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any, Self

__all__ = ["AgentRefused", "AgentUnavailable", "Call", "ask"]

_LENGTH = struct.Struct("!I")
_LONGEST_ANSWER = 64 << 20
_LONGEST_ADDRESS = 100  # a Unix socket's address has room for 107 bytes
_MOST_DESCRIPTORS = 16
_PIECE = 64 << 10
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # Linux has it, and only there are agents


class AgentUnavailable(OSError):
    """The agent can't be reached, or hung up."""


class AgentRefused(Exception):
    """The agent would not or could not do it."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(document.get("message", ""))
        self.kind: str = document.get("kind", "")
        self.details = document


class Call:
    """One request, for the length of the block: its answer, and what follows. Leaving hangs up."""

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        self._path, self._request = path, request
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._received = bytearray()
        self.descriptors: list[int] = []  # that came with the answer; what is not taken out is closed on leaving

    async def __aenter__(self) -> Self:
        self._socket.setblocking(False)
        try:
            await _connect(self._socket, self._path)
            await self.tell(self._request)
        except BaseException as exc:
            self._socket.close()
            if isinstance(exc, OSError):
                raise AgentUnavailable(exc.errno, f"nothing answers at {self._path}: {exc.strerror}") from exc
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()
        while self.descriptors:
            os.close(self.descriptors.pop())

    def take_descriptors(self) -> list[int]:
        """The descriptors that came; they are the caller's from now on."""
        taken, self.descriptors = self.descriptors, []
        return taken

    async def tell(self, document: dict[str, Any]) -> None:
        """Send an object."""
        body = json.dumps(document, separators=(",", ":")).encode()
        await asyncio.get_running_loop().sock_sendall(self._socket, _LENGTH.pack(len(body)) + body)

    async def answer(self) -> dict[str, Any]:
        """What the request came to. Raises AgentRefused and AgentUnavailable."""
        document = await self.receive()
        if "error" in document:
            raise AgentRefused(document["error"])
        answer = document.get("ok")
        return answer if isinstance(answer, dict) else {}

    async def receive(self) -> dict[str, Any]:
        """The next object. Raises AgentUnavailable when there is none any more."""
        data = self._received
        while len(data) < _LENGTH.size or len(data) < _LENGTH.size + _LENGTH.unpack_from(data)[0]:
            if len(data) > _LONGEST_ANSWER:
                raise AgentUnavailable(0, f"the answer of the agent at {self._path} is too long")
            try:
                piece = await self._piece()
            except OSError as exc:
                raise AgentUnavailable(exc.errno, f"the agent at {self._path} is gone: {exc.strerror}") from exc
            if not piece:
                raise AgentUnavailable(0, f"the agent at {self._path} hung up")
            data += piece
        end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        document = json.loads(data[_LENGTH.size : end])
        del data[:end]
        if not isinstance(document, dict):
            raise AgentUnavailable(0, f"the agent at {self._path} doesn't speak its protocol")
        return document

    async def _piece(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            room = socket.CMSG_SPACE(_MOST_DESCRIPTORS * array.array("i").itemsize)
            try:
                piece, ancillary, _, _ = self._socket.recvmsg(_PIECE, room, _CLOSE_ON_EXEC)
            except BlockingIOError:
                readable: asyncio.Future[None] = loop.create_future()
                loop.add_reader(self._socket.fileno(), _wake, readable)
                try:
                    await readable
                finally:
                    loop.remove_reader(self._socket.fileno())
                continue
            for level, kind, content in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    passed = array.array("i")
                    passed.frombytes(content[: len(content) - len(content) % passed.itemsize])
                    self.descriptors.extend(passed)
            return piece


async def ask(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request that no descriptors come with. Raises AgentRefused and AgentUnavailable."""
    async with Call(path, request) as call:
        return await call.answer()


def _wake(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)


async def _connect(made: socket.socket, path: Path) -> None:
    """Connect a Unix socket; by way of its folder where the path is longer than such addresses may be."""
    loop = asyncio.get_running_loop()
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        await loop.sock_connect(made, str(path))
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        await loop.sock_connect(made, f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
