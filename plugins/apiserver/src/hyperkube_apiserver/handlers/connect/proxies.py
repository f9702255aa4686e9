"""Requests passed on whole: to pods, services and nodes, with what makes links and redirects lead back here.

Source: k8s.io/apimachinery/pkg/util/proxy, net/http/httputil (ReverseProxy).
"""

from __future__ import annotations

import asyncio
import posixpath
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlsplit

from hyperkube_apiserver.call import Call
from hyperkube_apiserver.handlers.connect.links import LONGEST_PAGE_BYTES, rewritten_page
from hyperkube_apiserver.handlers.connect.logs import passed_on
from hyperkube_apiserver.handlers.connect.streams import Connector
from hyperkube_apiserver.handlers.connect.targets import Targets
from hyperkube_apiserver.handlers.connect.upgrades import (
    asks_for_upgrade,
    forwarded_for,
    upgraded,
    without_identity,
)
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.exchange import ExchangeError, Peer, exchange
from hyperkube_machinery.serving.messages import Answer, Request, Response, StreamingResponse

__all__ = ["Proxies", "answer_headers", "forwardable"]

_SMALL_BYTES = 64 << 10
_PATH_CHARACTERS = "$&+,/:;=@-_.~"
# Of one connection, not of what is said on it.
_HOP_BY_HOP = frozenset(
    {
        *("connection", "proxy-connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te"),
        *("trailer", "transfer-encoding", "upgrade"),
    }
)
_CORS = frozenset(f"access-control-allow-{word}" for word in ("credentials", "headers", "methods", "origin"))


@dataclass(frozen=True, slots=True)
class Proxies:
    """Answers requests below `proxy` of pods, services and nodes."""

    targets: Targets
    connector: Connector

    async def __call__(self, call: Call, now: str) -> Answer:
        """What the other server answers."""
        info, request = call.info, call.request
        path = _path(call)
        kind = {"pods": "Pod", "services": "Service", "nodes": "Node"}[info.resource]
        await self.connector.admit(call, now, f"{kind}ProxyOptions", {"path": path} if path else {})
        peer = await self._peer(call)
        if asks_for_upgrade(request):
            return await upgraded(
                request, peer, quote(path, _PATH_CHARACTERS), connected=await self._connected(call, peer)
            )
        if request.path.endswith("/") and not path.endswith("/"):
            path += "/"
        if not path and request.method in ("GET", "HEAD"):
            location = f"{request.path}/?{request.query}" if request.query else f"{request.path}/"
            return Response(301, b"", content_type="", headers=[("Location", location)])
        return await self._passed_on(request, peer, path, await self._connected(call, peer))

    async def _peer(self, call: Call) -> Peer:
        info = call.info
        match info.resource:
            case "nodes":
                return await self.targets.node(info.name)
            case "services":
                return await self.targets.service(call.namespace, info.name)
        return await self.targets.pod(call.namespace, info.name)

    async def _connected(self, call: Call, peer: Peer) -> socket.socket | None:
        if call.info.resource == "nodes":
            return None
        try:
            return await self.targets.connected(peer)
        except ExchangeError as exc:
            raise APIError.of(503, "ServiceUnavailable", f"error trying to reach service: {exc}") from exc

    async def _passed_on(self, request: Request, peer: Peer, path: str, connected: socket.socket | None) -> Answer:
        host = request.headers.get("host", "")
        suffix = path + "/" if request.path.endswith("/") and not path.endswith("/") else path
        prefix = request.path.removesuffix(suffix)
        target = quote(path, _PATH_CHARACTERS) or "/"
        forwarded = posixpath.join(prefix, target.lstrip("/"))
        headers = [
            *forwardable(request),
            ("X-Forwarded-Uri", forwarded),
            ("X-Forwarded-Host", host),
            ("X-Forwarded-Proto", "https"),
            ("Connection", "close"),
        ]
        if request.query:
            target += f"?{request.query}"
        try:
            answer = await exchange(peer, request.method, target, headers, request.body, connected=connected)
        except ExchangeError as exc:
            raise APIError.of(503, "ServiceUnavailable", f"error trying to reach service: {exc}") from exc
        kept = answer_headers(answer.headers)
        content_type = answer.header("content-type")
        redirects = False
        for index, (name, value) in enumerate(kept):
            if name.lower() == "location" and value:
                redirects = True
                kept[index] = (name, _rewritten(value, prefix, peer, host))
        if request.method == "HEAD":  # nobody knows how long a body would be
            return StreamingResponse(passed_on(answer), answer.status, content_type, kept)
        is_page = content_type.partition(";")[0].strip() == "text/html" and not redirects
        most = LONGEST_PAGE_BYTES if is_page else _SMALL_BYTES
        if (answer.length is None and not is_page) or (answer.length or 0) > most:
            return StreamingResponse(passed_on(answer), answer.status, content_type, kept)
        pieces, parts = answer.pieces(), []
        try:
            async for piece in pieces:
                parts.append(piece)
                if sum(map(len, parts)) > most:
                    return StreamingResponse(passed_on(answer, parts, pieces), answer.status, content_type, kept)
        except ExchangeError as exc:
            answer.close()
            raise APIError.of(503, "ServiceUnavailable", f"error trying to reach service: {exc}") from exc
        answer.close()
        body = b"".join(parts)
        if is_page:
            encoding = answer.header("content-encoding")
            rewrite = partial(_rewritten, prefix=prefix, peer=peer, host=host)
            # In a thread, for it may take longer than others should wait.
            page = await asyncio.to_thread(rewritten_page, body, encoding, rewrite)
            body = body if page is None else page
        return Response(answer.status, body, content_type, kept)


def _path(call: Call) -> str:
    """What follows `proxy` in the path, cleaned, with its last slash."""
    path = "/".join(call.info.rest)
    if path:
        path = f"/{path}"
    if call.request.path.endswith("/") and not path.endswith("/"):
        path += "/"
    if not path:
        return ""
    cleaned = posixpath.normpath(path)
    cleaned = "/" + cleaned.lstrip("/")
    return f"{cleaned}/" if path.endswith("/") and not cleaned.endswith("/") else cleaned


def forwardable(request: Request) -> Iterable[tuple[str, str]]:
    """The client's headers, without who it is here and what is between it and this server."""
    named = {name.strip().lower() for name in request.headers.get("connection", "").split(",")}
    for name, value in without_identity(request):
        if name not in _HOP_BY_HOP and name not in named and name not in ("content-length", "x-forwarded-for"):
            yield name, value
    yield "X-Forwarded-For", forwarded_for(request)


def answer_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers of an answer that are for the client; its type and length are told otherwise."""
    dropped = _HOP_BY_HOP | _CORS | {"content-type", "content-length", "date"}
    headers = list(headers)
    for name, value in headers:
        if name.lower() == "connection":
            dropped |= {one.strip().lower() for one in value.split(",")}
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def _rewritten(location: str, prefix: str, peer: Peer, host: str) -> str:
    """Where a redirect leads to, seen from the client: through here as well, unless it leads to another server."""
    try:
        url = urlsplit(location)
    except ValueError:
        return location
    if (url.netloc and url.netloc not in (peer.authority, host)) or not url.path.startswith("/"):
        return location
    path = url.path
    if not path.startswith(prefix):
        joined = posixpath.normpath(f"{prefix}/{path}")
        path = f"{joined}/" if path.endswith("/") else joined
    return url._replace(scheme="https", netloc=host, path=path).geturl()
