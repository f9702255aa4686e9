"""A client: calls and answers as bytes, many at once on one connection.

The connection is made when it is needed, and made again when it is lost; after a failure the next try waits, and calls
fail meanwhile as the last try did. Of several endpoints, which are one service, one is used until it fails.
Source: grpc/doc/PROTOCOL-HTTP2.md, google.golang.org/grpc (words of failures, times).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NoReturn

from h2.exceptions import ProtocolError

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.grpc.endpoints import Endpoint
from hyperkube_machinery.grpc.status import CallFailed, Code, failure_in
from hyperkube_machinery.grpc.wire import Headers, Stream, Wire

__all__ = ["Call", "Channel"]

LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of one message, unless told otherwise."""

_WINDOW = 16 * 1024 * 1024
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.1, 3.0, 1.6
"""Seconds between tries to connect. Upstream's."""
_CONNECT_SECONDS = 5.0
_CALLS_AT_FIRST = 100
"""At once, until the other side has said how many it takes. Upstream's."""


class Call:
    """A call under way. Iterated over, it gives the answers; raises CallFailed."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def send(self, message: bytes) -> None:
        """Send one message; waits while the other side doesn't read."""
        await self._stream.send(message)

    def end(self) -> None:
        """Tell that no more messages come."""
        self._stream.finish()

    async def next(self) -> bytes | None:
        """The next answer, None after the last one."""
        return await self._stream.next()

    def __aiter__(self) -> Call:
        return self

    async def __anext__(self) -> bytes:
        message = await self._stream.next()
        if message is None:
            raise StopAsyncIteration
        return message


class Channel:
    """Calls to whoever listens at an endpoint, or at one of several. `close` it."""

    def __init__(
        self,
        target: Path | Endpoint | Sequence[Endpoint],
        clock: Clock,
        *,
        user_agent: str = "hk",
        largest: int = LARGEST_ANSWER,
        alive_seconds: float = 0.0,
        answer_seconds: float = 10.0,
    ) -> None:
        """Of `largest` bytes a message may be.

        After `alive_seconds` (0: never) the other side is asked whether it is there, for which it has `answer_seconds`.
        """
        if isinstance(target, Path):
            target = Endpoint(target)
        self._endpoints = [target] if isinstance(target, Endpoint) else list(target)
        self._clock = clock
        self._user_agent = user_agent
        self._largest = largest
        self._alive_seconds = alive_seconds
        self._answer_seconds = answer_seconds
        self._connection: _Connection | None = None
        self._watcher: asyncio.Task[NoReturn] | None = None
        self._connecting = asyncio.Lock()
        self._pause = 0.0
        self._not_before = 0.0
        self._failure: CallFailed | None = None

    async def call(self, method: str, message: bytes, *, seconds: float = 0.0, headers: Headers = ()) -> bytes:
        """The answer to one message; `seconds` 0 is no limit. Raises CallFailed."""
        if not seconds:
            return await self._call(method, message, 0.0, headers)
        try:
            return await within(self._clock, seconds, self._call(method, message, seconds, headers))
        except TimeoutError:
            raise CallFailed(Code.DEADLINE_EXCEEDED, "context deadline exceeded") from None

    async def _call(self, method: str, message: bytes, seconds: float, headers: Headers) -> bytes:
        async with self._begun(method, headers, seconds) as call:
            await call.send(message)
            call.end()
            answer = await call.next()
            if answer is None:
                raise CallFailed(Code.INTERNAL, "the call was answered without a message")
            # What is behind it tells whether it holds.
            await call.next()
            return answer

    async def stream(self, method: str, message: bytes, *, headers: Headers = ()) -> AsyncGenerator[bytes, None]:
        """The answers to one message, until the other side ends them. Raises CallFailed."""
        async with self._begun(method, headers) as call:
            await call.send(message)
            call.end()
            async for answer in call:
                yield answer

    @asynccontextmanager
    async def open(self, method: str, *, headers: Headers = ()) -> AsyncIterator[Call]:
        """A call with as many messages both ways as either side likes; left early, it is cancelled."""
        async with self._begun(method, headers) as call:
            yield call

    @asynccontextmanager
    async def _begun(self, method: str, headers: Headers, seconds: float = 0.0) -> AsyncIterator[Call]:
        connection = await self._connected()
        while not await connection.turn():
            connection = await self._connected()
        stream = connection.begin(method, headers, seconds, self._largest)
        try:
            yield Call(stream)
        finally:
            connection.reset(stream)

    async def close(self) -> None:
        """Break off all calls."""
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
        if self._connection is not None:
            self._connection.close()

    async def _connected(self) -> _Connection:
        connection = self._connection
        if connection is not None and connection.usable:
            return connection
        async with self._connecting:
            if self._connection is not None and self._connection.usable:
                return self._connection
            now = self._clock.monotonic()
            if self._failure is not None and now < self._not_before:
                raise self._failure
            for endpoint in list(self._endpoints):
                try:
                    made = await self._connect(endpoint)
                except OSError as exc:
                    self._failure = _dialing(endpoint, exc)
                    self._endpoints.append(self._endpoints.pop(0))  # another one's turn
                    continue
                self._connection, self._failure, self._pause = made, None, 0.0
                self._watch_over(made)
                return made
            self._pause = min(max(self._pause * _GROWTH, _FIRST_PAUSE), _LONGEST_PAUSE)
            self._not_before = now + self._pause
            assert self._failure is not None
            raise self._failure

    async def _connect(self, endpoint: Endpoint) -> _Connection:
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await endpoint.connect(lambda: _Connection(endpoint, self._user_agent))

    def _watch_over(self, connection: _Connection) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        if self._alive_seconds:
            self._watcher = asyncio.create_task(self._keep_asking(connection), name="gRPC keepalive")

    async def _keep_asking(self, connection: _Connection) -> NoReturn:
        """Give a connection up whose other side has gone without a word."""
        while True:
            await self._clock.sleep(self._alive_seconds)
            if not connection.streams:
                continue
            connection.answered = False
            connection.ping()
            await self._clock.sleep(self._answer_seconds)
            if not connection.answered:
                connection.break_off("keepalive ping failed to receive ACK within timeout")


def _dialing(endpoint: Endpoint, exc: OSError) -> CallFailed:
    why = "i/o timeout" if isinstance(exc, TimeoutError) else (exc.strerror or str(exc)).lower()
    for phrase in ("connect call failed", "multiple exceptions"):
        if phrase in why:
            why = "connection refused"
    text = f'connection error: desc = "transport: Error while dialing: dial {endpoint.text}: connect: {why}"'
    return CallFailed(Code.UNAVAILABLE, text)


class _Connection(Wire):
    """One connection, and the calls on it."""

    def __init__(self, endpoint: Endpoint, user_agent: str) -> None:
        super().__init__(client_side=True, window=_WINDOW)
        self._head = [
            (":method", "POST"),
            (":scheme", endpoint.scheme),
            (":authority", endpoint.authority),
            ("content-type", "application/grpc"),
            ("user-agent", user_agent),
            ("te", "trailers"),
        ]
        self.answered = True
        self._most_calls = _CALLS_AT_FIRST
        self._waiting: deque[asyncio.Future[None]] = deque()  # for calls to end, of which there can't be more

    async def turn(self) -> bool:
        """Wait until a call can begin; False, where the connection takes no more."""
        while self.usable and len(self.streams) >= self._most_calls:
            waiting = self._loop.create_future()
            self._waiting.append(waiting)
            try:
                await waiting
            except asyncio.CancelledError:
                self._let_begin()  # another one, if it was this one's turn
                raise
        return self.usable

    def _let_begin(self) -> None:
        """Have as many go on as there is room for; those who come before them wait again."""
        room = self._most_calls - len(self.streams) if self.usable else len(self._waiting)
        while self._waiting and room > 0:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                room -= 1

    def begin(self, method: str, headers: Headers, seconds: float, largest: int) -> Stream:
        """Begin a call; it has failed already where the connection is lost meanwhile."""
        try:
            stream_id = self._h2.get_next_available_stream_id() if self.usable else 0
        except ProtocolError:  # no numbers are left
            self.usable, stream_id = False, 0
        stream = Stream(self, stream_id, largest)
        if not stream_id:
            stream.end(CallFailed(Code.UNAVAILABLE, "the connection is draining"))
            return stream
        head = [*self._head[:2], (":path", method), *self._head[2:], *headers]
        if seconds:
            head.append(("grpc-timeout", f"{max(1, int(seconds * 1000))}m"))
        self._h2.send_headers(stream_id, head)
        self.streams[stream_id] = stream
        return stream

    def headers_came(self, stream_id: int, headers: dict[str, str]) -> None:
        if (stream := self.streams.get(stream_id)) is not None:
            stream.fail(failure_in(headers))

    def ping_answered(self) -> None:
        self.answered = True

    def settings_came(self) -> None:
        self._most_calls = self._h2.remote_settings.max_concurrent_streams
        self._let_begin()

    def stream_gone(self) -> None:
        self._let_begin()
        if not (self.usable or self.lost or self.streams):  # another one has taken its place
            self._flush()
            self._transport.close()

    def close(self) -> None:
        self.usable = False
        self._flush()
        if not self.lost:
            self._transport.close()
