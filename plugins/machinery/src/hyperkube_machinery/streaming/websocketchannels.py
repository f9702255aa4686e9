"""A process's streams over a WebSocket: a message is a piece of one of five channels, which its first byte names.

    0 input   1 output   2 errors   3 how it ended, a Status   4 the terminal's size   255 (v5): that channel is closed

Source: k8s.io/cri-streaming/pkg/streaming/remotecommand (websocket.go).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from hyperkube_machinery.encoding import encode
from hyperkube_machinery.serving.websocket import WebSocket
from hyperkube_machinery.streaming.channels import Input, InputEnded, Typed, size_of
from hyperkube_machinery.streaming.sessions import Stream, Streams

__all__ = ["PROTOCOLS", "WebSocketChannels"]

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io")

_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHANNELS: Mapping[Stream, bytes] = {"stdout": bytes((_STDOUT,)), "stderr": bytes((_STDERR,))}


class WebSocketChannels:
    """One client. `begin` comes first."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def begin(self, streams: Streams) -> None:
        """Tell the client that the connection stands."""
        await self._socket.send(bytes((_STDOUT if streams.stdout else _STDERR if streams.stderr else _ERROR,)))

    async def input(self) -> AsyncIterator[Input]:
        async for message in self._socket:
            if not message:
                continue
            channel, data = message[0], message[1:]
            if channel == _STDIN:
                yield Typed(data)
            elif channel == _CLOSE and data[:1] == bytes((_STDIN,)):
                yield InputEnded()
            elif channel == _RESIZE and (size := size_of(data)) is not None:
                yield size

    async def send(self, stream: Stream, data: bytes) -> None:
        await self._socket.send(data, channel=_CHANNELS[stream])

    async def end(self, status: Mapping[str, Any]) -> None:
        if self._socket.protocol != "channel.k8s.io":
            await self._socket.send(bytes((_ERROR,)) + encode(status))
        elif status["status"] != "Success":  # the first version had texts alone
            await self._socket.send(bytes((_ERROR,)) + status["message"].encode())
