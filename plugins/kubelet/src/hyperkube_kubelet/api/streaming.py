"""Answers requests for streams, in whichever protocol the client asks for.

WebSocket                        SPDY/3.1
commands   v5, v4.channel.k8s.io, the       v4 … v2.channel.k8s.io, the first
first version
ports      v4.channel.k8s.io; SPDY/3.1      portforward.k8s.io
in it: SPDY/3.1+portforward.…
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from hyperkube_kubelet.api import portchannels, portspdy
from hyperkube_kubelet.api.portforward import Target, within
from hyperkube_kubelet.api.remotecommand import talk
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.durations import format_duration
from hyperkube_machinery.errors import APIError, failure
from hyperkube_machinery.serving.messages import Answer, Request
from hyperkube_machinery.serving.spdy import connection as spdy
from hyperkube_machinery.serving.upgraded import ByteStream
from hyperkube_machinery.serving.websocket import WebSocket, accept, asks_for_websocket, offered_protocols
from hyperkube_machinery.streaming import spdychannels, websocketchannels
from hyperkube_machinery.streaming.channels import Channels
from hyperkube_machinery.streaming.idleness import unless_idle
from hyperkube_machinery.streaming.sessions import Session, Streams

__all__ = ["Streaming"]

log = logging.getLogger(__name__)

_LAST_WORD_SECONDS = 5.0
"""What a client has to hear that it was idle."""


class Streaming:
    """Whoever has it closes it, which ends all streams."""

    def __init__(self, clock: Clock, *, idle_seconds: float = 0.0) -> None:
        """`idle_seconds`: how long streams may lie still before they are broken off; 0 for as long as they like."""
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def command(
        self,
        request: Request,
        session: Callable[[], AbstractAsyncContextManager[Session]],
        streams: Streams,
        *,
        attached: bool = False,
    ) -> Answer:
        """The streams of a process, as `talk` has them. Raises APIError for a client that can't be understood."""

        async def over_websocket(socket: WebSocket) -> None:
            channels = websocketchannels.WebSocketChannels(socket)
            await channels.begin(streams)
            await self._converse(lambda: socket.moved, channels, session, streams, attached=attached)

        async def over_spdy(stream: ByteStream, protocol: str) -> None:
            async with spdy.speaking(stream) as connection:
                channels = spdychannels.SPDYChannels(connection, protocol, self._clock)
                try:
                    await channels.begin(streams)
                except spdychannels.NoStreams:
                    log.warning("a client has not begun the streams that it asked for")
                    return
                await self._converse(lambda: connection.moved, channels, session, streams, attached=attached)

        if asks_for_websocket(request):
            return accept(request, websocketchannels.PROTOCOLS, over_websocket, start=self._own, clock=self._clock)
        return spdy.accept(request, spdychannels.PROTOCOLS, over_spdy, start=self._own, clock=self._clock)

    async def _converse(
        self,
        moved: Callable[[], int],
        channels: Channels,
        session: Callable[[], AbstractAsyncContextManager[Session]],
        streams: Streams,
        *,
        attached: bool,
    ) -> None:
        work = talk(channels, session, streams, attached=attached)
        if not await unless_idle(work, moved, self._idle_seconds, self._clock):
            text = f"the stream was idle for {format_duration(self._idle_seconds)}, and is closed"
            last = asyncio.ensure_future(channels.end(failure(504, "Timeout", text)))
            await within(last, _LAST_WORD_SECONDS, self._clock)
            last.cancel()
            await asyncio.gather(last, return_exceptions=True)

    def forward(self, request: Request, query: Mapping[str, Sequence[str]], target: Target) -> Answer:
        """Connections to ports of a pod. Raises APIError for a client that can't be understood."""

        async def over_spdy(stream: ByteStream, protocol: str) -> None:
            await portspdy.forward_streams(stream, target, self._clock, idle_seconds=self._idle_seconds)

        async def through_websocket(socket: WebSocket) -> None:
            await portspdy.forward_streams(socket, target, self._clock, idle_seconds=self._idle_seconds)

        async def over_websocket(socket: WebSocket) -> None:
            work = portchannels.forward_channels(socket, wanted, target, self._clock)
            await unless_idle(work, lambda: socket.moved, self._idle_seconds, self._clock)

        if not asks_for_websocket(request):
            return spdy.accept(request, (portspdy.PROTOCOL,), over_spdy, start=self._own, clock=self._clock)
        if portspdy.TUNNEL_PROTOCOL in offered_protocols(request):
            return accept(request, (portspdy.TUNNEL_PROTOCOL,), through_websocket, start=self._own, clock=self._clock)
        try:
            wanted = portchannels.ports(query)
        except portchannels.PortsError as exc:
            raise APIError.bad_request(str(exc)) from exc
        return accept(request, (portchannels.PROTOCOL,), over_websocket, start=self._own, clock=self._clock)

    def _own(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
