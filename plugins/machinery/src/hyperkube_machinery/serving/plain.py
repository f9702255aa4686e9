"""Plain HTTP at a port that speaks TLS: the client is told, where a failed handshake would leave it an empty reply."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

__all__ = ["refuse_plain"]

# Source: net/http/server.go, conn.serve and tlsRecordHeaderLooksLikeHTTP.
_BEGINNINGS = frozenset({b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"})
_ANSWER = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"

_BEGINNING_BYTES = 5
_DISCARDED_BYTES = 64 * 1024


async def refuse_plain(sock: socket.socket) -> None:
    """Wait for the first bytes of a non-blocking socket, and leave them there for TLS.

    Raises ConnectionError, with the socket closed, when they are a plain request, which is answered, or when none came.
    The wait has no end of its own: shutting the socket down ends it.
    """
    try:
        beginning = await _receive(sock, _BEGINNING_BYTES, socket.MSG_PEEK)
        if not beginning:
            raise ConnectionResetError("the client went before it began")
        if beginning in _BEGINNINGS:
            await _turn_away(sock)
            raise ConnectionAbortedError("client sent an HTTP request to an HTTPS server")
    except BaseException:
        sock.close()
        raise


async def _turn_away(sock: socket.socket) -> None:
    """Answer, and read on until the client hangs up: closed with bytes unread, the socket would take it back."""
    await asyncio.get_running_loop().sock_sendall(sock, _ANSWER)
    sock.shutdown(socket.SHUT_WR)
    while await _receive(sock, _DISCARDED_BYTES):
        pass


async def _receive(sock: socket.socket, count: int, flags: int = 0) -> bytes:
    """`loop.sock_recv` knows no flags, and asyncio's doesn't let others have their turn while there is more to read."""
    while True:
        await _readable(sock)
        with suppress(BlockingIOError, InterruptedError):
            return sock.recv(count, flags)


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock, _wake, readable)
    try:
        await readable
    finally:
        loop.remove_reader(sock)


def _wake(readable: asyncio.Future[None]) -> None:
    """The loop may call it again before the waiting task has its turn."""
    if not readable.done():
        readable.set_result(None)
