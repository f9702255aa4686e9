"""A server: gRPC over HTTP/2, and HTTP/1.1 on the same port for whoever speaks that.

    accepted ─→ first bytes ─→ "PRI" ─→ HTTP/2 ─→ application/grpc ─→ a handler's task
                                                └→ anything else ───→ the HTTP server's handler
                           └→ else ──→ the HTTP server

Source: grpc/doc/PROTOCOL-HTTP2.md, google.golang.org/grpc (server, keepalive enforcement; words of failures).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn, cast
from urllib.parse import unquote

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.grpc.status import CallFailed, Code, trailers_of
from hyperkube_machinery.grpc.wire import Stream, Wire
from hyperkube_machinery.serving.chains import verified_chain
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.messages import Request, Response

__all__ = ["Conduct", "GRPCServer", "Handler", "ServerCall", "unary"]

log = logging.getLogger(__name__)

_WINDOW = 4 * 1024 * 1024
_PREFACE = b"PRI * HTTP/2.0"
_OPENING_SECONDS = 10.0
_MOST_STRIKES = 2
_IDLE_PING_SECONDS = 7200.0
_LARGEST_BODY = 64 * 1024
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


@dataclass(frozen=True, slots=True)
class Conduct:
    """What is asked of clients, and how it is found out that one has gone. Defaults are etcd's."""

    largest_message: int = 2 * 1024 * 1024  # bytes
    concurrent_calls: int = 1 << 31  # a connection
    shortest_ping_seconds: float = 5.0  # between two pings of a client
    idle_seconds: float = 7200.0  # after which a client is asked whether it is there
    answer_seconds: float = 20.0  # that it has for that


class ServerCall:
    """A call as its handler sees it. Iterated over, it gives the client's messages."""

    def __init__(self, wire: _Connection, stream: Stream, headers: Mapping[str, str]) -> None:
        self._wire = wire
        self._stream = stream
        self._answered = False
        self.headers = headers

    async def next(self) -> bytes | None:
        """The next message, None after the last one. Raises CallFailed."""
        return await self._stream.next()

    def __aiter__(self) -> ServerCall:
        return self

    async def __anext__(self) -> bytes:
        message = await self._stream.next()
        if message is None:
            raise StopAsyncIteration
        return message

    async def send(self, message: bytes) -> None:
        """Send one message; waits while the client doesn't read."""
        self._begin()
        await self._stream.send(message)

    def _begin(self) -> None:
        if not self._answered:
            self._answered = True
            self._wire.begin(self._stream)

    def finish(self, failure: CallFailed | None) -> None:
        """End the call. The server does so when the handler has ended."""
        if not self._answered:
            self._answered = True
            self._stream.finish([(":status", "200"), ("content-type", "application/grpc"), *trailers_of(failure)])
        else:
            self._stream.finish(trailers_of(failure))


Handler = Callable[[ServerCall], Awaitable[None]]
"""Answers a call. It refuses by CallFailed, and is cancelled when the client goes, or its time is over."""


def unary(answer: Callable[[bytes], Awaitable[bytes]]) -> Handler:
    """The handler that has one message answered by one."""

    async def handle(call: ServerCall) -> None:
        message = await call.next()
        if message is None:
            raise CallFailed(Code.INTERNAL, "EOF")
        await call.send(await answer(message))

    return handle


class GRPCServer:
    """Serves methods by their paths on listening sockets, once. `close` it."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        http: HTTPServer,
        clock: Clock,
        *,
        conduct: Conduct | None = None,
    ) -> None:
        """`http` has the connections that are no HTTP/2, and its handler the requests that are no gRPC."""
        self.handlers = handlers
        self.services = {path.split("/")[1] for path in handlers}
        self.http = http
        self.clock = clock
        self.conduct = conduct or Conduct()
        self.connections: set[_Connection] = set()
        self.opening: dict[_Opening, float] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.Task[NoReturn] | None = None

    async def start(self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None = None) -> None:
        """Accept connections; `tls` is for all of `sockets`, and may be called with others for other ones."""
        if tls is not None:
            tls.set_alpn_protocols(["h2", "http/1.1"])
        loop = asyncio.get_running_loop()
        for listening in sockets:
            self._servers.append(await loop.create_server(lambda: _Opening(self), sock=listening, ssl=tls))
        if self._sweeper is None:
            await self.http.start(sockets=[])
            self._sweeper = loop.create_task(self._sweep(), name="gRPC connections")

    async def close(self) -> None:
        """Stop listening, break off all calls, and wait for what they clean up."""
        for server in self._servers:
            server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
        for opening in list(self.opening):
            opening.abort()
        for connection in list(self.connections):
            connection.break_off("the server is stopping", ErrorCodes.NO_ERROR)
        for task in self.tasks:
            task.cancel()
        while self.tasks:
            await asyncio.wait(self.tasks)
        if self._sweeper is not None:
            await self.http.close()

    def own(self, task: asyncio.Task[None]) -> None:
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _sweep(self) -> NoReturn:
        """Hang up on who connects and says nothing, or has gone without a word."""
        while True:
            await self.clock.sleep(_OPENING_SECONDS / 2)
            now = self.clock.monotonic()
            for opening, since in list(self.opening.items()):
                if now - since > _OPENING_SECONDS:
                    opening.abort()
            for connection in list(self.connections):
                connection.check(now)


class _Opening(asyncio.Protocol):
    """A connection of which is not known yet what it speaks."""

    _transport: asyncio.Transport

    def __init__(self, server: GRPCServer) -> None:
        self._server = server
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.opening[self] = self._server.clock.monotonic()

    def data_received(self, data: bytes) -> None:
        self._data += data
        known = min(len(self._data), len(_PREFACE))
        if self._data[:known] == _PREFACE[:known] and known < len(_PREFACE):
            return  # it may be either
        self._server.opening.pop(self, None)
        if self._data.startswith(_PREFACE):
            wire = _Connection(self._server)
            self._transport.set_protocol(wire)
            wire.connection_made(self._transport)
            wire.data_received(self._data)
        else:
            self._server.http.adopt(self._transport, self._data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.opening.pop(self, None)

    def abort(self) -> None:
        self._transport.abort()


class _Connection(Wire):
    """One client's connection, and its calls."""

    def __init__(self, server: GRPCServer) -> None:
        conduct = server.conduct
        super().__init__(client_side=False, window=_WINDOW, concurrent=min(conduct.concurrent_calls, (1 << 32) - 1))
        self._server = server
        self._conduct = conduct
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._strikes = 0
        self._pinged = -_IDLE_PING_SECONDS
        self._heard = server.clock.monotonic()
        self._asked: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._heard, self._asked = self._server.clock.monotonic(), None
        super().data_received(data)

    def check(self, now: float) -> None:
        """Ask a client that was silent for long whether it is there, and hang up on one that isn't."""
        if self._asked is not None and now - self._asked > self._conduct.answer_seconds:
            self.break_off("keepalive ping failed")
        elif self._asked is None and now - self._heard > self._conduct.idle_seconds:
            self._asked = now
            self.ping()

    def headers_came(self, stream_id: int, headers: dict[str, str]) -> None:
        if stream_id in self.streams:
            return  # trailers, which a client has no use for
        stream = self.streams[stream_id] = Stream(self, stream_id, self._conduct.largest_message)
        if headers.get("content-type", "").startswith("application/grpc"):
            work = self._answer(ServerCall(self, stream, headers), headers)
        else:
            work = self._answer_plainly(stream, headers)
        task = self._tasks[stream_id] = self._loop.create_task(work)
        self._server.own(task)
        task.add_done_callback(lambda done: self._tasks.pop(stream_id, None))

    def stream_over(self, stream: Stream) -> None:
        if (task := self._tasks.get(stream.id)) is not None:
            task.cancel()

    def begin(self, stream: Stream) -> None:
        """Send the head of an answer."""
        self._strikes = 0
        if not self.lost and stream.id in self.streams:
            with suppress(ProtocolError):
                self._h2.send_headers(stream.id, [(":status", "200"), ("content-type", "application/grpc")])

    async def _answer(self, call: ServerCall, headers: Mapping[str, str]) -> None:
        failure: CallFailed | None = None
        path = headers.get(":path", "")
        handler = self._server.handlers.get(path)
        try:
            if handler is None:
                failure = self._unknown(path)
            elif seconds := _seconds(headers.get("grpc-timeout", "")):
                await within(self._server.clock, seconds, _run(handler, call))
            else:
                await handler(call)
        except CallFailed as exc:
            failure = exc
        except TimeoutError:
            failure = CallFailed(Code.DEADLINE_EXCEEDED, "context deadline exceeded")
        except asyncio.CancelledError:
            failure = CallFailed(Code.UNAVAILABLE, "the server is stopping")
            raise
        except Exception as exc:  # whatever it is, the client must hear that there is no answer
            log.exception("the call %s failed", path)
            failure = CallFailed(Code.UNKNOWN, str(exc))
        finally:
            self._strikes = 0
            call.finish(failure)

    def _unknown(self, path: str) -> CallFailed:
        service, _, method = path.lstrip("/").rpartition("/")
        if service in self._server.services:
            return CallFailed(Code.UNIMPLEMENTED, f"unknown method {method} for service {service}")
        return CallFailed(Code.UNIMPLEMENTED, f"unknown service {service}")

    async def _answer_plainly(self, stream: Stream, headers: Mapping[str, str]) -> None:
        """Answer a request that is HTTP and no more."""
        target, _, query = headers.get(":path", "/").partition("?")
        body = await stream.rest(_LARGEST_BODY)
        plain = {name: value for name, value in headers.items() if not name.startswith(":")}
        request = Request(headers.get(":method", "GET"), unquote(target), query, plain, body, _Peer(self._transport))
        answer = self._server.http.handler(request)
        if not isinstance(answer, Response):
            answer = cast(Response, await cast(Awaitable[Any], answer))
        content = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
        head = [
            (":status", str(answer.status)),
            ("content-type", answer.content_type),
            ("content-length", str(len(content))),
            *((name.lower(), value) for name, value in answer.headers),
        ]
        if not self.lost and stream.id in self.streams:
            with suppress(ProtocolError):
                self._h2.send_headers(stream.id, head)
            stream.unsent += content
            stream.finish()

    def ping_came(self) -> None:
        now = self._server.clock.monotonic()
        shortest = self._conduct.shortest_ping_seconds if self.streams else _IDLE_PING_SECONDS
        if now - self._pinged < shortest:
            self._strikes += 1
        self._pinged = now
        if self._strikes > _MOST_STRIKES:
            self.break_off("too many pings", ErrorCodes.ENHANCE_YOUR_CALM, b"too_many_pings")


class _Peer:
    """The connection of a request that came over HTTP/2."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.state: dict[str, Any] = {}

    @property
    def peer_certificate(self) -> bytes | None:
        ssl_object = self._transport.get_extra_info("ssl_object")
        return None if ssl_object is None else cast("bytes | None", ssl_object.getpeercert(binary_form=True))

    @property
    def peer_chain(self) -> tuple[bytes, ...]:
        return verified_chain(self._transport.get_extra_info("ssl_object"))

    @property
    def peer_address(self) -> str:
        name = self._transport.get_extra_info("peername")
        return str(name[0]) if name else ""


async def _run(handler: Handler, call: ServerCall) -> None:
    await handler(call)


def _seconds(text: str) -> float:
    """Of `grpc-timeout`; 0 for none, and for what can't be read."""
    digits, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not digits.isdecimal() or len(digits) > 8:
        return 0.0
    return max(int(digits) * _UNITS[unit], 1e-9)
