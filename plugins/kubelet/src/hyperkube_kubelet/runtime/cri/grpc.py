"""gRPC over a Unix socket: calls and answers as bytes, many at once on one connection.

The connection is made when it is needed, and made again when it is lost; after a failure the next try waits, and calls
fail meanwhile as the last try did.
Source: grpc/doc/PROTOCOL-HTTP2.md, google.golang.org/grpc (words of failures).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from enum import IntEnum
from pathlib import Path
from typing import cast
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within

__all__ = ["CallFailed", "Channel", "Code"]

LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of one message. Upstream's limit."""

_WINDOW = LARGEST_ANSWER
_SETTINGS_FRAME = 4
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.1, 3.0, 1.6
"""Seconds between tries to connect. Upstream's."""
_CONNECT_SECONDS = 5.0


class Code(IntEnum):
    """What a call came to."""

    OK = 0
    CANCELED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class CallFailed(Exception):
    """A call was refused, or broke off."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(f"rpc error: code = {_camel(code)} desc = {message}")
        self.code = code
        self.message = message


def _camel(code: Code) -> str:
    return "".join(word.capitalize() for word in code.name.split("_")) if code else "OK"


class Channel:
    """Calls to whoever listens at `path`."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._pause = 0.0
        self._not_before = 0.0
        self._failure: CallFailed | None = None

    async def call(self, method: str, message: bytes, *, seconds: float = 0.0) -> bytes:
        """The answer to one message; `seconds` 0 is no limit. Raises CallFailed."""
        if not seconds:
            return await self._call(method, message, 0.0)
        try:
            return await within(self._clock, seconds, self._call(method, message, seconds))
        except TimeoutError:
            raise CallFailed(Code.DEADLINE_EXCEEDED, "context deadline exceeded") from None

    async def _call(self, method: str, message: bytes, seconds: float) -> bytes:
        connection = await self._connected()
        answers = connection.begin(method, message, seconds)
        async with aclosing(_messages(connection, answers)) as messages:
            async for answer in messages:
                return answer
        raise CallFailed(Code.INTERNAL, "the call was answered without a message")

    async def stream(
        self, method: str, message: bytes, *, headers: Sequence[tuple[str, str]] = ()
    ) -> AsyncGenerator[bytes, None]:
        """The answers to one message, until the other side ends them. Raises CallFailed."""
        connection = await self._connected()
        answers = connection.begin(method, message, 0.0, headers)
        async with aclosing(_messages(connection, answers)) as messages:
            async for answer in messages:
                yield answer

    async def close(self) -> None:
        """Break off all calls."""
        if self._connection is not None:
            self._connection.close()

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._connection is not None and self._connection.usable:
                return self._connection
            now = self._clock.monotonic()
            if self._failure is not None and now < self._not_before:
                raise self._failure
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    loop = asyncio.get_running_loop()
                    _, made = await loop.create_unix_connection(_Connection, str(self._path))
            except OSError as exc:
                self._pause = min(max(self._pause * _GROWTH, _FIRST_PAUSE), _LONGEST_PAUSE)
                self._not_before = now + self._pause
                why = "i/o timeout" if isinstance(exc, TimeoutError) else (exc.strerror or str(exc)).lower()
                text = (
                    f'connection error: desc = "transport: Error while dialing: dial unix {self._path}: connect: {why}"'
                )
                self._failure = CallFailed(Code.UNAVAILABLE, text)
                raise self._failure from exc
            self._connection, self._failure, self._pause = made, None, 0.0
            return made


async def _messages(connection: _Connection, answers: _Answers) -> AsyncGenerator[bytes, None]:
    """The messages of a call; one that its reader leaves is cancelled."""
    try:
        while (message := await answers.next()) is not None:
            yield message
    finally:
        connection.forget(answers)


class _Answers:
    """What has come of one call and was not read yet."""

    def __init__(self, stream: int, unsent: bytes) -> None:
        self.stream = stream
        self.unsent = unsent  # what of the request waits for room
        self.ended = False
        self._data = bytearray()
        self._failure: CallFailed | None = None
        self._news: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        self._data += data
        self._tell()

    def head(self, headers: Sequence[tuple[str, str]]) -> None:
        """Headers or trailers have come."""
        found = dict(headers)
        if "grpc-status" in found:
            self._status(found)
        elif found.get(":status", "200") != "200":
            self._fail(Code.UNAVAILABLE, f"unexpected HTTP status code {found[':status']}")
        self._tell()

    def _status(self, headers: dict[str, str]) -> None:
        try:
            code = Code(int(headers["grpc-status"]))
        except ValueError:
            code = Code.UNKNOWN
        if code is not Code.OK:
            self._fail(code, unquote(headers.get("grpc-message", "")))

    def end(self, failure: tuple[Code, str] | None = None) -> None:
        """No more comes."""
        if self.ended:
            return
        if failure is not None:
            self._fail(*failure)
        self.ended = True
        self._tell()

    def _fail(self, code: Code, message: str) -> None:
        if self._failure is None:
            self._failure = CallFailed(code, message)

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def next(self) -> bytes | None:
        """The next message, None after the last one. Raises CallFailed."""
        while True:
            if len(self._data) >= 5:
                compressed, size = struct.unpack_from("!BI", self._data)
                if compressed or size > LARGEST_ANSWER:
                    text = f"received message larger than max ({size} vs. {LARGEST_ANSWER})"
                    raise CallFailed(Code.RESOURCE_EXHAUSTED, "compressed though not asked to" if compressed else text)
                if len(self._data) >= 5 + size:
                    message = bytes(self._data[5 : 5 + size])
                    del self._data[: 5 + size]
                    return message
            if self.ended:
                if self._failure is not None:
                    raise self._failure
                return None
            await self._wait()

    async def _wait(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        await self._news


class _Connection(asyncio.Protocol):
    """One connection, and the calls on it."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._calls: dict[int, _Answers] = {}
        self._why = ""  # it is lost
        self._greeted = False
        self.usable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:

        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._h2.local_settings.update(
            {
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: 1 << 20,
            }
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW)
        self._flush()

    def begin(self, method: str, message: bytes, seconds: float, headers: Sequence[tuple[str, str]] = ()) -> _Answers:
        """Send a call; it has failed already where the connection is lost meanwhile."""
        if not self.usable:
            lost = _Answers(0, b"")
            lost.end((Code.UNAVAILABLE, self._why or "the connection is draining"))
            return lost
        stream = self._h2.get_next_available_stream_id()
        head = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("user-agent", "hk-kubelet"),
            ("te", "trailers"),
            *headers,
        ]
        if seconds:
            head.append(("grpc-timeout", f"{max(1, int(seconds * 1000))}m"))
        self._h2.send_headers(stream, head)
        answers = self._calls[stream] = _Answers(stream, struct.pack("!BI", 0, len(message)) + message)
        self._push(answers)
        self._flush()
        return answers

    def forget(self, answers: _Answers) -> None:
        """Nobody reads its answers any more."""
        if self._calls.pop(answers.stream, None) is not None and not answers.ended and self.usable:
            with suppress(ProtocolError):
                self._h2.reset_stream(answers.stream, ErrorCodes.CANCEL)
            self._flush()

    def _push(self, answers: _Answers) -> None:
        """Send as much of a request as there is room for."""
        while answers.unsent:
            room = min(self._h2.local_flow_control_window(answers.stream), self._h2.max_outbound_frame_size)
            if room <= 0:
                return
            part, answers.unsent = answers.unsent[:room], answers.unsent[room:]
            self._h2.send_data(answers.stream, part, end_stream=not answers.unsent)

    def data_received(self, data: bytes) -> None:
        try:
            if not self._greeted:
                self._greeted = _is_greeting(data)
            events = self._h2.receive_data(data)
        except ProtocolError as exc:
            self._end(f"connection error: {exc}")
            self._flush()
            self._transport.close()
            return
        for event in events:
            self._take(event)
        self._flush()

    def _take(self, event: object) -> None:
        if isinstance(event, (WindowUpdated, RemoteSettingsChanged)):
            for answers in list(self._calls.values()):
                if answers.unsent:
                    self._push(answers)
            return
        if isinstance(event, ConnectionTerminated):  # what was begun may still be answered
            self.usable = False
            return
        answers_of = self._calls.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, DataReceived):
            if event.flow_controlled_length:
                assert event.stream_id is not None
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if answers_of is not None:
                answers_of.feed(event.data or b"")
        elif answers_of is None:
            return
        elif isinstance(event, (ResponseReceived, TrailersReceived)):
            answers_of.head([(str(name), str(value)) for name, value in event.headers or ()])
        elif isinstance(event, StreamEnded):
            answers_of.end()
        elif isinstance(event, StreamReset):
            answers_of.end(_reset(event))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("error reading from server: EOF" if exc is None else f"error reading from server: {exc}")

    def _end(self, why: str) -> None:
        self._why = self._why or why
        self.usable = False
        for answers in self._calls.values():
            answers.end((Code.UNAVAILABLE, why))

    def close(self) -> None:
        self.usable = False
        self._transport.close()

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._transport.write(data)


def _is_greeting(data: bytes) -> bool:
    """Whether what begins so is HTTP/2, which is settings first; h2 would wait for ever for the rest of what is not.

    Raises ProtocolError for anything else.
    """
    if len(data) > 3 and data[3] != _SETTINGS_FRAME:
        raise ProtocolError("error reading server preface: it speaks no HTTP/2")
    return True


def _reset(event: StreamReset) -> tuple[Code, str]:
    try:
        code = ErrorCodes(event.error_code or 0)
    except ValueError:
        return Code.INTERNAL, f"stream terminated by RST_STREAM with error code: {event.error_code}"
    known = {ErrorCodes.CANCEL: Code.CANCELED, ErrorCodes.REFUSED_STREAM: Code.UNAVAILABLE}
    return known.get(code, Code.INTERNAL), f"stream terminated by RST_STREAM with error code: {code.name}"
