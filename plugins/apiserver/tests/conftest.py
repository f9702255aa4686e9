"""A webhook of the tests' own, on loopback and with a certificate."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.tls import KeyPair, create_ca, issue_serving_certificate, save, server_context

Tree = dict[str, Any]
CLOCK = SystemClock()


class Hook:
    """Answers reviews with what `answers` makes of them, or with raw bytes where that is what it returns."""

    def __init__(self, ca: KeyPair) -> None:
        self.ca = ca
        self.port = 0
        self.connections = 0
        self.asked: list[tuple[str, dict[str, str], Tree]] = []
        self.answers: Callable[[Tree], Tree | bytes] = lambda review: review
        self.gate = asyncio.Event()
        self.gate.set()
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    @property
    def bundle(self) -> str:
        return base64.b64encode(self.ca.certificate_pem).decode()

    def at(self, path: str = "", host: str = "localhost") -> Tree:
        """A client configuration with a URL."""
        return {"url": f"https://{host}:{self.port}{path}", "caBundle": self.bundle}

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.create_task(self._serve(reader, writer))

    async def close(self) -> None:
        """Hang up."""
        for writer, task in self._open.items():
            if not writer.transport.is_closing():  # Python 3.11.2 can't abort what is closed
                writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._open.values(), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        review = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.asked.append((first, headers, review))
        await self.gate.wait()
        answer = self.answers(review)
        if isinstance(answer, bytes):
            writer.write(answer)
            if b"keep-alive" not in answer:
                writer.close()
            return
        body = json.dumps(answer).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(body)


@pytest.fixture(scope="session")
def authority() -> KeyPair:
    return create_ca("webhooks", now=CLOCK.now())


@pytest.fixture
async def hook(authority: KeyPair, tmp_path: Path) -> AsyncIterator[Hook]:
    """A webhook at `localhost`, 127.0.0.1 and as the service `hooks` in `tests`."""
    names = ["localhost", "127.0.0.1", "hooks.tests.svc"]
    pair = issue_serving_certificate(authority, "hook", names, now=CLOCK.now())
    certificate, key = tmp_path / "hook.crt", tmp_path / "hook.key"
    save(pair, certificate, key)
    hook = Hook(authority)
    server = await asyncio.start_server(
        hook.accept, "127.0.0.1", 0, ssl=server_context(certificate, key), limit=1 << 20
    )
    hook.port = server.sockets[0].getsockname()[1]
    try:
        yield hook
    finally:
        server.close()
        await hook.close()
