"""A process's streams over SPDY: each is one of SPDY's, begun by the client, which says in a header what it is for.

Source: k8s.io/cri-streaming/pkg/streaming/remotecommand (httpstream.go).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.serving.spdy.connection import SPDY
from hyperkube_machinery.serving.spdy.session import Arrived, Ended, Event, Opened
from hyperkube_machinery.streaming.channels import Input, InputEnded, Typed, size_of
from hyperkube_machinery.streaming.sessions import Stream, Streams

__all__ = ["PROTOCOLS", "SIZES", "STATUSES", "NoStreams", "SPDYChannels"]

STATUSES, SIZES = "v4.channel.k8s.io", ("v4.channel.k8s.io", "v3.channel.k8s.io")
PROTOCOLS = (*SIZES, "v2.channel.k8s.io", "channel.k8s.io")
"""v4 tells exit codes, by a Status instead of a text; v3 and v4 have sizes of terminals."""

_CREATION_SECONDS = 30.0
_LONGEST_SIZE = 4096


class NoStreams(Exception):
    """The client has not begun the streams that it asked for."""


class SPDYChannels:
    """One client. `begin` comes first."""

    def __init__(self, spdy: SPDY, protocol: str, clock: Clock) -> None:
        self._spdy = spdy
        self._protocol = protocol
        self._clock = clock
        self._events = spdy.events()
        self._early: list[Event] = []  # came before all streams were there
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._size = b""  # the beginning of one

    async def begin(self, streams: Streams) -> None:
        """Wait until the client has begun its streams. Raises NoStreams."""
        wanted = {name for name in ("stdin", "stdout", "stderr") if getattr(streams, name)} | {"error"}
        if streams.tty and self._protocol in SIZES:
            wanted.add("resize")
        collecting = asyncio.ensure_future(self._collect(wanted))
        waiting = asyncio.ensure_future(self._clock.sleep(_CREATION_SECONDS))
        try:
            await asyncio.wait((collecting, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (collecting, waiting):
                task.cancel()
            await asyncio.gather(collecting, waiting, return_exceptions=True)
        if not wanted <= self._ids.keys():
            raise NoStreams

    async def _collect(self, wanted: set[str]) -> None:
        while not wanted <= self._ids.keys():
            event = await anext(self._events, None)
            if event is None:
                return
            if not isinstance(event, Opened):
                self._early.append(event)
                continue
            kind = event.headers.get("streamtype", "")
            if kind in wanted and kind not in self._ids:
                self._ids[kind] = event.stream_id
                self._names[event.stream_id] = kind
                await self._spdy.reply(event.stream_id)
            else:
                await self._spdy.reset(event.stream_id)

    async def input(self) -> AsyncIterator[Input]:
        for event in self._early:
            for piece in self._meaning(event):
                yield piece
        self._early.clear()
        async for event in self._events:
            if isinstance(event, Opened):
                await self._spdy.reset(event.stream_id)
            for piece in self._meaning(event):
                yield piece

    def _meaning(self, event: Event) -> list[Input]:
        match event:
            case Arrived(stream_id, data) if self._names.get(stream_id) == "stdin":
                return [Typed(data)]
            case Ended(stream_id) if self._names.get(stream_id) == "stdin":
                return [InputEnded()]
            case Arrived(stream_id, data) if self._names.get(stream_id) == "resize":
                *lines, self._size = (self._size + data).split(b"\n")
                if len(self._size) > _LONGEST_SIZE:
                    self._size = b""
                return [size for line in lines if (size := size_of(line)) is not None]
        return []

    async def send(self, stream: Stream, data: bytes) -> None:
        await self._spdy.send(self._ids[stream], data)

    async def end(self, status: Mapping[str, Any]) -> None:
        for name in ("stdout", "stderr"):
            if name in self._ids:
                await self._spdy.finish(self._ids[name])
        if self._protocol == STATUSES:
            await self._spdy.send(self._ids["error"], encode(status))
        elif status["status"] != "Success":
            await self._spdy.send(self._ids["error"], status["message"].encode())
        await self._spdy.finish(self._ids["error"])
