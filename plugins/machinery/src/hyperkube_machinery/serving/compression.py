"""Answers in gzip, made in a thread: what is worth compressing takes longer than others should wait."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from dataclasses import replace

from hyperkube_machinery.serving.messages import Response

__all__ = ["accepts_gzip", "body_size", "compressed"]

_LEVEL = 1
"""Source: k8s.io/apiserver/pkg/endpoints/handlers/responsewriters: the others take far longer for little less."""
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_IN_THREAD_BYTES = 16 * 1024


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client takes gzip. As upstream's, this knows no weights but a refusal."""
    if "gzip" not in accept_encoding:
        return False
    for token in accept_encoding.split(","):
        coding, _, weight = token.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def body_size(body: bytes | Sequence[bytes]) -> int:
    """Bytes of a body, whole or in chunks."""
    return len(body) if isinstance(body, bytes) else sum(map(len, body))


async def compressed(response: Response) -> Response:
    """`response` with its body in gzip."""
    body = response.body
    if body_size(body) <= _IN_THREAD_BYTES:
        packed = _gzip(body)
    else:
        packed = await asyncio.to_thread(_gzip, body)
    headers = [*response.headers, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
    return replace(response, body=packed, headers=headers)


def _gzip(body: bytes | Sequence[bytes]) -> Sequence[bytes]:
    """zlib lets go of Python's lock while it compresses a chunk."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    packed = [packer.compress(chunk) for chunk in ((body,) if isinstance(body, bytes) else body)]
    packed.append(packer.flush())
    return [chunk for chunk in packed if chunk]
