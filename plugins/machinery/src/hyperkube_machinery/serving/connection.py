"""One client's connection: its requests answered in order.

    bytes → RequestParser → requests ─→ handler ─→ Response ────────────→ written at once, or piece by piece
                                           │    └→ StreamingResponse ──→ a task writes it
                                           │    └→ Upgrade ────────────→ the bytes are another protocol's
                                           └─ awaitable ─→ a task ends in one of these

One request is answered at a time. While it is, a bounded number is read ahead, then reading pauses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, cast

from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.chains import verified_chain
from hyperkube_machinery.serving.heads import CONTINUE, encode_headers, failure, refusal
from hyperkube_machinery.serving.host import Host
from hyperkube_machinery.serving.messages import Answer, Response, StreamingResponse, Upgrade
from hyperkube_machinery.serving.parsing import SLICE, IncomingRequest, OversizedRequest, RequestParser, Stage
from hyperkube_machinery.serving.stream import PIECE_BYTES, Stream, pieces

__all__ = ["HTTPConnection"]

log = logging.getLogger(__name__)

_NO_BODY = frozenset({204, 304})


class HTTPConnection(asyncio.BufferedProtocol):
    """The protocol of one connection, and the `Connection` that its requests carry."""

    __slots__ = (
        "_address",
        "_awaitable",
        "_backlog",
        "_closing",
        "_ending",
        "_half_closed",
        "_host",
        "_lingering",
        "_parser",
        "_paused",
        "_pieces",
        "_proceeding",
        "_progress",
        "_queue",
        "_reading_paused",
        "_request",
        "_since",
        "_state",
        "_successor",
        "_task",
        "_transport",
        "_used",
        "_waiters",
        "_written",
        "gone",
        "made",
    )

    _transport: asyncio.Transport

    def __init__(self, host: Host, address: str) -> None:
        self._host = host
        self._address = address
        self._state: dict[str, Any] | None = None
        self._parser = RequestParser(self, host.limits)
        self._queue = self._parser.requests
        self._backlog = bytearray()  # came, but isn't parsed yet
        self._reading_paused = False
        self._proceeding = False
        # The request that is being answered, and what is at work on it.
        self._request: IncomingRequest | None = None
        self._awaitable: Awaitable[Answer] | None = None
        self._task: asyncio.Task[None] | None = None
        self._pieces: Iterator[bytes | memoryview] | None = None  # of its body, still to be written
        self._successor: asyncio.Protocol | None = None  # has the connection after an upgrade
        # The client doesn't read as fast as it is written to.
        self._paused = False
        self._waiters: list[asyncio.Future[None]] = []
        self._written = 0  # bytes, of answers that may outgrow the transport's buffer
        self._progress = 0  # how many of them had left at the last sweep
        # The end.
        self._since = host.now  # when the present stage began
        self._used = False  # it has had an answer
        self._half_closed = False  # nothing more comes, but answers can go
        self._ending: asyncio.Future[None] | None = None  # what streams wait for
        self._lingering = False  # what still comes is thrown away
        self._closing = False
        self.made = False
        self.gone = False

    # The Connection of a request.

    @property
    def peer_certificate(self) -> bytes | None:
        ssl_object = self._transport.get_extra_info("ssl_object")
        return None if ssl_object is None else ssl_object.getpeercert(binary_form=True)

    @property
    def peer_chain(self) -> Sequence[bytes]:
        return verified_chain(self._transport.get_extra_info("ssl_object"))

    @property
    def peer_address(self) -> str:
        return self._address

    @property
    def state(self) -> dict[str, Any]:
        if self._state is None:
            self._state = {}
        return self._state

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.made = True
        self._host.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """One buffer serves all connections, for it is read into and out of within one call of the loop.

        Without it uvloop would read TLS into 256 KiB of its own, which glibc maps and unmaps each time: 30 µs.
        """
        return self._host.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._host.read_buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        # The usual case, in the shortest way.
        if self._request is None and not self._queue and not self._backlog and not self._paused:
            request = self._parser.recognize(data)
            if request is not None:
                self._serve(request)
                return
        if self._successor is not None:
            self._successor.data_received(data)
        elif self._backlog or self._reading_paused or (len(data) > SLICE and not self._parser.takes_whole(len(data))):
            self._backlog += data
            self._proceed()
        elif not self._lingering and not self._closing:
            self._parse(data)
            self._proceed()

    def eof_received(self) -> bool:
        """Let a client that closed its half only have what it asked for; over TLS there is no half."""
        if self._successor is not None:
            return bool(self._successor.eof_received())
        self._half_closed = True
        self._parser.finished = True
        self._backlog.clear()
        self._end_streams()
        tls = self._transport.get_extra_info("ssl_object") is not None
        return not tls and (self._request is not None or bool(self._queue))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.gone:
            return
        self.gone = True
        self._host.lost(self)
        if self._successor is not None:
            self._successor.connection_lost(exc)
        self._cancel()
        self._end_streams()
        self._wake_writers()
        self._pieces = None
        self._backlog.clear()
        self._parser.close()

    def pause_writing(self) -> None:
        if self._successor is not None:
            self._successor.pause_writing()
        self._paused = True
        self._progress = self._written - self.buffered
        self._since = self._host.now

    def resume_writing(self) -> None:
        self._paused = False
        if self._successor is not None:
            self._successor.resume_writing()
            return
        self._wake_writers()
        if self._pieces is not None:
            self._write_pieces()
        self._proceed()

    # What the server calls.

    def check(self, now: float) -> None:
        """End the connection if its client has been too slow. `now` is the monotonic clock."""
        limits = self._host.limits
        waited = now - self._since
        if self._successor is not None:
            return
        if self._closing:
            if waited >= limits.write_stall_seconds:
                self._transport.abort()
        elif self._lingering:
            if waited >= limits.linger_seconds:
                self._close()
        elif self._paused:
            left = self._written - self.buffered
            if left > self._progress:
                self._progress = left
                self._since = now
            elif waited >= limits.write_stall_seconds:
                log.info("%s doesn't read its answer; closing the connection", self._address)
                self.abort()
        elif self._request is None:
            self._check_request(waited)

    def _check_request(self, waited: float) -> None:
        limits = self._host.limits
        stage = self._parser.stage
        if stage is Stage.BODY:
            slow = waited >= limits.body_seconds + self._parser.body_bytes / limits.body_bytes_per_second
        elif stage is Stage.HEAD:
            slow = waited >= limits.header_seconds
        elif waited >= (limits.idle_seconds if self._used else limits.header_seconds):
            self._close()
            return
        else:
            return
        if slow:
            part = "body" if stage is Stage.BODY else "headers"
            self._refuse(APIError.of(408, "Timeout", f"the request's {part} did not arrive in time"))

    def begin_drain(self) -> None:
        """Close the connection as soon as what it asked for is answered."""
        self._end_streams()
        if self._successor is None and self._request is None and not self._queue and self._parser.stage is Stage.IDLE:
            self._close()

    def abort(self) -> None:
        """Drop the connection, and what is at work on its request."""
        self._cancel()
        self._transport.abort()

    # Requests in.

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        stage = parser.stage
        rest = parser.feed(data)
        if rest:
            self._backlog[:0] = rest
        if parser.stage is not stage:
            self._since = self._host.now

    def _proceed(self) -> None:
        """Answer what is queued, in order, and read on, until something has to be waited for."""
        if self._proceeding or self.gone or self._successor is not None:
            return
        self._proceeding = True
        parser, queue, backlog = self._parser, self._queue, self._backlog
        while self._request is None and not self._paused and not self._closing and not self._lingering:
            if queue:
                self._serve(queue.popleft())
            elif parser.refusal is not None:
                self._refuse(parser.refusal)
            elif self._half_closed:
                self._close()
            elif backlog:
                self._parse_backlog()
            elif parser.awaits_continue:
                parser.awaits_continue = False
                if not parser.body_bytes:
                    self._transport.write(CONTINUE)
            else:
                break
        self._proceeding = False
        if self._successor is None:
            self._read_ahead()

    def _read_ahead(self) -> None:
        """Parse as much as may be queued behind the present request; pause reading at the bound."""
        while self._backlog and not self._is_full():
            self._parse_backlog()
        if (bool(self._backlog) or self._is_full()) is not self._reading_paused:
            self._reading_paused = not self._reading_paused
            if self._reading_paused:
                self._transport.pause_reading()
            elif not self._closing and not self.gone:
                self._transport.resume_reading()

    def _is_full(self) -> bool:
        if self._parser.suspended:
            return True
        if self._parser.finished:
            return False  # what still comes is thrown away
        limits, queue = self._host.limits, self._queue
        return bool(queue) and (
            len(queue) >= limits.pipelined_requests
            or sum(len(request.body) for request in queue) >= limits.pipelined_bytes
        )

    def _parse_backlog(self) -> None:
        backlog = self._backlog
        if self._closing or self._lingering:
            backlog.clear()
            return
        size = len(backlog) if self._parser.takes_whole(len(backlog)) else SLICE
        data = bytes(backlog[:size])
        del backlog[:size]
        self._parse(data)

    # Answers out.

    def _serve(self, request: IncomingRequest) -> None:
        try:
            answer = self._host.handler(request)
        except Exception as exc:
            answer = failure(request, exc)
        if type(answer) is Response:
            self._answer(request, answer)
            return
        self._request = request
        if isinstance(answer, Response | StreamingResponse | Upgrade):
            self._conclude(request, answer)
        else:
            self._awaitable = answer
            self._begin(self._await(request, answer))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)
        self._host.own(self._task)

    async def _await(self, request: IncomingRequest, awaitable: Awaitable[Answer]) -> None:
        answer: Answer
        try:
            answer = await awaitable
        except asyncio.CancelledError as exc:
            if _is_cancelled():
                raise
            answer = failure(request, exc)  # the handler's own
        except Exception as exc:
            answer = failure(request, exc)
        self._awaitable = None
        if isinstance(answer, StreamingResponse):
            await self._produce(request, answer)
            return
        self._task = None
        if not self.gone:
            self._conclude(request, answer)
            self._proceed()

    def _conclude(self, request: IncomingRequest, answer: Answer) -> None:
        if isinstance(answer, Response):
            self._answer(request, answer)
        elif isinstance(answer, Upgrade):
            self._switch(request, answer)
        else:
            self._begin(self._produce(request, answer))

    def _head(self, request: IncomingRequest, answer: Response | StreamingResponse) -> bytes:
        host = self._host
        head = host.heads.start(answer.status, answer.content_type)
        if answer.headers:
            head += encode_headers(answer.headers)
        if host.draining or not request.persistent:
            request.persistent = False
            return head + b"Connection: close\r\n"
        return head + b"Connection: keep-alive\r\n" if request.http_1_0 else head

    def _answer(self, request: IncomingRequest, response: Response) -> None:
        head = self._head(request, response)
        body = response.body
        if isinstance(body, bytes):
            size = len(body)
        else:
            size = sum(map(len, body))
            if size <= PIECE_BYTES:
                body = b"".join(body)
        if response.status in _NO_BODY:
            self._transport.write(head + b"\r\n")
        elif request.method == "HEAD":
            self._transport.write(b"%bContent-Length: %d\r\n\r\n" % (head, size))
        elif size > PIECE_BYTES or not isinstance(body, bytes):
            self._request = request
            self._pieces = pieces(b"%bContent-Length: %d\r\n\r\n" % (head, size), body)
            self._write_pieces()
            return
        else:
            self._transport.write(b"%bContent-Length: %d\r\n\r\n%b" % (head, size, body))
        self._answered(request)

    def _write_pieces(self) -> None:
        """Write on until the client has to read first."""
        left, request = self._pieces, self._request
        assert left is not None
        assert request is not None
        for piece in left:
            self.write(piece)
            if self._paused or self._pieces is not left:
                return
        self._pieces = None
        self._answered(request)

    async def _produce(self, request: IncomingRequest, answer: StreamingResponse) -> None:
        """Write the answer piece by piece; an error cuts it short, for it is too late for a status."""
        if request.http_1_0:
            request.persistent = False
        head = self._head(request, answer)
        silent = request.method == "HEAD" or answer.status in _NO_BODY
        self._transport.write(head + (b"\r\n" if request.http_1_0 or silent else b"Transfer-Encoding: chunked\r\n\r\n"))
        if not silent:
            stream = Stream(self, chunked=not request.http_1_0)
            try:
                await answer.produce(stream)
            except asyncio.CancelledError:
                if _is_cancelled():
                    raise
                log.exception("%s %s: its answer was cancelled half-way", request.method, request.path)
                request.persistent = False
            except Exception as exc:
                if not self.gone:  # else it was told so
                    log.error("%s %s: its answer failed half-way", request.method, request.path, exc_info=exc)
                request.persistent = False
            else:
                stream.end()
        self._task = None
        if not self.gone:
            self._answered(request)
            self._proceed()

    def _answered(self, request: IncomingRequest) -> None:
        self._request = None
        self._used = True
        self._since = self._host.now
        if type(request) is OversizedRequest:
            self._linger()
        elif not request.persistent or self._host.draining:
            self._close()
        elif request.upgrades:
            self._parser.start_again()

    def _refuse(self, error: APIError) -> None:
        """Tell what is wrong with a request."""
        self._parser.refusal = None
        self._parser.finished = True
        response = refusal(error)
        head = self._host.heads.start(response.status, response.content_type)
        assert isinstance(response.body, bytes)
        self._transport.write(
            b"%bConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (head, len(response.body), response.body)
        )
        self._linger()

    def _switch(self, request: IncomingRequest, answer: Upgrade) -> None:
        try:
            if not request.upgrades:
                raise RuntimeError("the request doesn't ask for another protocol, so it can't be answered with one")
            successor = answer.protocol()
        except Exception as exc:
            self._answer(request, failure(request, exc))
            return
        head = self._host.heads.start(101, "") + encode_headers(answer.headers)
        self._transport.write(head + b"Connection: Upgrade\r\n\r\n")
        self._request = None
        self._successor = successor
        self._parser.close()
        successor.connection_made(self._transport)
        if self._backlog:
            successor.data_received(bytes(self._backlog))
            self._backlog.clear()
        if self._paused:
            successor.pause_writing()
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    # What a stream needs.

    def write(self, data: bytes | memoryview) -> None:
        self._written += len(data)
        self._transport.write(data)

    @property
    def buffered(self) -> int:
        return self._transport.get_write_buffer_size()

    async def wait_writable(self) -> None:
        """Raises ConnectionResetError once the client is gone."""
        if self._paused and not self.gone:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        if self.gone:
            raise ConnectionResetError(f"{self._address} is gone")

    async def wait_ending(self) -> None:
        """Wait until the client is gone, will send nothing more, or the server drains."""
        if self.gone or self._half_closed or self._host.draining:
            return
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._ending)

    def _wake_writers(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def _end_streams(self) -> None:
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(None)

    # The end.

    def _linger(self) -> None:
        """Let a client that may still be sending read its answer: closing now could destroy it on its way."""
        self._lingering = True
        self._since = self._host.now
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _close(self) -> None:
        """Close the connection once what was written has left."""
        self._parser.finished = True
        self._closing = True
        self._since = self._host.now
        self._transport.close()

    def _cancel(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        if isinstance(self._awaitable, Coroutine):
            # A task that never ran hasn't awaited it.
            self._task.add_done_callback(_closer(self._awaitable))
        self._task = None


def _closer(work: Coroutine[Any, Any, Answer]) -> Callable[[asyncio.Task[None]], None]:
    return lambda _: work.close()


def _is_cancelled() -> bool:
    """Whether the present task was told to stop, rather than its work having cancelled itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
