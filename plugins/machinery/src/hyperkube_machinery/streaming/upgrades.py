"""Asks another server to speak SPDY on a connection.

Source: k8s.io/streaming/pkg/httpstream/spdy (SpdyRoundTripper).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import orjson

from hyperkube_machinery.exchange import Exchange, ExchangeError, Peer, exchange
from hyperkube_machinery.serving.spdy.connection import SPDY, speaking
from hyperkube_machinery.streaming.errors import UpgradeRefused

__all__ = ["speaking_spdy_with"]

_NAME = "SPDY/3.1"
_PIECE_BYTES = 256 << 10
_MOST_ERROR_BYTES = 64 << 10


class Wire:
    """The bytes behind an upgrade that was granted. Fits SPDY's `Channel`."""

    def __init__(self, answer: Exchange) -> None:
        self._reader, self._writer = answer.reader, answer.writer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with suppress(OSError):  # an end as any other
            while data := await self._reader.read(_PIECE_BYTES):
                yield data

    async def send(self, data: bytes) -> None:
        with suppress(OSError):  # told by what is read
            self._writer.write(data)
            await self._writer.drain()

    def close(self) -> None:
        """Hang up; what the other side was too slow to take is lost."""
        transport = self._writer.transport
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            transport.close()


@asynccontextmanager
async def speaking_spdy_with(peer: Peer, target: str, protocols: Sequence[str]) -> AsyncIterator[tuple[SPDY, str]]:
    """SPDY for the length of the block, and which of `protocols` is spoken on it; "" where the server does not say.

    Raises UpgradeRefused where the server doesn't want, ExchangeError where it can't be reached.
    """
    answer = await exchange(peer, "POST", target, _headers(peer, protocols))
    if answer.status != 101 or answer.header("upgrade").lower() != _NAME.lower():
        try:
            raise await _refusal(answer)
        finally:
            answer.close()
    wire = Wire(answer)
    try:
        async with speaking(wire, client=True) as spdy:
            yield spdy, answer.header("x-stream-protocol-version").strip()
    finally:
        wire.close()


def _headers(peer: Peer, protocols: Sequence[str]) -> list[tuple[str, str]]:
    names = (("X-Stream-Protocol-Version", name) for name in protocols)
    return [
        ("Host", peer.authority),
        ("User-Agent", "hk"),
        ("Content-Length", "0"),
        ("Connection", "Upgrade"),
        ("Upgrade", _NAME),
        *names,
    ]


async def _refusal(answer: Exchange) -> UpgradeRefused:
    try:
        async with asyncio.timeout(10):  # a body that never ends is no reason to wait
            body = await answer.body(_MOST_ERROR_BYTES)
    except (ExchangeError, TimeoutError):
        body = b"unable to read error from server response"
    text = body.decode("utf-8", "replace").strip()
    with suppress(orjson.JSONDecodeError, KeyError, TypeError):
        text = str(orjson.loads(body)["message"])
    return UpgradeRefused(answer.status, f"unable to upgrade connection: {text or f'status {answer.status}'}")
