"""Streams for clients whose protocol the kubelet doesn't speak, or the runtime behind it.

    commands    v5.channel.k8s.io on a WebSocket  ─→  v4.channel.k8s.io over SPDY
    ports       SPDY in a WebSocket               ─→  SPDY

A node says in `status.declaredFeatures` whether its kubelet does that itself.
Source: k8s.io/apiserver/pkg/util/proxy (StreamTranslatorHandler, TunnelingHandler).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from hyperkube_apiserver.handlers.connect.upgrades import refused_upgrade, upgrade_headers
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError, failure
from hyperkube_machinery.exchange import Exchange, ExchangeError, Peer, exchange
from hyperkube_machinery.serving.messages import Answer, Request
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.serving.websocket import WebSocket, accept, asks_for_websocket, offered_protocols
from hyperkube_machinery.streaming.channels import ended, pass_on
from hyperkube_machinery.streaming.errors import RemoteFailure, UpgradeRefused
from hyperkube_machinery.streaming.idleness import unless_idle
from hyperkube_machinery.streaming.remotecommand import remote_command
from hyperkube_machinery.streaming.sessions import Streams
from hyperkube_machinery.streaming.websocketchannels import WebSocketChannels

__all__ = ["FEATURE", "Translator"]

FEATURE = "ExtendWebSocketsToKubelet"
"""Of nodes whose kubelets need nobody to translate."""

_CLOSING = "v5.channel.k8s.io"
_TUNNEL, _ENDING = "SPDY/3.1+", ".k8s.io"
_PIECE_BYTES = 64 << 10
_IDLE_SECONDS = 4 * 3600.0
"""As upstream has it, and kubelets unless told otherwise."""
_WEBSOCKETS = ("sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions")


class Translator:
    """Speaks for clients, in tasks that end with their connections."""

    def __init__(self, clock: Clock, registry: Registry) -> None:
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._translated = registry.counter(
            "apiserver_stream_translator_requests_total",
            "[ALPHA] Commands whose WebSocket was translated, by status code.",
            ("code",),
        )
        self._tunnelled = registry.counter(
            "apiserver_stream_tunnel_requests_total",
            "[ALPHA] Requests for ports whose WebSocket was unwrapped, by status code.",
            ("code",),
        )
        self._passed = registry.counter(
            "apiserver_websocket_streaming_requests_total",
            "[ALPHA] Streams, by subresource and by who translates for clients of WebSockets.",
            ("subresource", "proxy_type"),
        )

    def count(self, subresource: str, *, here: bool) -> None:
        """Count a request, and whether what has to be translated is `here`."""
        self._passed.labels(subresource, "translated_at_apiserver" if here else "proxied_to_kubelet").inc()

    def is_for(self, request: Request, subresource: str) -> bool:
        """Whether a client speaks what has to be translated."""
        if not asks_for_websocket(request):
            return False
        offered = offered_protocols(request)
        return bool(_spdy_protocols(offered)) if subresource == "portforward" else _CLOSING in offered

    def command(self, request: Request, peer: Peer, target: str, streams: Streams) -> Answer:
        """A command's streams; what goes wrong with the kubelet is told on them. Raises APIError 400."""

        async def talk(client: WebSocket) -> None:
            await unless_idle(converse(client), lambda: client.moved, _IDLE_SECONDS, self._clock)

        async def converse(client: WebSocket) -> None:
            channels = WebSocketChannels(client)
            await channels.begin(streams)
            try:
                async with remote_command(peer, target, streams) as process:
                    status = ended(await pass_on(channels, process, streams))
                self._translated.labels("200").inc()
            except RemoteFailure as exc:
                status = dict(exc.status)
                self._translated.labels(str(status.get("code") or 500)).inc()
            except (ExchangeError, UpgradeRefused) as exc:
                status = failure(500, "InternalError", f"Internal error occurred: {_why(exc)}")
                self._translated.labels("500").inc()
            await channels.end(status)

        try:
            return accept(request, (_CLOSING,), talk, start=self._own, clock=self._clock)
        except APIError:
            self._translated.labels("400").inc()
            raise

    async def ports(self, request: Request, peer: Peer, target: str) -> Answer:
        """Ports, by the SPDY that is in the client's WebSocket. Raises APIError."""
        headers = [(name, value) for name, value in upgrade_headers(request) if name not in (*_WEBSOCKETS, "upgrade")]
        headers.append(("Upgrade", "SPDY/3.1"))
        wanted = _spdy_protocols(offered_protocols(request))
        headers += (("X-Stream-Protocol-Version", name) for name in wanted)
        try:
            answer = await exchange(peer, "POST", target, headers)
        except ExchangeError as exc:
            self._tunnelled.labels("500").inc()
            raise APIError.of(500, "", f"error dialing backend: {exc}") from exc
        self._tunnelled.labels(str(answer.status)).inc()
        if answer.status != 101:
            return await refused_upgrade(answer)
        try:
            if answer.header("upgrade").lower() != "spdy/3.1":
                raise APIError.internal("unable to upgrade: missing upgrade headers in response")
            chosen = answer.header("x-stream-protocol-version").strip()
            spoken = (f"{_TUNNEL}{chosen}",) if chosen else ()
            return accept(request, spoken, lambda client: _unwrap(client, answer), start=self._own, clock=self._clock)
        except BaseException:
            answer.close()
            raise

    def _own(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _spdy_protocols(offered: list[str]) -> list[str]:
    return [name.removeprefix(_TUNNEL) for name in offered if name.startswith(_TUNNEL) and name.endswith(_ENDING)]


def _why(exc: ExchangeError | UpgradeRefused) -> str:
    return f"error dialing backend: {exc}" if isinstance(exc, ExchangeError) else str(exc)


async def _unwrap(client: WebSocket, kubelet: Exchange) -> None:
    """Pass bytes on until either side has no more."""

    async def inward() -> None:
        async for data in client:
            kubelet.writer.write(data)
            await kubelet.writer.drain()

    async def outward() -> None:
        while data := await kubelet.reader.read(_PIECE_BYTES):
            await client.send(data)

    tasks: list[asyncio.Task[Any]] = [asyncio.ensure_future(inward()), asyncio.ensure_future(outward())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for done in await asyncio.gather(*tasks, return_exceptions=True):
            with suppress(OSError, asyncio.CancelledError):  # an end as any other
                if isinstance(done, BaseException):
                    raise done
        kubelet.close()
