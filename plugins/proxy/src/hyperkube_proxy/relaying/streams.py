"""Relays of TCP connections.

    listening socket ──accept──▶ dialing (a task) ──▶ pair of transports ──both ends closed──▶ gone

A pair has no task: what one side receives the other writes. A side that can't keep up stops the other's reading, an
end of file goes on alone, so that the other direction stays open, and a reset goes on as a reset.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol, cast

from hyperkube_machinery.clock import Clock
from hyperkube_proxy.relaying.balancer import Balancer, Target

__all__ = ["Dial", "StreamRelay", "StreamRelays"]

log = logging.getLogger(__name__)

_ACCEPTS = 64
"""Connections taken in one turn of the loop."""

_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_SECONDS = 0.5
"""How long nothing is accepted when there is no descriptor left."""

DIAL_SECONDS = (1.0, 1.0, 2.0, 2.0)
"""How long the first, second, … endpoint has to answer; those behind have as long as the last."""

_HIGH_WATER = 256 * 1024
_RESET = struct.pack("ii", 1, 0)


class Dial(Protocol):
    def __call__(self, host: str, port: int, /) -> Awaitable[socket.socket]:
        """A connected socket, non-blocking. Raises OSError."""


class StreamRelays:
    """All TCP relays of a proxy: what they share, and the owner of their connections."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pairs: set[_Pair] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._relays: set[StreamRelay] = set()
        self.failures = 0
        """Connections that no endpoint took."""

    @property
    def connections(self) -> int:
        """How many are relayed, or about to be."""
        return len(self._pairs) + len(self._tasks)

    def open(
        self, listening: socket.socket, balancer: Balancer, dial: Dial, *, admits: Callable[[str], bool] | None = None
    ) -> StreamRelay:
        """Relay what arrives at `listening`, which is the relay's from here on, from clients whom `admits` lets."""
        relay = StreamRelay(self, listening, balancer, dial, admits)
        self._relays.add(relay)
        return relay

    async def close(self) -> None:
        """Close every relay and drop every connection."""
        for relay in list(self._relays):
            relay.close()
        for task in list(self._tasks):
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        for pair in list(self._pairs):
            pair.abort()
        await self._empty.wait()

    # What relays and pairs call.

    def forget(self, relay: StreamRelay) -> None:
        self._relays.discard(relay)

    def own(self, work: Any) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("relaying a connection failed", exc_info=exc)

    def opened(self, pair: _Pair) -> None:
        self._pairs.add(pair)
        self._empty.clear()

    def ended(self, pair: _Pair) -> None:
        self._pairs.discard(pair)
        if not self._pairs:
            self._empty.set()


class StreamRelay:
    """One listening socket whose connections are led on."""

    def __init__(
        self,
        relays: StreamRelays,
        listening: socket.socket,
        balancer: Balancer,
        dial: Dial,
        admits: Callable[[str], bool] | None,
    ) -> None:
        self._relays = relays
        self._listening = listening
        self._balancer = balancer
        self._dial = dial
        self._admits = admits
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self.address: tuple[str, int] = listening.getsockname()[:2]
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Accept nothing more; connections that are there go on."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._listening)
            self._listening.close()
            self._relays.forget(self)

    def drop_strays(self) -> None:
        """Nothing: a connection to an endpoint that is no target any more goes on until its ends end it."""

    def _accept(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                client, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno not in _OUT_OF_FILES:
                    raise
                log.error("cannot accept connections at %s:%d: %s", *self.address, exc.strerror)
                self._loop.remove_reader(self._listening)
                self._relays.own(self._resume())
                return
            client.setblocking(False)
            if self._admits is not None and not self._admits(address[0]):
                _reset(client)
                continue
            self._relays.own(self._relay(client, address[0]))

    async def _resume(self) -> None:
        await self._relays.clock.sleep(_PAUSE_SECONDS)
        if not self._closed:
            self._loop.add_reader(self._listening, self._accept)

    async def _relay(self, client: socket.socket, address: str) -> None:
        try:
            found = await self._connect(address)
        except BaseException:
            client.close()
            raise
        if found is None:
            self._relays.failures += 1
            _reset(client)
            return
        try:
            await _join(self._relays, client, found)
        except OSError as exc:  # one of the two is gone already
            log.debug("a connection from %s ended before it began: %s", address, exc)

    async def _connect(self, client: str) -> socket.socket | None:
        """A connection to the first target that takes it, None where none does."""
        for attempt, target in enumerate(self._balancer.candidates(client)):
            seconds = DIAL_SECONDS[min(attempt, len(DIAL_SECONDS) - 1)]
            try:
                connected = await self._dial_within(target, seconds)
            except OSError as exc:
                log.debug("the endpoint %s:%d doesn't take a connection: %s", *target, exc)
                continue
            self._balancer.keep(client, target)
            return connected
        return None

    async def _dial_within(self, target: Target, seconds: float) -> socket.socket:
        dialing = asyncio.ensure_future(self._dial(*target))
        deadline = asyncio.ensure_future(self._relays.clock.sleep(seconds))
        try:
            await asyncio.wait((dialing, deadline), return_when=asyncio.FIRST_COMPLETED)
            if dialing.done():
                return dialing.result()
            raise TimeoutError(f"no answer within {seconds:g} s")
        except BaseException:
            dialing.cancel()
            dialing.add_done_callback(_close_late)
            raise
        finally:
            deadline.cancel()


def _close_late(dialing: asyncio.Future[socket.socket]) -> None:
    """Close a connection that was made after all, when nobody waited for it any more."""
    if not dialing.cancelled() and dialing.exception() is None:
        dialing.result().close()


def _reset(client: socket.socket) -> None:
    """Close so that the client sees its connection refused late, and not served by nobody."""
    with suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    client.close()


async def _join(relays: StreamRelays, client: socket.socket, server: socket.socket) -> None:
    """Make a pair of the two sockets, which are the pair's from here on."""
    loop = asyncio.get_running_loop()
    pair = _Pair(relays)
    try:
        for sock in (client, server):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await loop.connect_accepted_socket(lambda: pair.client, client)
        await loop.create_connection(lambda: pair.server, sock=server)
    except BaseException:
        pair.abort()
        for side, sock in ((pair.client, client), (pair.server, server)):
            if side.transport is None:
                sock.close()
        raise
    pair.begin()


class _Pair:
    """Both sides of a relayed connection."""

    __slots__ = ("_relays", "begun", "client", "server")

    def __init__(self, relays: StreamRelays) -> None:
        self._relays = relays
        self.begun = False
        self.client = _Side(self)
        self.server = _Side(self)
        self.client.other, self.server.other = self.server, self.client

    def begin(self) -> None:
        """Let bytes flow, now that both sides are there."""
        self._relays.opened(self)
        if self.client.lost or self.server.lost:  # between the two being made
            self.abort()
            self.side_lost()
            return
        self.begun = True
        for side in (self.client, self.server):
            side.pass_held_on()
        for side in (self.client, self.server):
            side.begin()

    def abort(self) -> None:
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.abort()

    def side_lost(self) -> None:
        if self.client.lost and self.server.lost:
            self._relays.ended(self)


class _Side(asyncio.Protocol):
    __slots__ = ("_held", "_pair", "ended", "lost", "other", "transport")

    other: _Side

    def __init__(self, pair: _Pair) -> None:
        self._pair = pair
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)  # until connection_made
        self._held: list[bytes] = []
        self.ended = False  # this peer sends no more
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=_HIGH_WATER)
        self.transport.pause_reading()

    def pass_held_on(self) -> None:
        for data in self._held:
            self.other.transport.write(data)
        self._held.clear()

    def begin(self) -> None:
        """Read, now that there is somebody to write to."""
        if self.ended:
            self._pass_end_on()
        else:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._pair.begun:
            self.other.transport.write(data)
        else:  # uvloop begins to read although it was told to pause
            self._held.append(data)

    def pause_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.ended and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        self.ended = True
        if self._pair.begun:
            self._pass_end_on()
        return True  # stay open for the other direction

    def _pass_end_on(self) -> None:
        other = self.other
        if other.ended:
            self.transport.close()
            other.transport.close()
        elif not other.lost:
            with suppress(OSError, RuntimeError):
                other.transport.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        other = self.other
        if not other.lost and other.transport is not None:
            if exc is None:
                other.transport.close()
            else:
                sock = other.transport.get_extra_info("socket")
                if sock is not None:
                    with suppress(OSError):
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                other.transport.abort()
        self._pair.side_lost()
