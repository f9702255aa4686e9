"""The machine's log files, as Go's file server shows a folder. Source: net/http (FileServer), Kubelet.ServeLogs."""

from __future__ import annotations

import asyncio
import html
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

from hyperkube_machinery.serving.messages import Answer, BodyWriter, Request, Response, StreamingResponse

__all__ = ["LOGS", "log_file"]

LOGS = Path("/var/log")
_PIECE = 64 << 10
_HTML = "text/html; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"
_NOT_FOUND = b"404 page not found\n"


async def log_file(request: Request, root: Path = LOGS) -> Answer:
    """What is asked for below `/logs/`: a file, or the names in a folder."""
    if request.method not in ("GET", "HEAD"):
        return Response(405, b"405: Method Not Allowed", _TEXT)
    named = request.path.removeprefix("/logs")
    if "\0" in named or ".." in named.split("/"):
        return Response(400, b"invalid URL path", _TEXT)
    path = root / named.strip("/")
    try:
        mode = (await asyncio.to_thread(path.stat)).st_mode
        if stat.S_ISDIR(mode):
            if not request.path.endswith("/"):
                return Response(301, b"", _TEXT, (("Location", f"{path.name if named.strip('/') else 'logs'}/"),))
            return Response(200, await asyncio.to_thread(_listing, path), _HTML)
        if not stat.S_ISREG(mode):
            return Response(404, _NOT_FOUND, _TEXT)
        await asyncio.to_thread(_try, path)
    except FileNotFoundError:
        return Response(404, _NOT_FOUND, _TEXT)
    except PermissionError:
        return Response(403, b"403 Forbidden\n", _TEXT)
    except OSError:
        return Response(500, b"500 Internal Server Error\n", _TEXT)

    if request.method == "HEAD":
        return Response(200, b"", _TEXT)

    async def produce(body: BodyWriter) -> None:
        async for piece in _pieces(path):
            body.send(piece)
            await body.drain()

    return StreamingResponse(produce, 200, _TEXT)


def _try(path: Path) -> None:
    """Raises OSError where a file can't be read."""
    os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def _listing(folder: Path) -> bytes:
    names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in os.scandir(folder))
    lines = [f'<a href="{quote(name)}">{html.escape(name)}</a>' for name in names]
    head = '<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>'
    return "\n".join((head, *lines, "</pre>", "")).encode()


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    """All that there is when it begins; what is written meanwhile is for the next to ask."""
    file = await asyncio.to_thread(path.open, "rb")
    try:
        left = (await asyncio.to_thread(os.fstat, file.fileno())).st_size
        while left > 0 and (piece := await asyncio.to_thread(file.read, min(left, _PIECE))):
            left -= len(piece)
            yield piece
    finally:
        file.close()
