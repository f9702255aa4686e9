"""One HTTP/2 connection as both sides have it: streams of messages, and room for them in both directions.

What is sent waits in the stream until there is room for it; what has come waits there until it is read, and only then
is the other side given room for more: so that whoever reads slowly holds up one stream, and costs no more than its
window. Room for all streams together is given back as data come.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    PingReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from hyperkube_machinery.grpc.status import CallFailed, Code

if TYPE_CHECKING:
    from hyperframe.frame import Frame, GoAwayFrame

__all__ = ["Headers", "Stream", "Wire", "framed"]

Headers = Sequence[tuple[str, str]]

_CONNECTION_WINDOW = 64 * 1024 * 1024
_GRANTED_AT = 4 * 1024 * 1024
"""Bytes that have come until room for them is given back to the connection."""
_MOST_WAITING = 1024 * 1024
"""Bytes of a stream that wait to be sent before its writer has to wait."""
_SETTINGS_FRAME = 4


def framed(message: bytes) -> bytes:
    """A message as it stands in a stream."""
    return struct.pack("!BI", 0, len(message)) + message


class _Frames(H2Connection):
    """HTTP/2's state, for which a connection goes on after the other side has said that it takes no more streams.

    h2 takes that for the end, and throws away what is to be sent; RFC 9113 (6.8) has what was begun go on.
    """

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        event.additional_data = frame.additional_data or None
        return [], [event]


class Stream:
    """Both directions of one call."""

    __slots__ = (
        "_data",
        "_failure",
        "_largest",
        "_news",
        "_senders",
        "_wire",
        "closed",
        "ended",
        "finished",
        "id",
        "owed",
        "unsent",
    )

    def __init__(self, wire: Wire, stream_id: int, largest: int) -> None:
        self._wire = wire
        self.id = stream_id
        self._largest = largest  # bytes of a message that comes
        self._data = bytearray()
        self._failure: CallFailed | None = None
        self._news: asyncio.Future[None] | None = None
        self._senders: deque[asyncio.Future[None]] = deque()  # that wait for room
        self.owed = 0  # bytes that have come, for which no room was given back yet
        self.unsent = bytearray()
        self.finished: Headers | None = None  # our side is; what follows the data, nothing on a client's
        self.closed = False  # and the other side was told so
        self.ended = False  # the other side is finished

    # What is sent.

    async def send(self, message: bytes) -> None:
        """Send a message; waits while too much is waiting already. Raises CallFailed where the call is over."""
        while len(self.unsent) > _MOST_WAITING and self._wire.carries(self):
            waiting = asyncio.get_running_loop().create_future()
            self._senders.append(waiting)
            await waiting
        self.put(message)

    def put(self, message: bytes) -> None:
        """Send a message without waiting. Raises CallFailed where the call is over."""
        if self._wire.lost or self.finished is not None or (self.ended and self._failure is not None):
            raise self._failure or CallFailed(Code.UNAVAILABLE, "the stream is over")
        self.unsent += framed(message)
        self._wire.push(self)

    def finish(self, trailers: Headers = ()) -> None:
        """Send no more."""
        if self.finished is None:
            self.finished = trailers
            self._wire.push(self)

    def make_room(self) -> None:
        """Some of what was waiting was sent."""
        if len(self.unsent) <= _MOST_WAITING:
            self.wake_senders()

    def wake_senders(self) -> None:
        """Have those who wait for room look again, in their order."""
        while self._senders:
            waiting = self._senders.popleft()
            if not waiting.done():
                waiting.set_result(None)

    # What comes.

    def feed(self, data: bytes) -> None:
        self._data += data
        self._tell()

    def end(self, failure: CallFailed | None = None) -> None:
        """No more comes."""
        if self.ended:
            return
        self.fail(failure)
        self.ended = True
        self._tell()

    def fail(self, failure: CallFailed | None) -> None:
        """Have the reader be told of `failure` once it has read what came before."""
        self._failure = self._failure or failure

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def next(self) -> bytes | None:
        """The next message, None after the last one. Raises CallFailed."""
        while True:
            message = self._take()
            if message is not None:
                return message
            if self.ended:
                if self._failure is not None:
                    raise self._failure
                if self._data:
                    raise CallFailed(Code.INTERNAL, "unexpected EOF")
                return None
            self._wire.grant(self)  # for the rest of a message, be it larger than the window
            self._news = asyncio.get_running_loop().create_future()
            await self._news

    async def rest(self, most: int) -> bytes:
        """All that comes, which are no messages, but `most` bytes of it."""
        while not self.ended and len(self._data) < most:
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        return bytes(self._data[:most])

    def _take(self) -> bytes | None:
        if len(self._data) < 5:
            return None
        compressed, size = struct.unpack_from("!BI", self._data)
        if compressed:
            raise CallFailed(Code.INTERNAL, "grpc: compressed flag set with identity or empty encoding")
        if size > self._largest:
            text = f"grpc: received message larger than max ({size} vs. {self._largest})"
            raise CallFailed(Code.RESOURCE_EXHAUSTED, text)
        if len(self._data) < 5 + size:
            return None
        message = bytes(memoryview(self._data)[5 : 5 + size])
        del self._data[: 5 + size]
        return message


class Wire(asyncio.Protocol):
    """The protocol of a connection. A subclass is told of headers, and of the end."""

    _transport: asyncio.Transport

    def __init__(self, *, client_side: bool, window: int, concurrent: int | None = None) -> None:
        """`window`: bytes that may wait to be read in a stream; `concurrent`: how many streams the client may have."""
        self._h2 = _Frames(
            H2Configuration(
                client_side=client_side,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=not client_side,
                normalize_inbound_headers=False,
            )
        )
        settings = {SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.MAX_HEADER_LIST_SIZE: 1 << 20}
        if client_side:
            settings[SettingCodes.ENABLE_PUSH] = 0
        if concurrent is not None:
            settings[SettingCodes.MAX_CONCURRENT_STREAMS] = concurrent
        self._h2.local_settings = Settings(client=client_side, initial_values=settings)  # later they would wait
        self._client_side = client_side
        self._granted_at = window // 4
        self._loop = asyncio.get_running_loop()
        self._come = 0  # bytes, for which the connection's room was not given back yet
        self._greeted = False
        self._flushing = False
        self._paused = False
        self.streams: dict[int, Stream] = {}
        self.usable = True  # new streams can begin
        self.lost = False

    # What subclasses do.

    def headers_came(self, stream_id: int, headers: dict[str, str]) -> None:
        """A call begins, on a server, or its headers or trailers have come, on a client."""
        raise NotImplementedError

    def ping_came(self) -> None:
        """The other side asks whether this one is there, which was answered."""

    def ping_answered(self) -> None:
        """The other side is there."""

    def stream_over(self, stream: Stream) -> None:
        """The other side has broken off a stream, or the connection is lost."""

    def settings_came(self) -> None:
        """The other side has said what it takes."""

    def stream_gone(self) -> None:
        """There is a stream less, or the connection takes no more of them."""

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW)
        self.flush()

    def data_received(self, data: bytes) -> None:
        try:
            if not self._greeted:
                self._greeted = not self._client_side or _is_greeting(data)
            events = self._h2.receive_data(data)
        except ProtocolError as exc:
            self.break_off(f"connection error: {exc}")
            return
        for event in events:
            self._take(event)
        if self._come >= _GRANTED_AT:
            self._h2.increment_flow_control_window(self._come)
            self._come = 0
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("error reading from server: EOF" if exc is None else f"error reading from server: {exc}")

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._push_all()
        self.flush()

    # What streams ask.

    def carries(self, stream: Stream) -> bool:
        """Whether anything of a stream can still be sent."""
        return not self.lost and stream.id in self.streams

    def push(self, stream: Stream) -> None:
        """Send as much of a stream as there is room for."""
        if stream.closed or not self.carries(stream):
            return
        try:
            self._push(stream)
        except ProtocolError:  # the other side has reset it, of which we are to hear yet
            stream.unsent.clear()
        stream.make_room()
        self.flush()

    def _push(self, stream: Stream) -> None:
        sent, unsent = 0, stream.unsent
        while sent < len(unsent) and not self._paused:
            room = min(self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size)
            if room <= 0:
                break
            part = bytes(memoryview(unsent)[sent : sent + room])
            sent += len(part)
            stream.closed = sent == len(unsent) and stream.finished == ()
            self._h2.send_data(stream.id, part, end_stream=stream.closed)
        if sent:
            del unsent[:sent]
        if unsent or stream.finished is None or stream.closed:
            return
        stream.closed = True
        if stream.finished:
            self._h2.send_headers(stream.id, stream.finished, end_stream=True)
            self._forget(stream)
        else:
            self._h2.end_stream(stream.id)

    def grant(self, stream: Stream) -> None:
        """Give room for as much as was read of a stream."""
        if stream.owed < self._granted_at or stream.ended or not self.carries(stream):
            return
        with suppress(ProtocolError):
            self._h2.increment_flow_control_window(stream.owed, stream.id)
        stream.owed = 0
        self.flush()

    def reset(self, stream: Stream, code: ErrorCodes = ErrorCodes.CANCEL) -> None:
        """Break a stream off; nothing, where it is over."""
        if self._drop(stream.id) is None or self.lost:
            return
        if not (stream.ended and stream.closed):
            with suppress(ProtocolError):
                self._h2.reset_stream(stream.id, code)
            self.flush()

    def _drop(self, stream_id: int) -> Stream | None:
        """Carry a stream no further; the stream, if it was carried."""
        stream = self.streams.pop(stream_id, None)
        if stream is not None:
            stream.wake_senders()
            self.stream_gone()
        return stream

    def _forget(self, stream: Stream) -> None:
        """Our side is finished; the other side, if it isn't, is told that nobody reads on, as Go's server does."""
        self._drop(stream.id)
        if not stream.ended:
            with suppress(ProtocolError):
                self._h2.reset_stream(stream.id, ErrorCodes.NO_ERROR)

    # The connection.

    def ping(self) -> None:
        """Ask whether the other side is there."""
        if not self.lost:
            with suppress(ProtocolError):
                self._h2.ping(b"hk-alive")
            self.flush()

    def flush(self) -> None:
        """Write what there is to be written, all of this turn of the loop at once."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if (data := self._h2.data_to_send()) and not self.lost:
            self._transport.write(data)

    def break_off(self, why: str, code: ErrorCodes = ErrorCodes.PROTOCOL_ERROR, detail: bytes = b"") -> None:
        """End the connection, and all that is on it."""
        if self.lost:
            return
        with suppress(ProtocolError):
            self._h2.close_connection(code, additional_data=detail or None)
        self._flush()
        self._end(why)
        self._transport.close()

    def _end(self, why: str) -> None:
        if self.lost:
            return
        self.lost, self.usable = True, False
        streams, self.streams = list(self.streams.values()), {}
        for stream in streams:
            stream.end(CallFailed(Code.UNAVAILABLE, why))
            stream.wake_senders()
            self.stream_over(stream)
        self.stream_gone()

    def _go_on_without(self, last: int) -> None:
        """Begin no more streams; those up to `last` are still answered."""
        self.usable = False
        for stream in [stream for stream in self.streams.values() if stream.id > last]:
            stream.end(CallFailed(Code.UNAVAILABLE, "the connection is draining"))
            self._drop(stream.id)
        self.stream_gone()

    def _push_all(self) -> None:
        for stream in list(self.streams.values()):
            if stream.unsent or stream.finished is not None:
                self.push(stream)

    def _take(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            size = event.flow_controlled_length or 0
            self._come += size
            assert event.stream_id is not None
            stream = self.streams.get(event.stream_id)
            if stream is not None:
                stream.owed += size
                stream.feed(event.data or b"")
        elif isinstance(event, (RequestReceived, ResponseReceived, TrailersReceived)):
            assert event.stream_id is not None
            self.headers_came(event.stream_id, {str(name): str(value) for name, value in event.headers or ()})
        elif isinstance(event, StreamEnded):
            assert event.stream_id is not None
            if (stream := self.streams.get(event.stream_id)) is not None:
                stream.end()
        elif isinstance(event, StreamReset):
            if (stream := self.streams.get(event.stream_id)) is not None:
                stream.end(_reset(event))
                self._drop(stream.id)
                self.stream_over(stream)
        elif isinstance(event, (WindowUpdated, RemoteSettingsChanged)):
            if isinstance(event, RemoteSettingsChanged):
                self.settings_came()
            self._push_all()
        elif isinstance(event, PingReceived):
            self.ping_came()
        elif isinstance(event, PingAckReceived):
            self.ping_answered()
        elif isinstance(event, ConnectionTerminated) and self._client_side:  # what a client says of pushes is all one
            self._go_on_without(event.last_stream_id or 0)


def _is_greeting(data: bytes) -> bool:
    """Whether what begins so is HTTP/2, which is settings first; h2 would wait for ever for the rest of what is not.

    Raises ProtocolError for anything else.
    """
    if len(data) > 3 and data[3] != _SETTINGS_FRAME:
        raise ProtocolError("error reading server preface: it speaks no HTTP/2")
    return True


def _reset(event: StreamReset) -> CallFailed:
    try:
        code = ErrorCodes(event.error_code or 0)
    except ValueError:
        text = f"stream terminated by RST_STREAM with error code: {event.error_code}"
        return CallFailed(Code.INTERNAL, text)
    known = {ErrorCodes.CANCEL: Code.CANCELED, ErrorCodes.REFUSED_STREAM: Code.UNAVAILABLE}
    return CallFailed(known.get(code, Code.INTERNAL), f"stream terminated by RST_STREAM with error code: {code.name}")
