"""The event loop that servers run on."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import sys

__all__ = ["new_event_loop"]

_TLS_BUFFER_BYTES = 16 * 1024
"""One TLS record. asyncio's loop reserves 256 KiB a connection, idle or not."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's loop where it can be imported, asyncio's selector loop elsewhere.

    For asyncio's loop it lowers what this process's TLS connections reserve: `SSLProtocol.max_size`, which belongs to
    the class.
    """
    try:
        import uvloop
    except ImportError:
        return _asyncio_loop()
    return uvloop.new_event_loop()


def _asyncio_loop() -> asyncio.AbstractEventLoop:
    asyncio.sslproto.SSLProtocol.max_size = _TLS_BUFFER_BYTES
    if sys.platform == "win32":
        # The proactor can't watch a listening socket.
        return asyncio.SelectorEventLoop()
    return asyncio.new_event_loop()
