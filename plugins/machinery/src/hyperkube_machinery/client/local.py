"""An API server in the same process: requests go straight to its handler, without sockets, TLS and HTTP's framing.

    client ─→ LocalTransport ─→ Request ─→ handler ─→ Response ──────────────────────→ client
                                              └─────→ StreamingResponse ─→ _Pipe ────→ client

What it may do is decided as ever: the handler sees the client's certificate or token, and authenticates and authorizes.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar
from urllib.parse import unquote

from hyperkube_machinery.client.transport import Outgoing, RawResponse, Unreachable
from hyperkube_machinery.serving.heads import failure
from hyperkube_machinery.serving.limits import Limits
from hyperkube_machinery.serving.messages import Answer, Handler, Request, Response, StreamingResponse, Upgrade
from hyperkube_machinery.serving.parsing import IncomingRequest, OversizedRequest

__all__ = ["Admit", "LocalServer", "LocalTransport"]

Admit: TypeAlias = Callable[[bytes, bytes], bytes]
"""Certificate and key (PEM) of a client → its certificate (DER), verified as a TLS handshake would verify it.

The key must be the certificate's, and an authority of the server's client CA vouch for it. Raises CertificateError.
"""

log = logging.getLogger(__name__)

T = TypeVar("T")

_HIGH_WATER = 64 * 1024
"""Bytes that a stream may hold before its producer has to wait, as a connection's."""


class LocalServer:
    """What an API server provides to the other servers of its process: `context.provide(LocalServer, server)`.

    It lets clients in until it is closed.
    """

    def __init__(self, address: str, handler: Handler, admit: Admit, *, limits: Limits | None = None) -> None:
        self.address = address  # https://127.0.0.1:6443: clients whose kubeconfig has this server come here instead
        self.handler = handler
        self.admit = admit
        self.limits = limits or Limits()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pipes: set[_Pipe] = set()
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    async def close(self) -> None:
        """Let nobody in any more, end what streams, and wait for what runs to be cancelled."""
        self._closed = True
        for pipe in list(self._pipes):
            pipe.abandon()
        for task in list(self._tasks):
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)

    # What transports call.

    def run(self, work: Awaitable[T]) -> asyncio.Task[T]:
        """Run what a request needs in a task that `close` cancels and waits for."""
        # As it is where it can be: a task that is cancelled before it begins closes its coroutine, but no inner one.
        task = asyncio.get_running_loop().create_task(work if isinstance(work, Coroutine) else _await(work))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its client may have gone, and who is there is told anyway

    def opened(self, pipe: _Pipe) -> None:
        self._pipes.add(pipe)

    def ended(self, pipe: _Pipe) -> None:
        self._pipes.discard(pipe)


class LocalTransport:
    """One client's way to a `LocalServer`; fits `Transport`, and is the `Connection` of its requests."""

    def __init__(self, server: LocalServer) -> None:
        self._server = server
        self._state: dict[str, Any] = {}
        self._certificate: bytes | None = None
        self._pipes: set[_Pipe] = set()

    # The Connection of its requests.

    @property
    def peer_certificate(self) -> bytes | None:
        return self._certificate

    @property
    def peer_chain(self) -> tuple[bytes, ...]:
        return (self._certificate,) if self._certificate is not None else ()

    @property
    def peer_address(self) -> str:
        return "127.0.0.1"

    @property
    def state(self) -> dict[str, Any]:
        return self._state

    # The Transport.

    def show(self, certificate_pem: bytes, key_pem: bytes) -> None:
        self._certificate = self._server.admit(certificate_pem, key_pem) if certificate_pem else None
        self._state = {}  # what the server remembers of this connection is of who it was before

    async def ask(self, request: Outgoing) -> RawResponse:
        answer = await self._answer(request)
        if isinstance(answer, Response):
            return RawResponse(answer.status, _headers(answer), _whole(answer.body))
        incoming = self._stream(answer)
        try:
            pieces = []
            while piece := await incoming.read():
                pieces.append(piece)
        finally:
            incoming.close()
        return RawResponse(incoming.status, incoming.headers, b"".join(pieces))

    async def open(self, request: Outgoing) -> _Whole | _Pipe:
        answer = await self._answer(request)
        return _Whole(answer) if isinstance(answer, Response) else self._stream(answer)

    async def close(self) -> None:
        for pipe in list(self._pipes):
            pipe.close()

    async def _answer(self, outgoing: Outgoing) -> Response | StreamingResponse:
        request = self._request(outgoing)
        if self._server.closed:
            raise self._gone()
        try:
            answer = self._server.handler(request)
            if inspect.isawaitable(answer):
                answer = await self._awaited(answer)
            if isinstance(answer, Upgrade):
                raise RuntimeError("the request doesn't ask for another protocol, so it can't be answered with one")
        except Unreachable:
            raise
        except Exception as exc:
            return failure(request, exc)
        return answer

    def _request(self, outgoing: Outgoing) -> Request:
        path, _, query = outgoing.target.partition("?")
        if "%" in path:
            path = unquote(path, errors="strict")
        request = IncomingRequest(outgoing.method, path, query, _joined(outgoing.headers), outgoing.body, self)
        request.repeated = _repeated(outgoing.headers)
        request.http_1_0 = request.upgrades = False
        request.persistent = True
        limit = self._server.limits.body_bytes
        return request if len(outgoing.body) <= limit else OversizedRequest(request, limit)

    async def _awaited(self, answer: Awaitable[Answer]) -> Answer:
        """In a task of the server's, for the server may close and the client may go."""
        task = self._server.run(answer)
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.cancelled():
            raise self._gone()
        return task.result()

    def _stream(self, answer: StreamingResponse) -> _Pipe:
        if self._server.closed:
            raise self._gone()
        pipe = _Pipe(self._server, answer, self._pipes.discard)
        self._pipes.add(pipe)
        return pipe

    def _gone(self) -> Unreachable:
        return Unreachable(f"the API server at {self._server.address}, in this process, has stopped")


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _headers(answer: Response | StreamingResponse) -> dict[str, str]:
    first = (("content-type", answer.content_type),) if answer.content_type else ()
    return _joined((*first, *answer.headers))


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in pairs:
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _repeated(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The values of each header that is there more than once."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name.lower(), []).append(value)
    return {name: several for name, several in values.items() if len(several) > 1}


def _whole(body: bytes | Sequence[bytes]) -> bytes:
    return body if isinstance(body, bytes) else b"".join(body)


class _Whole:
    """An answer that is there already; fits `Incoming`."""

    def __init__(self, answer: Response) -> None:
        self.status = answer.status
        self.headers = _headers(answer)
        self._left = _whole(answer.body)

    async def read(self) -> bytes:
        left, self._left = self._left, b""
        return left

    def close(self) -> None:
        self._left = b""


class _Pipe:
    """A body that one task writes and another reads: the `BodyWriter` of the one, the `Incoming` of the other."""

    def __init__(self, server: LocalServer, answer: StreamingResponse, ended: Callable[[_Pipe], None]) -> None:
        self.status = answer.status
        self.headers = _headers(answer)
        self._server = server
        self._told_ended = ended
        self._pieces: list[bytes] = []
        self._size = 0
        self._finished = False  # nothing more will be written
        self._broken = False  # and what was written isn't all
        self._closed = False  # nobody reads any more
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []
        self._ending: asyncio.Future[None] | None = None
        server.opened(self)
        self._task = server.run(answer.produce(self))
        self._task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._finished = True
        exc = None if task.cancelled() else task.exception()
        self._broken = task.cancelled() or exc is not None
        if exc is not None and not self._closed:  # else it was told so
            log.error("an answer failed half-way", exc_info=exc)
        self._server.ended(self)
        self._told_ended(self)
        self._wake_reader()

    # The BodyWriter.

    def send(self, data: bytes) -> None:
        if data and not self._closed:
            self._pieces.append(data)
            self._size += len(data)
            self._wake_reader()

    def send_framed(self, frame: bytes) -> None:
        self.send(frame[frame.index(b"\n") + 1 : -2])

    @property
    def buffered(self) -> int:
        return self._size

    @property
    def closed(self) -> bool:
        return self._closed

    async def drain(self) -> None:
        while self._size > _HIGH_WATER and not self._closed:
            waiter = asyncio.get_running_loop().create_future()
            self._writers.append(waiter)
            await waiter
        if self._closed:
            raise ConnectionResetError("the client is gone")

    async def wait_closed(self) -> None:
        if self._closed or self._server.closed:
            return
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._ending)

    # The Incoming.

    async def read(self) -> bytes:
        while not self._pieces:
            if self._closed or (self._finished and not self._broken):
                return b""
            if self._finished:
                raise Unreachable("unexpected EOF", broke_off=True)
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        _wake(self._writers)
        return data

    def close(self) -> None:
        self._closed = True
        self._pieces.clear()
        self._size = 0
        self.abandon()
        _wake(self._writers)
        self._wake_reader()
        self._task.cancel()

    def abandon(self) -> None:
        """Let who waits for the stream's end see it."""
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(None)

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()
