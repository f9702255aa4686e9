"""Whether a URL answers: enough of an HTTP client to learn that a program of somebody else's is ready."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from hyperkube_core._clock import Clock

FIRST_SECONDS = 0.05
LIMIT_SECONDS = 1.0


async def answers(url: str) -> bool:
    """Whether a GET is answered with a status below 400. Certificates are not verified, as in the kubelet's probes."""
    parts = urlsplit(url)
    context = None
    if parts.scheme == "https":
        import ssl

        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    host = parts.hostname or "localhost"
    port = parts.port or (443 if context else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
    except OSError:
        return False
    try:
        request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: hk\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        version, _, rest = (await reader.readline()).partition(b" ")
        status = rest[:3]
        return version.startswith(b"HTTP/") and status.isdigit() and 100 <= int(status) < 400
    except (OSError, ValueError):
        return False
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def until_answers(url: str, clock: Clock) -> None:
    """Return once `url` answers; each question may take as long as the pause before the next."""
    seconds = FIRST_SECONDS
    while True:
        asked = asyncio.ensure_future(answers(url))
        pause = asyncio.ensure_future(clock.sleep(max(seconds, LIMIT_SECONDS)))
        try:
            await asyncio.wait({asked, pause}, return_when=asyncio.FIRST_COMPLETED)
            if asked.done() and asked.result():
                return
        finally:
            for task in (asked, pause):
                task.cancel()
            await asyncio.gather(asked, pause, return_exceptions=True)
        await clock.sleep(seconds)
        seconds = min(seconds * 2, LIMIT_SECONDS)
