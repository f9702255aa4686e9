"""Requests passed on to the server that an APIService names, and its answers passed back.

Source: k8s.io/kube-aggregator/pkg/apiserver (handler_proxy.go), k8s.io/apimachinery/pkg/util/proxy.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from hyperkube_apiserver.aggregation.backend import Backend
from hyperkube_apiserver.aggregation.identity import identity_headers, without_claims
from hyperkube_apiserver.call import Call
from hyperkube_apiserver.handlers.connect.proxies import answer_headers, forwardable
from hyperkube_apiserver.handlers.connect.upgrades import asks_for_upgrade, upgrade_headers, upgraded
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_machinery.client.connection import Exchange
from hyperkube_machinery.client.transport import Outgoing, Unreachable
from hyperkube_machinery.serving.messages import Answer, BodyWriter, Request, Response, StreamingResponse

__all__ = ["pass_on", "unavailable"]

_PATH_CHARACTERS = "$&+,/:;=@-_.~"
_TEXT = "text/plain; charset=utf-8"
_SMALL_BYTES = 256 << 10
_REDIRECT_REFUSED = b"the backend attempted to redirect this request, which is not permitted"


def unavailable(text: str = "service unavailable") -> Response:
    """The answer where nobody is there to pass a request on to."""
    return Response(503, f"{text}\n".encode(), _TEXT, (("X-Content-Type-Options", "nosniff"),))


async def pass_on(call: Call, backend: Backend, *, follows_redirects: bool = False) -> Answer:
    """What the other server answers to `call`."""
    request, target = call.request, _target(call.request)
    claims = identity_headers(call.identity)
    try:
        if asks_for_upgrade(request):
            peer, connected = await backend.peer()
            headers = [*without_claims(upgrade_headers(request)), *claims]
            return await upgraded(request, peer, target, headers=headers, connected=connected)
        headers = [*without_claims(forwardable(request)), *_whence(request), *claims]
        repeatable = Outgoing(request.method, target).replayable
        exchange = await backend.begin(request.method, target, headers, request.body, repeatable=repeatable)
    except CallFailed as exc:
        return Response(503, f"error trying to reach service: {exc}".encode(), _TEXT)
    return await _passed_back(request, exchange, follows_redirects=follows_redirects)


def _target(request: Request) -> str:
    path = quote(request.path, _PATH_CHARACTERS)
    return f"{path}?{request.query}" if request.query else path


def _whence(request: Request) -> Iterable[tuple[str, str]]:
    yield "X-Forwarded-Uri", quote(request.path, _PATH_CHARACTERS)
    yield "X-Forwarded-Host", request.headers.get("host", "")
    yield "X-Forwarded-Proto", "https"


async def _passed_back(request: Request, exchange: Exchange, *, follows_redirects: bool) -> Answer:
    headers = answer_headers(exchange.headers.items())
    content_type = exchange.headers.get("content-type", "")
    if 300 <= exchange.status <= 399 and exchange.headers.get("location") and not follows_redirects:
        exchange.close()
        return Response(502, _REDIRECT_REFUSED, _TEXT)
    length = exchange.headers.get("content-length", "")
    short = length.isascii() and length.isdigit() and int(length) <= _SMALL_BYTES
    if request.method == "HEAD" or not short:
        return StreamingResponse(_Producer(exchange), exchange.status, content_type, headers)
    parts = []
    try:
        while piece := await exchange.read():
            parts.append(piece)
    except Unreachable as exc:
        return Response(503, f"error trying to reach service: {exc}".encode(), _TEXT)
    finally:
        exchange.close()
    return Response(exchange.status, b"".join(parts), content_type, headers)


class _Producer:
    """Writes an answer to the client as it comes, as fast as the client reads."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __call__(self, body: BodyWriter) -> None:
        try:
            while piece := await self._exchange.read():
                body.send(piece)
                await body.drain()
        except Unreachable:
            raise ConnectionResetError from None  # the client must not take what it got for all there is
        finally:
            self._exchange.close()
