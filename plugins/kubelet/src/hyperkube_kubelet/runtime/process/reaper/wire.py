"""The reaper's protocol: JSON objects, each behind its length (4 bytes, big-endian), on a Unix stream socket.

A connection carries one request, `{"op": …}`, and its answer, `{"ok": {…}}` or `{"error": {"kind", "message", …}}`.
With the first byte of an answer come the descriptors that it passes on. Requests whose matter goes on (exec, attach,
events) keep their connection: further objects tell what happens, and closing it ends the matter.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from hyperkube_kubelet.runtime.process.reaper.loop import Loop

__all__ = ["VERSION", "Connection", "address_of", "decoded", "encoded"]

VERSION = 1
"""Of the protocol. A kubelet of another version leaves what runs alone and says so."""

_LENGTH = struct.Struct("!I")
_LONGEST_REQUEST = 16 << 20
_MOST_UNSENT = 4 << 20
"""Bytes that may wait for somebody to read them before more is sent, however much that is."""
_LONGEST_PATH = 100  # a Unix socket's address has room for 107 bytes


def encoded(document: object) -> bytes:
    body = json.dumps(document, separators=(",", ":")).encode()
    return _LENGTH.pack(len(body)) + body


def decoded(data: bytearray) -> Iterator[dict[str, Any]]:
    """The objects that `data` holds in full, which are taken out of it. Raises ValueError."""
    while len(data) >= _LENGTH.size:
        length = _LENGTH.unpack_from(data)[0]
        if length > _LONGEST_REQUEST:
            raise ValueError(f"a message of {length} bytes is too long")
        end = _LENGTH.size + length
        if len(data) < end:
            return
        body = bytes(data[_LENGTH.size : end])
        del data[:end]
        document = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError("a message must be an object")
        yield document


def address_of(path: str, folder: int = -1) -> str:
    """The address of a Unix socket; `folder` is a descriptor of its folder, for paths longer than addresses may be."""
    return path if folder < 0 else f"/proc/self/fd/{folder}/{os.path.basename(path)}"


class Connection:
    """The reaper's side of a connection."""

    def __init__(self, made: socket.socket, loop: Loop, handle: Callable[[Connection, dict[str, Any]], None]) -> None:
        self._socket = made
        self._loop = loop
        self._handle = handle
        self._received = bytearray()
        self._unsent: list[tuple[bytes, list[int]]] = []
        self._closing = False
        self.closed = False
        self.when_closed: list[Callable[[], None]] = []
        self.when_told: Callable[[dict[str, Any]], object] | None = None  # takes what follows the first request
        made.setblocking(False)
        loop.when_ready(made.fileno(), self._ready)

    def send(self, document: object, descriptors: list[int] | None = None) -> None:
        """Send an object; `descriptors` are closed here once they are passed on."""
        if self.closed:
            for descriptor in descriptors or ():
                os.close(descriptor)
            return
        waiting = sum(len(data) for data, _ in self._unsent)
        self._unsent.append((encoded(document), descriptors or []))
        if waiting > _MOST_UNSENT:
            self.close()  # nobody reads; what it was to hear can be asked for again
            return
        self._flush()

    def finish(self, document: object, descriptors: list[int] | None = None) -> None:
        """Send a last object and hang up once it is out."""
        self._closing = True
        self.send(document, descriptors)

    def _flush(self) -> None:
        while self._unsent and not self.closed:
            data, descriptors = self._unsent[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            try:
                sent = self._socket.sendmsg([data], rights)
            except BlockingIOError:
                self._loop.when_ready(self._socket.fileno(), self._ready, write=True)
                return
            except OSError:
                self.close()
                return
            for descriptor in descriptors:
                os.close(descriptor)
            if sent == len(data):
                del self._unsent[0]
            else:
                self._unsent[0] = (data[sent:], [])
        if self.closed:
            return
        if self._closing:
            self.close()
        else:
            self._loop.when_ready(self._socket.fileno(), self._ready)

    def _ready(self, descriptor: int) -> None:
        if self._unsent:
            self._flush()
        if self.closed:
            return
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._received += data
        try:
            for document in decoded(self._received):
                if self.when_told is not None:
                    self.when_told(document)
                else:
                    self._handle(self, document)
                if self.closed:
                    return
        except ValueError:
            self.close()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        for _, descriptors in self._unsent:
            for descriptor in descriptors:
                os.close(descriptor)
        self._unsent.clear()
        for action in self.when_closed:
            action()
