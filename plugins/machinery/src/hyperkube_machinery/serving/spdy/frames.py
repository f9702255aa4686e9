"""Frames of SPDY/3.1, to and from bytes.

A frame of data is told piece by piece as it comes; all others are short, or refused. Headers are compressed as one
stream for each direction, so that every frame that has some must pass through here, in order.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from hyperkube_machinery.serving.spdy.dictionary import DICTIONARY

__all__ = [
    "Data",
    "Frame",
    "FrameError",
    "FrameReader",
    "FrameWriter",
    "GoAway",
    "GoAwayStatus",
    "Headers",
    "Ping",
    "Reset",
    "ResetStatus",
    "Settings",
    "SynReply",
    "SynStream",
    "WindowUpdate",
]

_VERSION = 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _HEADERS, _WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
_LENGTHS = {_RST_STREAM: 8, _PING: 4, _GOAWAY: 8, _WINDOW_UPDATE: 8}
_FIN, _UNIDIRECTIONAL = 1, 2
_LONGEST_CONTROL = 64 << 10
_LONGEST_HEADERS = 64 << 10
"""Uncompressed."""
_LONGEST_DATA = (1 << 24) - 1
_ID = 0x7FFFFFFF

HeaderMap: TypeAlias = Mapping[str, str]
"""Names in lower case; the values of a name that has several are joined with ", "."""


class FrameError(ValueError):
    """What came is not SPDY, or more than is borne: the connection can't go on."""


class ResetStatus(IntEnum):
    """Why a stream is broken off."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    UNSUPPORTED_VERSION = 4
    CANCEL = 5
    INTERNAL_ERROR = 6
    FLOW_CONTROL_ERROR = 7
    STREAM_IN_USE = 8
    STREAM_ALREADY_CLOSED = 9


class GoAwayStatus(IntEnum):
    """Why a connection takes no more streams."""

    OK = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of a stream."""

    stream_id: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class SynStream:
    """Begins a stream."""

    stream_id: int
    headers: HeaderMap = field(default_factory=dict)
    fin: bool = False
    unidirectional: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    """Accepts a stream."""

    stream_id: int
    headers: HeaderMap = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Headers:
    """More headers of a stream."""

    stream_id: int
    headers: HeaderMap = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """Breaks a stream off in both directions."""

    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class Settings:
    values: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Ping:
    id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The sender takes no stream above `last_stream_id`."""

    last_stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    """So many more bytes may be sent on a stream, or on 0 on the connection."""

    stream_id: int
    delta: int


Frame: TypeAlias = Data | SynStream | SynReply | Headers | Reset | Settings | Ping | GoAway | WindowUpdate


class FrameReader:
    """Frames out of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._buffer = b""  # what came last and is not whole yet: never a piece of data
        self._data_left = -1  # bytes of the present frame of data that are still to come; -1 outside of one
        self._stream_id = 0
        self._fin = False
        self._decompressor = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """All that is complete now. Raises FrameError, and is of no use after that."""
        view = self._buffer + data if self._buffer else data
        at = 0
        try:
            while True:
                if self._data_left >= 0:
                    size = min(self._data_left, len(view) - at)
                    if not size and self._data_left:
                        return
                    self._data_left -= size
                    ends = not self._data_left
                    piece = view[at : at + size]
                    at += size
                    if ends:
                        self._data_left = -1
                    yield Data(self._stream_id, piece, self._fin and ends)
                    continue
                if len(view) - at < 8:
                    return
                first, second = struct.unpack_from(">II", view, at)
                flags, length = second >> 24, second & 0xFFFFFF
                if not first >> 31:
                    if not first:
                        raise FrameError("a frame of data names stream 0")
                    self._stream_id, self._fin, self._data_left = first, bool(flags & _FIN), length
                    at += 8
                    continue
                _check(first, length)
                if len(view) - at < 8 + length:
                    return
                body = view[at + 8 : at + 8 + length]
                at += 8 + length
                if (frame := self._control(first & 0xFFFF, flags, body)) is not None:
                    yield frame
        finally:
            self._buffer = view[at:]

    def _control(self, kind: int, flags: int, body: bytes) -> Frame | None:
        """None for a type that is not known, which is to be ignored."""
        fin = bool(flags & _FIN)
        if kind == _SETTINGS:
            return Settings(_settings(body))
        if kind in _LENGTHS:
            if len(body) != _LENGTHS[kind] or (flags and kind != _RST_STREAM):
                raise FrameError(f"a frame of type {kind} with {len(body)} bytes and flags {flags}")
            number, *rest = struct.unpack(f">{len(body) // 4}I", body)
            match kind:
                case 3:
                    return Reset(_stream(number), rest[0])
                case 6:
                    return Ping(number)
                case 7:
                    return GoAway(number & _ID, rest[0])
            return WindowUpdate(number & _ID, rest[0] & _ID)
        if kind not in (_SYN_STREAM, _SYN_REPLY, _HEADERS):
            return None
        before = 10 if kind == _SYN_STREAM else 4
        if len(body) < before:
            raise FrameError(f"a frame of type {kind} with {len(body)} bytes")
        stream_id = _stream(int.from_bytes(body[:4], "big"))
        headers = self._headers(body[before:])
        match kind:
            case 1:
                return SynStream(stream_id, headers, fin, bool(flags & _UNIDIRECTIONAL))
            case 2:
                return SynReply(stream_id, headers, fin)
        return Headers(stream_id, headers, fin)

    def _headers(self, compressed: bytes) -> dict[str, str]:
        try:
            block = self._decompressor.decompress(compressed, _LONGEST_HEADERS + 1)
        except zlib.error as exc:
            raise FrameError(f"headers can't be decompressed: {exc}") from exc
        if len(block) > _LONGEST_HEADERS:
            raise FrameError(f"headers of more than {_LONGEST_HEADERS} bytes")
        if self._decompressor.unconsumed_tail or self._decompressor.eof:
            raise FrameError("headers that end too early")
        return _parsed(block)


def _check(first: int, length: int) -> None:
    version = (first >> 16) & 0x7FFF
    if version != _VERSION:
        raise FrameError(f"version {version} of SPDY instead of {_VERSION}")
    if length > _LONGEST_CONTROL:
        raise FrameError(f"a frame of {length} bytes, of which {_LONGEST_CONTROL} are borne")


def _stream(number: int) -> int:
    if not number & _ID:
        raise FrameError("a frame names stream 0")
    return number & _ID


def _settings(body: bytes) -> dict[int, int]:
    count = int.from_bytes(body[:4], "big")
    if len(body) != 4 + 8 * count:
        raise FrameError(f"{count} settings in {len(body)} bytes")
    words = struct.unpack(f">{2 * count}I", body[4:])
    return {words[at] & 0xFFFFFF: words[at + 1] for at in range(0, len(words), 2)}


def _parsed(block: bytes) -> dict[str, str]:
    """Headers out of pairs that have their lengths in front."""
    at = 4
    headers: dict[str, str] = {}

    def word() -> str:
        nonlocal at
        size = int.from_bytes(block[at : at + 4], "big")
        if at + 4 + size > len(block):
            raise FrameError("headers are broken off")
        at += 4 + size
        return block[at - size : at].decode("latin-1")

    if len(block) < at:
        raise FrameError("headers are broken off")
    for _ in range(int.from_bytes(block[:4], "big")):
        name, value = word(), word()
        if not name or name in headers or name != name.lower():
            raise FrameError(f"a header named {name!r}, which is empty, there twice or not in lower case")
        headers[name] = value.replace("\0", ", ")
    if at != len(block):
        raise FrameError("there is more behind the headers")
    return headers


class FrameWriter:
    """Frames into bytes, in the order in which they are sent."""

    def __init__(self) -> None:
        # A window that holds the dictionary is enough for our few headers.
        self._compressor = zlib.compressobj(wbits=11, memLevel=1, zdict=DICTIONARY)

    def encode(self, frame: Frame) -> bytes:
        """Raises ValueError for data that is too long for a frame."""
        match frame:
            case Data(stream_id, data, fin):
                if len(data) > _LONGEST_DATA:
                    raise ValueError(f"{len(data)} bytes do not fit into a frame")
                return struct.pack(">II", stream_id, fin << 24 | len(data)) + data
            case SynStream(stream_id, headers, fin, unidirectional):
                flags = fin * _FIN | unidirectional * _UNIDIRECTIONAL
                body = struct.pack(">IIH", stream_id, 0, 0) + self._compressed(headers)
                return _framed(_SYN_STREAM, flags, body)
            case SynReply(stream_id, headers, fin):
                return _framed(_SYN_REPLY, fin * _FIN, struct.pack(">I", stream_id) + self._compressed(headers))
            case Headers(stream_id, headers, fin):
                return _framed(_HEADERS, fin * _FIN, struct.pack(">I", stream_id) + self._compressed(headers))
            case Reset(stream_id, status):
                return _framed(_RST_STREAM, 0, struct.pack(">II", stream_id, status))
            case Settings(values):
                words = [word for pair in values.items() for word in pair]
                return _framed(_SETTINGS, 0, struct.pack(f">{len(words) + 1}I", len(values), *words))
            case Ping(number):
                return _framed(_PING, 0, struct.pack(">I", number))
            case GoAway(last, status):
                return _framed(_GOAWAY, 0, struct.pack(">II", last, status))
            case WindowUpdate(stream_id, delta):
                return _framed(_WINDOW_UPDATE, 0, struct.pack(">II", stream_id, delta))

    def _compressed(self, headers: HeaderMap) -> bytes:
        words = [word.encode("latin-1") for pair in headers.items() for word in pair]
        block = len(headers).to_bytes(4, "big") + b"".join(len(word).to_bytes(4, "big") + word for word in words)
        return self._compressor.compress(block) + self._compressor.flush(zlib.Z_SYNC_FLUSH)


def _framed(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | _VERSION, kind, flags << 24 | len(body)) + body
