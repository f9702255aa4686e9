"""One end of a SPDY connection, without the connection: bytes in, events and bytes out.

Windows: what clients send is credited as it is taken (`consumed`), and a peer that shows that it keeps windows, by
SETTINGS or its first WINDOW_UPDATE, is held to them. Go's libraries do neither: to them one may send as fast as the
connection takes it. Its servers must not even be credited: they close behind their last word, and a connection that is
closed with something unread in it destroys what is still on its way out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from hyperkube_machinery.serving.spdy.frames import (
    Data,
    Frame,
    FrameError,
    FrameReader,
    FrameWriter,
    GoAway,
    GoAwayStatus,
    HeaderMap,
    Headers,
    Ping,
    Reset,
    ResetStatus,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)

__all__ = ["Accepted", "Arrived", "Broken", "Ended", "Event", "Gone", "Opened", "Session"]

_MOST_STREAMS = 2048
_WINDOW = 64 << 10
_WIDEST = 0x7FFFFFFF
_LAST_ID = 0x7FFFFFFF
_INITIAL_WINDOW = 7
"""The setting's number."""
_LONGEST_PIECE = 32 << 10


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer has begun a stream, which waits for `reply` or `reset`."""

    stream_id: int
    headers: HeaderMap


@dataclass(frozen=True, slots=True)
class Accepted:
    """The peer has taken a stream of ours."""

    stream_id: int
    headers: HeaderMap


@dataclass(frozen=True, slots=True)
class Arrived:
    """Data, which is to be `consumed`."""

    stream_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer sends no more on a stream."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class Broken:
    """The peer has broken a stream off: nothing comes any more, and nothing can be sent."""

    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class Gone:
    """The peer takes no more streams."""

    status: int


Event: TypeAlias = Opened | Accepted | Arrived | Ended | Broken | Gone


class _Stream:
    __slots__ = ("consumed", "finished", "peer_finished", "window")

    def __init__(self, window: int) -> None:
        self.finished = False  # we send no more
        self.peer_finished = False
        self.window = window  # how much the peer lets us send
        self.consumed = 0  # of what it sent, and isn't credited yet


class Session:
    """The streams of a connection. What is to be sent is collected until `data_to_send` is asked for it."""

    def __init__(self, *, client: bool = False, most_streams: int = _MOST_STREAMS) -> None:
        """`most_streams`: so many the peer may have at a time; what is more is refused."""
        self._reader = FrameReader()
        self._writer = FrameWriter()
        self._out = bytearray()
        self._streams: dict[int, _Stream] = {}
        self._next_id = 1 if client else 2
        self._credits = not client  # whether the peer is told what was taken
        self._parity = 0 if client else 1  # of the peer's ids
        self._last_peer_id = 0
        self._most_streams = most_streams
        self._peer_streams = 0
        self._keeps_windows = False
        self._initial_window = _WINDOW
        self._window = _WINDOW
        self._consumed = 0
        self._leaving = False

    # Out.

    def data_to_send(self) -> bytes:
        data = bytes(self._out)
        self._out.clear()
        return data

    def open(self, headers: HeaderMap, *, fin: bool = False) -> int:
        """Begin a stream and return its id."""
        if self._next_id > _LAST_ID:
            raise RuntimeError("no more streams can be begun on this connection")
        stream_id = self._next_id
        self._next_id += 2
        self._streams[stream_id] = stream = _Stream(self._initial_window)
        stream.finished = fin
        self._send(SynStream(stream_id, headers, fin))
        return stream_id

    def reply(self, stream_id: int) -> None:
        """Accept a stream that the peer has begun."""
        if stream_id in self._streams:
            self._send(SynReply(stream_id))

    def room(self, stream_id: int) -> int:
        """How many bytes may be sent now; any number on a stream that is gone, where they are dropped."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.finished or not self._keeps_windows:
            return _WIDEST
        return max(0, min(stream.window, self._window))

    def send(self, stream_id: int, data: bytes) -> None:
        """Send, within the `room` there is. Dropped where the stream is gone or finished."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.finished:
            return
        stream.window -= len(data)
        self._window -= len(data)
        for at in range(0, len(data), _LONGEST_PIECE):
            self._send(Data(stream_id, data[at : at + _LONGEST_PIECE]))

    def finish(self, stream_id: int) -> None:
        """Say that nothing more will be sent on a stream."""
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.finished:
            stream.finished = True
            self._send(Data(stream_id, b"", fin=True))
            self._forget_finished(stream_id)

    def reset(self, stream_id: int, status: ResetStatus = ResetStatus.CANCEL) -> None:
        """Break a stream off; nothing happens where it is gone."""
        if stream_id in self._streams:
            self._forget(stream_id)
            self._send(Reset(stream_id, status))

    def consumed(self, stream_id: int, size: int) -> None:
        """What has come was taken: the peer may send as much again."""
        if not self._credits:
            return
        self._consumed += size
        if self._consumed >= _WINDOW // 2:
            self._send(WindowUpdate(0, self._consumed))
            self._consumed = 0
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.peer_finished:
            stream.consumed += size
            if stream.consumed >= _WINDOW // 2:
                self._send(WindowUpdate(stream_id, stream.consumed))
                stream.consumed = 0

    def leave(self, status: GoAwayStatus = GoAwayStatus.OK) -> None:
        """Break off what streams there are, and say that no more are taken."""
        if not self._leaving:
            for stream_id in list(self._streams):
                self.reset(stream_id)
            self._leaving = True
            self._send(GoAway(self._last_peer_id, status))

    def _send(self, frame: Frame) -> None:
        self._out += self._writer.encode(frame)

    # In.

    def receive(self, data: bytes) -> Iterator[Event]:
        """What bytes of the peer mean. Raises FrameError, having told the peer: the connection is then to be closed."""
        try:
            for frame in self._reader.feed(data):
                yield from self._take(frame)
        except FrameError:
            self.leave(GoAwayStatus.PROTOCOL_ERROR)
            raise

    def _take(self, frame: Frame) -> Iterator[Event]:
        match frame:
            case Data():
                yield from self._take_data(frame)
            case SynStream():
                yield from self._take_stream(frame)
            case SynReply(stream_id, headers, fin) | Headers(stream_id, headers, fin):
                if stream_id in self._streams:
                    if isinstance(frame, SynReply):
                        yield Accepted(stream_id, headers)
                    if fin:
                        yield from self._peer_finishes(stream_id)
            case Reset(stream_id, status):
                if stream_id in self._streams:
                    self._forget(stream_id)
                    yield Broken(stream_id, status)
            case Ping(number):
                if number % 2 == self._parity:
                    self._send(frame)
            case WindowUpdate():
                self._widen(frame)
            case Settings(values):
                self._set(values.get(_INITIAL_WINDOW))
            case GoAway(_, status):
                yield Gone(status)

    def _take_stream(self, frame: SynStream) -> Iterator[Event]:
        stream_id = frame.stream_id
        if self._leaving:
            return
        if stream_id % 2 != self._parity or stream_id <= self._last_peer_id:
            yield from self._refuse(stream_id, ResetStatus.PROTOCOL_ERROR)
            return
        self._last_peer_id = stream_id
        if self._peer_streams >= self._most_streams:
            self._send(Reset(stream_id, ResetStatus.REFUSED_STREAM))
            return
        stream = _Stream(self._initial_window)
        stream.finished = frame.unidirectional
        self._streams[stream_id] = stream
        self._peer_streams += 1
        yield Opened(stream_id, frame.headers)
        if frame.fin:
            yield from self._peer_finishes(stream_id)

    def _take_data(self, frame: Data) -> Iterator[Event]:
        stream_id = frame.stream_id
        stream = self._streams.get(stream_id)
        if stream is None or stream.peer_finished:
            self.consumed(stream_id, len(frame.data))
            if stream is not None:
                yield from self._refuse(stream_id, ResetStatus.STREAM_ALREADY_CLOSED)
            elif not self._was_there(stream_id):
                self._send(Reset(stream_id, ResetStatus.INVALID_STREAM))
            return
        if frame.data:
            yield Arrived(stream_id, frame.data)
        if frame.fin:
            yield from self._peer_finishes(stream_id)

    def _refuse(self, stream_id: int, status: ResetStatus) -> Iterator[Event]:
        known = stream_id in self._streams
        self._forget(stream_id)
        self._send(Reset(stream_id, status))
        if known:
            yield Broken(stream_id, status)

    def _was_there(self, stream_id: int) -> bool:
        return stream_id <= self._last_peer_id if stream_id % 2 == self._parity else stream_id < self._next_id

    def _peer_finishes(self, stream_id: int) -> Iterator[Event]:
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.peer_finished:
            stream.peer_finished = True
            yield Ended(stream_id)
            self._forget_finished(stream_id)

    def _widen(self, frame: WindowUpdate) -> None:
        self._keeps_windows = self._credits = True
        if not frame.stream_id:
            self._window += frame.delta
            if self._window > _WIDEST:
                raise FrameError("the connection's window grows beyond all bounds")
            return
        stream = self._streams.get(frame.stream_id)
        if stream is not None:
            stream.window += frame.delta
            if stream.window > _WIDEST:
                raise FrameError(f"the window of stream {frame.stream_id} grows beyond all bounds")

    def _set(self, window: int | None) -> None:
        if window is None:
            return
        if window > _WIDEST:
            raise FrameError(f"an initial window of {window} bytes")
        self._keeps_windows = self._credits = True
        for stream in self._streams.values():
            stream.window += window - self._initial_window
        self._initial_window = window

    def _forget_finished(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and stream.finished and stream.peer_finished:
            self._forget(stream_id)

    def _forget(self, stream_id: int) -> None:
        if self._streams.pop(stream_id, None) is not None and stream_id % 2 == self._parity:
            self._peer_streams -= 1
