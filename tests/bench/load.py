"""A client that asks as fast as it is answered: HTTP/1.1 over TLS, many connections, little of its own to do."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

__all__ = ["Answer", "Client", "Delays", "Load", "ask", "connected", "request", "told"]


_CHUNKED = 1 << 62
_LAST_CHUNK = b"0\r\n\r\n"


def request(method: str, path: str, body: bytes = b"", *, token: str) -> bytes:
    """A whole request, as kubectl and client-go word theirs; without a token where a certificate says who asks."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench/v1 (linux/amd64)\r\n"
        "Accept: application/json\r\n"
    )
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whole, with the bytes of its head."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head[9:12])


class Client(asyncio.Protocol):
    """One connection: sends a request, and tells when its answer is complete."""

    def __init__(self, answered: Callable[[Client], None]) -> None:
        self.answered = answered
        self._parts: list[bytes] = []
        self._missing = -1  # bytes of the body; unknown while the head is incomplete
        self._received: Callable[[bytes], None] | None = None
        self.asked_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def ask(self, asked: bytes) -> None:
        self._parts.clear()
        self._missing = -1
        self.asked_at = time.perf_counter()
        self.transport.write(asked)

    def listen(self, asked: bytes, received: Callable[[bytes], None]) -> None:
        """Ask for something that never ends; `received` gets its bytes as they come."""
        self._received = received
        self.transport.write(asked)

    def data_received(self, data: bytes) -> None:
        if self._received is not None:
            self._received(data)
            return
        self._parts.append(data)
        if self._missing < 0:
            if len(self._parts) > 1:
                data = b"".join(self._parts)
                self._parts[:] = [data]
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return
            at = data.find(b"Content-Length: ", 0, end)
            # A body in chunks ends with an empty one: how long it is shows only then.
            self._missing = _CHUNKED if at < 0 else int(data[at + 16 : data.index(b"\r", at)]) + end + 4
        if self._missing == _CHUNKED:
            if data.endswith(_LAST_CHUNK):
                self.answered(self)
            return
        self._missing -= len(data)
        if self._missing <= 0:
            self.answered(self)

    @property
    def answer(self) -> Answer:
        head, _, body = b"".join(self._parts).partition(b"\r\n\r\n")
        return Answer(head, body)

    @property
    def status(self) -> bytes:
        return self._parts[0][9:12]


@asynccontextmanager
async def connected(
    port: int, context: ssl.SSLContext, count: int, host: str = "127.0.0.1"
) -> AsyncIterator[list[Client]]:
    """So many idle connections, which are dropped in the end."""
    loop = asyncio.get_running_loop()
    clients: list[Client] = []

    async def connect() -> None:
        _, client = await loop.create_connection(lambda: Client(_ignore), host, port, ssl=context)
        clients.append(client)

    try:
        for start in range(0, count, 32):  # not all at once: a handshake takes a millisecond of the server
            await asyncio.gather(*(connect() for _ in range(min(32, count - start))))
        yield clients
    finally:
        for client in clients:
            client.transport.abort()
        await asyncio.sleep(0)


async def ask(client: Client, asked: bytes) -> Answer:
    """The answer to one request."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answered(_: Client) -> None:
        if not done.done():  # cancelled
            done.set_result(None)

    client.answered = answered
    client.ask(asked)
    async with asyncio.timeout(30):
        await done
    return client.answer


class Load:
    """Requests from an iterator over all connections, until the time is up or there are no more."""

    def __init__(self, requests: Iterator[bytes], expected: bytes) -> None:
        self._requests = requests
        self._expected = expected  # the status of every answer
        self.seconds: list[float] = []  # that each answer took

    async def run(self, clients: list[Client], *, duration: float) -> float:
        """Offer the load; how many seconds it took."""
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._busy = len(clients)
        began = time.perf_counter()
        self._until = began + duration
        for client in clients:
            client.answered = self._answered
            self._next(client, began)
        async with asyncio.timeout(duration + 30):
            await self._done
        return time.perf_counter() - began

    @property
    def p99(self) -> float:
        """Seconds."""
        return quantiles(self.seconds, n=100)[98] if len(self.seconds) > 1 else self.seconds[0]

    def _answered(self, client: Client) -> None:
        now = time.perf_counter()
        self.seconds.append(now - client.asked_at)
        if client.status == self._expected:
            self._next(client, now)
        elif not self._done.done():
            self._done.set_exception(RuntimeError(f"unexpected answer: {client.answer}"))

    def _next(self, client: Client, now: float) -> None:
        asked = next(self._requests, None) if now < self._until else None
        if asked is not None:
            client.ask(asked)
            return
        self._busy -= 1
        if not self._busy and not self._done.done():
            self._done.set_result(None)


def _ignore(client: Client) -> None:
    """Nothing was asked."""


@dataclass(frozen=True, slots=True)
class Delays:
    """When those who were told had heard of it, in milliseconds since it was asked for: medians over all changes."""

    first: float
    median: float
    p99: float
    last: float

    @classmethod
    def of(cls, changes: list[list[float]]) -> Delays:
        ordered = [sorted(seconds) for seconds in changes]
        return cls(*(median(seconds[int(part * (len(seconds) - 1))] for seconds in ordered) * 1e3 for part in _PARTS))


_PARTS = (0.0, 0.5, 0.99, 1.0)


async def told(clients: list[Client], watch: bytes, writer: Client, changes: Iterator[bytes]) -> tuple[Delays, bytes]:
    """Let `clients` watch, ask for the changes one by one, and see when all have heard of each; and one event's bytes.

    The first answer to a watch may hold events: what comes before the first change does not count.
    """
    loop = asyncio.get_running_loop()
    delays: list[list[float]] = []
    heard: list[float] = []
    event = b""
    everybody = loop.create_future()

    def received(data: bytes) -> None:
        nonlocal event
        heard.append(time.perf_counter())
        event = data
        if len(heard) == len(clients) and not everybody.done():
            everybody.set_result(None)

    for client in clients:
        client.listen(watch, received)
    async with asyncio.timeout(30):
        await everybody  # every head came
    for change in changes:
        await asyncio.sleep(0.1)  # for what else the heads brought
        heard.clear()
        everybody = loop.create_future()
        began = time.perf_counter()
        answer = await ask(writer, change)
        if answer.status >= 300:
            raise RuntimeError(f"unexpected answer: {answer}")
        async with asyncio.timeout(30):
            await everybody
        delays.append([moment - began for moment in heard])
    return Delays.of(delays), event[event.index(b"\r\n") + 2 : -2]
