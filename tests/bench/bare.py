"""The least that could answer: `python -m tests.bench.bare FOLDER`, as a process that others are compared with.

It parses requests with httptools on the fastest loop there is, over TLS, and writes what the file `answer` in the
folder holds, whatever it is asked. A request for `/watch` gets a head, and later, with all others that asked for it,
what the file `event` holds: each time that somebody asks for `/change`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import cast

import httptools

from hyperkube_machinery import tls
from hyperkube_machinery.serving.loop import new_event_loop

_WATCH_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
_NOTHING = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Bare(asyncio.Protocol):
    """Answers whatever comes."""

    def __init__(self, folder: Path, watchers: list[asyncio.Transport]) -> None:
        self._folder = folder
        self._answer = b""
        self._watchers = watchers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport in self._watchers:
            self._watchers.remove(self._transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_message_complete(self) -> None:
        if self._url == b"/watch":
            self._transport.write(_WATCH_HEAD)
            self._watchers.append(self._transport)
        elif self._url == b"/change":
            event = (self._folder / "event").read_bytes()
            for watcher in self._watchers:
                watcher.write(event)
            self._transport.write(_NOTHING)
        else:
            self._answer = self._answer or (self._folder / "answer").read_bytes()
            self._transport.write(self._answer)


async def _serve(folder: Path) -> None:
    context = tls.server_context(folder / "s.crt", folder / "s.key")
    watchers: list[asyncio.Transport] = []
    server = await asyncio.get_running_loop().create_server(
        lambda: Bare(folder, watchers), "127.0.0.1", 0, ssl=context, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(Path(sys.argv[1])))
