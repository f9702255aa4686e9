"""Netlink: messages to the kernel and from it as bytes, and a conversation that carries them.

Source: netlink(7), linux/netlink.h, linux/netfilter/nfnetlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Self

__all__ = [
    "ACK", "APPEND", "CREATE", "EXCLUSIVE", "NETFILTER", "Conversation", "Message", "Refused", "attribute",
    "attributes", "each_attribute", "nested", "number", "text",
]  # fmt: skip

NETFILTER = 12  # NETLINK_NETFILTER

ACK, EXCLUSIVE, CREATE, APPEND = 0x4, 0x200, 0x400, 0x800
_REQUEST, _DUMP, _INTERRUPTED = 0x1, 0x300, 0x10
_ERROR, _DONE = 2, 3
_BATCH_BEGIN, _BATCH_END = 16, 17
_NFTABLES = struct.pack("!BBH", 0, 0, 10)  # of a batch: the subsystem that it is for
_NESTED = 0x8000
_TYPE_MASK = 0x3FFF  # without the flags of nested and of network order
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_SO_SNDBUFFORCE = 32

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=HH4s")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

_SECONDS = 10.0
"""How long an answer may take; the kernel gives it before it returns from being asked."""

_WANTED_BUFFER = 32 << 20
_ROOM = 32
"""What of a socket's buffer the kernel keeps to itself."""


def attribute(kind: int, value: bytes) -> bytes:
    length = len(value)
    return _ATTRIBUTE.pack(length + 4, kind) + value + _PADDING[length & 3]


def nested(kind: int, *inner: bytes) -> bytes:
    value = b"".join(inner)
    return _ATTRIBUTE.pack(len(value) + 4, kind | _NESTED) + value


def number(kind: int, value: int) -> bytes:
    """A number of 32 bits in the order of the network, as netfilter has them."""
    return _NUMBER.pack(8, kind, (value & 0xFFFFFFFF).to_bytes(4, "big"))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def each_attribute(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind & _TYPE_MASK, data[at + 4 : at + length]
        at += (length + 3) & ~3


def attributes(data: bytes) -> dict[int, bytes]:
    return dict(each_attribute(data))


class Message(NamedTuple):
    """A request, and an answer."""

    kind: int
    body: bytes
    flags: int = 0


class Refused(OSError):
    """The kernel won't do what a message asks."""

    def __init__(self, code: int, message: Message | None) -> None:
        super().__init__(code, os.strerror(code))
        self.message = message  # the one it was; None where that isn't known


class Conversation:
    """A netlink socket and what is said on it, by one thread at a time; calls block for as long as the kernel works.

    The socket is closed with the block.
    """

    def __init__(self, made: socket.socket) -> None:
        made.settimeout(_SECONDS)
        for option in (_CAP_ACK, _EXT_ACK):
            made.setsockopt(_SOL_NETLINK, option, 1)
        self._socket = made
        self._sequence = 0
        self.longest = _enlarge(made) - _ROOM
        """How many bytes one batch may have."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def ask(self, message: Message) -> None:
        """Have one thing done. Raises Refused."""
        self._send([message._replace(flags=message.flags | ACK)])
        for _, code in self._errors():
            if code:
                raise Refused(code, message)
            return

    def answer(self, message: Message) -> Message:
        """What the kernel says to a question that has one answer. Raises Refused."""
        self._send([message])
        for kind, flags, _, body in _messages(self._socket.recv(1 << 20)):
            if kind != _ERROR:
                return Message(kind, body, flags)
            raise Refused(-struct.unpack_from("=i", body)[0], message)
        raise Refused(errno.EPROTO, message)

    def dump(self, message: Message) -> list[Message]:
        """All that there is of what `message` asks for. Raises Refused."""
        while True:
            self._send([message._replace(flags=message.flags | _DUMP)])
            found, whole = self._dumped(message)
            if whole:
                return found

    def transact(self, messages: Sequence[Message]) -> None:
        """Have all of `messages` done, or none of them. Raises Refused."""
        begin, end = Message(_BATCH_BEGIN, _NFTABLES), Message(_BATCH_END, _NFTABLES)
        first = self._send([begin, *messages, end])
        self._socket.setblocking(False)  # what is refused has been told when sending is over
        try:
            refused = [(sequence - first - 1, code) for sequence, code in self._errors() if code]
        except BlockingIOError:
            return
        finally:
            self._socket.settimeout(_SECONDS)
        for index, code in refused:
            raise Refused(code, messages[index] if 0 <= index < len(messages) else None)

    def _send(self, messages: Sequence[Message]) -> int:
        """Returns the number that the first of them has."""
        self._drain()
        first = self._sequence + 1
        parts = []
        for sequence, (kind, body, flags) in enumerate(messages, first):
            parts.append(_HEADER.pack(16 + len(body), kind, flags | _REQUEST, sequence & 0xFFFFFFFF, 0))
            parts.append(body)
        self._sequence = first + len(messages) - 1
        self._socket.send(b"".join(parts))
        return first

    def _drain(self) -> None:
        """Forget what is left of an answer that nobody read to its end."""
        self._socket.setblocking(False)
        try:
            while True:
                self._socket.recv(1 << 16)
        except OSError:
            pass
        finally:
            self._socket.settimeout(_SECONDS)

    def _errors(self) -> list[tuple[int, int]]:
        """The number of each message that is answered with one receiving, and its error."""
        return [
            (sequence, -struct.unpack_from("=i", body)[0])
            for kind, _, sequence, body in _messages(self._socket.recv(1 << 20))
            if kind == _ERROR
        ]

    def _dumped(self, asked: Message) -> tuple[list[Message], bool]:
        """What came, and whether nothing changed meanwhile."""
        found: list[Message] = []
        whole = True
        while True:
            for kind, flags, _, body in _messages(self._socket.recv(1 << 20)):
                whole = whole and not flags & _INTERRUPTED
                if kind == _ERROR:
                    raise Refused(-struct.unpack_from("=i", body)[0], asked)
                if kind == _DONE:
                    return found, whole
                found.append(Message(kind, body, flags))


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    at = 0
    while at + 16 <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        yield kind, flags, sequence, data[at + 16 : at + length]
        at += (length + 3) & ~3


def _enlarge(made: socket.socket) -> int:
    """Have as large a buffer for what is sent as may be had; its size. Only administrators may have any."""
    attempts: Sequence[Callable[[], None]] = (
        lambda: made.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _WANTED_BUFFER),
        lambda: made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WANTED_BUFFER),
    )
    for attempt in attempts:
        try:
            attempt()
            break
        except PermissionError:
            continue
    return made.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
