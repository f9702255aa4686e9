"""A registry that does as a test tells it, on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from .making import Layout, digest_of

__all__ = ["Answer", "Asked", "ScriptedRegistry", "registry_of"]

INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request."""

    method: str
    target: str
    headers: dict[str, str]  # by names in lower case
    body: bytes = b""


@dataclass(slots=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    only: int | None = None  # how much of the body is sent before the connection is closed


class ScriptedRegistry:
    """Has the images of a layout by their names, and says something else where `scripts` do."""

    def __init__(self, layout: Layout) -> None:
        self.members = dict(layout.members)
        self.tags: dict[str, str] = {}  # digests
        self.ranges = True
        self.scripts: list[Callable[[Asked], Answer | None]] = []
        self.asked: list[Asked] = []
        self.address = ""

    def tag(self, name: str, descriptor: dict[str, Any]) -> str:
        self.tags[name] = descriptor["digest"]
        return str(descriptor["digest"])

    def index(self, name: str, *entries: dict[str, Any]) -> str:
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}).encode()
        digest = digest_of(body)
        self.members[f"blobs/sha256/{digest[7:]}"] = body
        self.tags[name] = digest
        return digest

    @property
    def targets(self) -> list[str]:
        return [one.target for one in self.asked]

    def answer(self, asked: Asked) -> Answer:
        for script in self.scripts:
            if (answer := script(asked)) is not None:
                return answer
        kind, _, name = asked.target.partition("?")[0].removeprefix("/v2/team/app/").partition("/")
        digest = self.tags.get(name, name) if kind == "manifests" else name
        body = self.members.get(f"blobs/{digest.replace(':', '/')}")
        if body is None:
            return Answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        headers = {"Docker-Content-Digest": digest}
        begin = asked.headers.get("range", "")
        if begin and self.ranges:
            offset = int(begin.removeprefix("bytes=").rstrip("-"))
            return Answer(206, body[offset:], {"Content-Range": f"bytes {offset}-{len(body) - 1}/{len(body)}"})
        return Answer(200, body, headers)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, target, _ = first.split(" ")
                asked = Asked(method, target, headers, body)
                self.asked.append(asked)
                answer = self.answer(asked)
                told = {"Content-Length": str(len(answer.body)), **answer.headers}
                text = "".join(f"{name}: {value}\r\n" for name, value in told.items())
                writer.write(f"HTTP/1.1 {answer.status} X\r\n{text}\r\n".encode() + answer.body[: answer.only])
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def registry_of(layout: Layout) -> AsyncIterator[ScriptedRegistry]:
    registry = ScriptedRegistry(layout)
    async with await asyncio.start_server(registry.accept, "127.0.0.1", 0) as server:
        registry.address = "{}:{}".format(*server.sockets[0].getsockname())
        yield registry
