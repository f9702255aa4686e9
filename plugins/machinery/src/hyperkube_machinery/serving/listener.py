"""Accepting connections, no more than can be served."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hyperkube_machinery.serving.connection import HTTPConnection
from hyperkube_machinery.serving.limits import Limits
from hyperkube_machinery.serving.plain import refuse_plain

__all__ = ["Listener", "bind"]

log = logging.getLogger(__name__)

_ACCEPTS = 64
"""Connections taken in one turn of the loop."""

_TLS_SHUTDOWN_SECONDS = 2.0
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


async def bind(host: str, port: int, *, backlog: int) -> list[socket.socket]:
    """Listening sockets, one for each address of `host`, all on one port. Raises OSError that names the address."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        raise OSError(exc.errno, f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            chosen = (address[0], port or _port_of(sockets), *address[2:])
            sockets.append(_listen(family, chosen, backlog))
    except OSError as exc:
        for sock in sockets:
            sock.close()
        raise OSError(exc.errno, f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    return sockets


def _port_of(sockets: Sequence[socket.socket]) -> int:
    return int(sockets[0].getsockname()[1]) if sockets else 0


def _listen(family: int, address: tuple[str | int, ...], backlog: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_REUSEPORT"):  # elsewhere, on Windows, it would let two servers share a port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        sock.bind(address)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


@dataclass(frozen=True, slots=True)
class _Opening:
    """A connection that may still be in its handshake."""

    sock: socket.socket
    connection: HTTPConnection
    began: float  # on the monotonic clock

    def hang_up(self) -> None:
        """Let the handshake fail as if the client had gone: cancelled, it can leave a transport open."""
        if not self.connection.made:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


class Listener:
    """Turns what knocks at some listening sockets into connections, of which it counts those in their handshake.

    The loop's own servers can't bound either, and call the protocol only once the handshake is over.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        connect: Callable[[str], HTTPConnection],
        *,
        limits: Limits,
        ssl_context: ssl.SSLContext | None,
        now: Callable[[], float],
        connections: Callable[[], int],
    ) -> None:
        self._sockets = list(sockets)
        self._connect = connect
        self._limits = limits
        self._ssl_context = ssl_context
        self._now = now
        self._connections = connections
        self._opening: dict[asyncio.Task[None], _Opening] = {}
        self._accepting = False
        self.failed_handshakes = 0
        self._loop = asyncio.get_running_loop()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [sock.getsockname()[:2] for sock in self._sockets]

    @property
    def handshakes(self) -> int:
        """How many connections are being opened."""
        return len(self._opening)

    def start(self) -> None:
        for sock in self._sockets:
            sock.setblocking(False)
        self.adjust()

    def adjust(self) -> None:
        """Accept while there is room; to be called when a connection has gone."""
        room = self._has_room()
        if room is self._accepting:
            return
        self._accepting = room
        for sock in self._sockets:
            if room:
                self._loop.add_reader(sock, self._accept, sock)
            else:
                self._loop.remove_reader(sock)

    def _has_room(self) -> bool:
        opening = len(self._opening)
        return opening < self._limits.handshakes and self._connections() + opening < self._limits.connections

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS):
            try:
                sock, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno not in _OUT_OF_FILES:
                    raise
                log.error("cannot accept connections: %s", exc.strerror)
                self._pause()
                return
            connection = self._connect(str(address[0]) if address else "")
            task = self._loop.create_task(self._open(sock, connection))
            self._opening[task] = _Opening(sock, connection, self._now())
            task.add_done_callback(self._opened)
            if not self._has_room():
                self._pause()
                return

    def _pause(self) -> None:
        self._accepting = False
        for sock in self._sockets:
            self._loop.remove_reader(sock)

    async def _open(self, sock: socket.socket, connection: HTTPConnection) -> None:
        tls = self._ssl_context
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except BaseException:
            sock.close()
            raise
        try:
            if tls is not None:
                await refuse_plain(sock)
            await self._loop.connect_accepted_socket(
                lambda: connection,
                sock,
                ssl=tls,
                # The sweep is first.
                ssl_handshake_timeout=None if tls is None else 2 * self._limits.handshake_seconds + 60,
                ssl_shutdown_timeout=None if tls is None else _TLS_SHUTDOWN_SECONDS,
            )
        except BaseException as exc:
            # uvloop closes a connection that is cancelled just as its protocol was told of it, and doesn't tell it.
            connection.connection_lost(None)
            if not isinstance(exc, OSError):
                raise
            self.failed_handshakes += 1
            if isinstance(exc, ssl.SSLCertVerificationError):
                log.warning("refused the client certificate of %s: %s", connection.peer_address, exc.verify_message)
            else:
                log.debug("TLS handshake with %s failed: %s", connection.peer_address, exc)

    def _opened(self, task: asyncio.Task[None]) -> None:
        del self._opening[task]
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("cannot serve a connection", exc_info=exc)
        if self._sockets:
            self.adjust()

    def check(self, now: float) -> None:
        """Give up on handshakes that take too long, and try again where files had run out."""
        for opening in self._opening.values():
            if now - opening.began >= self._limits.handshake_seconds:
                opening.hang_up()
        if self._sockets:
            self.adjust()

    async def close(self) -> None:
        """Close the listening sockets, and connections whose handshake isn't over."""
        self._pause()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        for opening in self._opening.values():
            opening.hang_up()
        if self._opening:
            await asyncio.wait(list(self._opening))
