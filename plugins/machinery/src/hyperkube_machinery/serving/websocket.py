"""WebSockets, as a server speaks them (RFC 6455): an `Upgrade` whose connection is handed to a coroutine.

    accept(request, offered, talk) ─→ Upgrade ─→ talk(socket): `async for message in socket`, `await socket.send(…)`

The frames are the library's, but for those of data that are sent; connections, back-pressure and tasks are ours.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.messages import Request, Upgrade
from hyperkube_machinery.serving.upgraded import Start, Upgraded

__all__ = ["WebSocket", "accept", "asks_for_websocket", "offered_protocols"]

_log = logging.getLogger(__name__)
_log.setLevel(logging.WARNING)
"""The library's, which has a word for each connection."""

_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What a server mixes into its client's key. Source: RFC 6455, section 1.3."""
_VERSION = "13"
_LONGEST_MESSAGE = 16 << 20


def asks_for_websocket(request: Request) -> bool:
    headers = request.headers
    tokens = [token.strip() for token in headers.get("connection", "").lower().split(",")]
    return "upgrade" in tokens and headers.get("upgrade", "").lower() == "websocket"


def offered_protocols(request: Request) -> list[str]:
    """The subprotocols that the client would speak, in its order."""
    return [name.strip() for name in request.headers.get("sec-websocket-protocol", "").split(",") if name.strip()]


def accept(
    request: Request,
    protocols: Sequence[str],
    talk: Callable[[WebSocket], Awaitable[None]],
    *,
    start: Start,
    clock: Clock,
) -> Upgrade:
    """The answer to a client that asks for a WebSocket, speaking the first of its subprotocols that is in `protocols`.

    `start` makes the task in which `talk` runs, and owns it; the connection is closed when that ends. Raises APIError
    400 for a handshake that is none, and for a client with which there is no common subprotocol though both name some.
    """
    key = request.headers.get("sec-websocket-key", "")
    if request.method != "GET" or not asks_for_websocket(request):
        raise APIError.bad_request("a WebSocket is asked for by GET with Upgrade: websocket")
    if request.headers.get("sec-websocket-version") != _VERSION or not _is_key(key):
        raise APIError.bad_request(f"the WebSocket handshake is not that of version {_VERSION}")
    offered = offered_protocols(request)
    chosen = next((name for name in offered if name in protocols), "")
    if offered and protocols and not chosen:
        raise APIError.bad_request(
            f"none of the subprotocols {', '.join(offered)} is spoken here, but {', '.join(protocols)}"
        )
    answer = base64.b64encode(hashlib.sha1(key.encode() + _ACCEPT, usedforsecurity=False).digest()).decode()
    headers = [("Upgrade", "websocket"), ("Sec-WebSocket-Accept", answer)]
    if chosen:
        headers.append(("Sec-WebSocket-Protocol", chosen))
    return Upgrade(lambda: WebSocket(chosen, talk, start, clock), headers)


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except ValueError:
        return False


def _head(size: int) -> bytes:
    """Of a whole binary message, as servers send it. Source: RFC 6455, section 5.2."""
    if size < 126:
        return bytes((0x82, size))
    return b"\x82\x7e" + size.to_bytes(2, "big") if size < 1 << 16 else b"\x82\x7f" + size.to_bytes(8, "big")


class WebSocket(Upgraded["WebSocket"]):
    """One connection. Messages are bytes, those that were sent as text too (UTF-8)."""

    def __init__(self, protocol: str, talk: Callable[[WebSocket], Awaitable[None]], start: Start, clock: Clock) -> None:
        super().__init__(talk, start, clock)
        self.protocol = protocol  # the subprotocol, "" for none
        self._frames = Protocol(Side.SERVER, state=State.OPEN, max_size=_LONGEST_MESSAGE, logger=_log)
        self._parts: list[bytes] = []

    # What the coroutine does.

    async def send(self, data: bytes, *, channel: bytes = b"") -> None:
        """Send a binary message, when there is room for it; a no-op once the connection is closed.

        `channel` stands in front of the data.
        """
        if self._frames.state is State.OPEN:
            self.moved += len(data)
            self._transport.write(b"".join((_head(len(channel) + len(data)), channel, data)))
            if not self._writable.is_set():
                await self._writable.wait()

    async def send_text(self, message: str) -> None:
        """The same as text."""
        if self._frames.state is State.OPEN:
            self.moved += len(message)
            self._frames.send_text(message.encode())
            self._flush()
            await self._writable.wait()

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Say that nothing more will be sent, and close."""
        if self._frames.state is State.OPEN:
            self._frames.send_close(code, reason)
            self._flush()

    # What the connection does.

    def data_received(self, data: bytes) -> None:
        self._frames.receive_data(data)
        for frame in self._frames.events_received():
            self._take(frame)  # type: ignore[arg-type]
        self._flush()
        self._hold()

    def eof_received(self) -> bool:
        self._frames.receive_eof()
        return super().eof_received()

    def _take(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.BINARY, Opcode.TEXT, Opcode.CONT):
            self._parts.append(bytes(frame.data))
            if frame.fin:
                self._put(b"".join(self._parts))
                self._parts.clear()
        elif frame.opcode is Opcode.CLOSE:
            self._end()

    def _flush(self) -> None:
        for data in self._frames.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()  # both have said that they are done
