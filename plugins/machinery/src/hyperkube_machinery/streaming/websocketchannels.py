"""A process's streams over a WebSocket: a message is a piece of one of five channels, which its first byte names.

    0 input   1 output   2 errors   3 how it ended, a Status   4 the terminal's size   255 (v5): that channel is closed

For clients that have texts alone the byte is a digit, and base64 what is behind it.
Source: k8s.io/cri-streaming/pkg/streaming/remotecommand (websocket.go), k8s.io/streaming/pkg/httpstream/wsstream.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping
from typing import Any

from hyperkube_machinery.encoding import encode
from hyperkube_machinery.serving.websocket import WebSocket
from hyperkube_machinery.streaming.channels import Input, InputEnded, Typed, size_of
from hyperkube_machinery.streaming.sessions import Stream, Streams

__all__ = ["PROTOCOLS", "WebSocketChannels"]

_CLOSING = "v5.channel.k8s.io"
_STATUSES = (_CLOSING, "v4.channel.k8s.io", "v4.base64.channel.k8s.io")
_TEXTS = ("v4.base64.channel.k8s.io", "base64.channel.k8s.io")
PROTOCOLS = (_CLOSING, "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io")

_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHANNELS: Mapping[Stream, int] = {"stdout": _STDOUT, "stderr": _STDERR}


class WebSocketChannels:
    """One client. `begin` comes first."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._as_text = socket.protocol in _TEXTS

    async def begin(self, streams: Streams) -> None:
        """Tell the client that the connection stands."""
        await self._send(_STDOUT if streams.stdout else _STDERR if streams.stderr else _ERROR, b"")

    async def input(self) -> AsyncIterator[Input]:
        async for message in self._socket:
            if not message:
                continue
            channel, data = message[0], message[1:]
            if self._as_text:
                channel -= ord("0")
                try:
                    data = b64decode(data)
                except ValueError:
                    continue
            if channel == _STDIN:
                yield Typed(data)
            elif channel == _CLOSE and data == bytes((_STDIN,)) and self._socket.protocol == _CLOSING:
                yield InputEnded()
            elif channel == _RESIZE and (size := size_of(data)) is not None:
                yield size

    async def send(self, stream: Stream, data: bytes) -> None:
        await self._send(_CHANNELS[stream], data)

    async def end(self, status: Mapping[str, Any]) -> None:
        if self._socket.protocol in _STATUSES:
            await self._send(_ERROR, encode(status))
        elif status["status"] != "Success":  # the first version had texts alone
            await self._send(_ERROR, status["message"].encode())

    async def _send(self, channel: int, data: bytes) -> None:
        if self._as_text:
            await self._socket.send_text(f"{channel}{b64encode(data).decode()}")
        else:
            await self._socket.send(data, channel=bytes((channel,)))
