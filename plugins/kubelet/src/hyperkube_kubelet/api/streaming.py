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
from hyperkube_kubelet.api.portforward import Target
from hyperkube_kubelet.api.remotecommand import talk
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.messages import Answer, Request
from hyperkube_machinery.serving.spdy import connection as spdy
from hyperkube_machinery.serving.upgraded import ByteStream
from hyperkube_machinery.serving.websocket import WebSocket, accept, asks_for_websocket, offered_protocols
from hyperkube_machinery.streaming import spdychannels, websocketchannels
from hyperkube_machinery.streaming.sessions import Session, Streams

__all__ = ["Streaming"]

log = logging.getLogger(__name__)


class Streaming:
    """Whoever has it closes it, which ends all streams."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
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
            await talk(channels, session, streams, attached=attached)

        async def over_spdy(stream: ByteStream, protocol: str) -> None:
            async with spdy.speaking(stream) as connection:
                channels = spdychannels.SPDYChannels(connection, protocol, self._clock)
                try:
                    await channels.begin(streams)
                except spdychannels.NoStreams:
                    log.warning("a client has not begun the streams that it asked for")
                    return
                await talk(channels, session, streams, attached=attached)

        if asks_for_websocket(request):
            return accept(request, websocketchannels.PROTOCOLS, over_websocket, start=self._own, clock=self._clock)
        return spdy.accept(request, spdychannels.PROTOCOLS, over_spdy, start=self._own, clock=self._clock)

    def forward(self, request: Request, query: Mapping[str, Sequence[str]], target: Target) -> Answer:
        """Connections to ports of a pod. Raises APIError for a client that can't be understood."""

        async def over_spdy(stream: ByteStream, protocol: str) -> None:
            await portspdy.forward_streams(stream, target, self._clock)

        async def through_websocket(socket: WebSocket) -> None:
            await portspdy.forward_streams(socket, target, self._clock)

        async def over_websocket(socket: WebSocket) -> None:
            await portchannels.forward_channels(socket, wanted, target, self._clock)

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
