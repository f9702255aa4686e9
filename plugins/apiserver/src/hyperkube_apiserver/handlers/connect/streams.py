"""Connections that leave HTTP, passed on to kubelets byte by byte: exec, attach and port forwarding.

What is spoken on them, SPDY or WebSockets, is the kubelet's and the client's.
Source: k8s.io/kubernetes/pkg/registry/core/pod/rest, k8s.io/apimachinery/pkg/util/proxy (UpgradeAwareHandler).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, cast
from urllib.parse import urlencode

from hyperkube_apiserver.authz import Authorizer, require_create
from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.handlers.connect.targets import Targets, container_of
from hyperkube_apiserver.handlers.write import write_context
from hyperkube_apiserver.parameters import WriteOptions, flag, parse_int64
from hyperkube_apiserver.registry.attributes import Operation
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.exchange import Exchange, ExchangeError, Peer, exchange
from hyperkube_machinery.serving.messages import Answer, Request, Response, Upgrade

__all__ = [
    "STREAMED_METHODS",
    "Connector",
    "Streams",
    "asks_for_upgrade",
    "forwarded_for",
    "upgraded",
    "without_identity",
]

STREAMED_METHODS = ("GET", "POST")

_MOST_ERROR_BYTES = 1 << 20
_PIECE_BYTES = 64 << 10
_OPTIONS = {"exec": "PodExecOptions", "attach": "PodAttachOptions", "portforward": "PodPortForwardOptions"}
_FLAGS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
"""What kubelets call what clients ask for."""


@dataclass(frozen=True, slots=True)
class Connector:
    """What must be passed before anything is passed on."""

    resources: Mapping[str, Served]  # of the core group, by name
    authorizer: Authorizer

    async def admit(self, call: Call, now: str, kind: str, options: dict[str, Any]) -> None:
        """Ask admission. Raises APIError."""
        info = call.info
        registry = self.resources[info.resource].registry
        context = write_context(call, now, WriteOptions(), subresource=info.subresource)
        tree = {"kind": kind, "apiVersion": "v1", **options}
        attributes = registry.attributes(Operation.CONNECT, info.name, context, tree)
        await registry.admission.admit(attributes)
        await registry.admission.validate(attributes)

    def check_create(self, call: Call) -> None:
        """Whoever opens a stream needs the right to create it, even if a GET asks for it. Raises 403."""
        info = call.info
        if info.verb != "create":
            require_create(self.authorizer, call.identity, info)


@dataclass(frozen=True, slots=True)
class Streams:
    """Answers exec, attach and portforward."""

    targets: Targets
    connector: Connector

    async def __call__(self, call: Call, now: str) -> Answer:
        """The kubelet's connection for the client's."""
        info, query = call.info, call.query
        options: dict[str, Any] = {}
        if info.subresource == "portforward":
            ports = [parse_int64(part) for text in query.get("ports", ()) for part in text.split(",")]
            options = {"ports": ports} if ports else {}
        else:
            options = {field: True for field in _FLAGS if flag(query, field)}
            options |= {"container": query["container"][0]} if query.get("container") else {}
            if info.subresource == "exec" and query.get("command"):
                options["command"] = query["command"]
        await self.connector.admit(call, now, _OPTIONS[info.subresource], options)
        self.connector.check_create(call)
        pod = await self.targets.get("pods", call.namespace, info.name)
        container = ""
        if info.subresource != "portforward":
            container = container_of(pod, options.get("container", ""))
        node = pod["spec"].get("nodeName") or ""
        if not node:
            raise APIError.bad_request(f"pod {info.name} does not have a host assigned")
        peer = await self.targets.kubelet(node)
        path = f"/{info.subresource}/{call.namespace}/{info.name}/{container}"
        if info.subresource == "portforward":
            path = f"/portForward/{call.namespace}/{info.name}"
        parameters = sorted(_parameters(options), key=itemgetter(0))  # the words of a command stay in order
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        if not asks_for_upgrade(call.request):
            raise APIError.bad_request("Upgrade request required")
        return await upgraded(call.request, peer, target)


def _parameters(options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((told, "1") for field, told in _FLAGS.items() if options.get(field))
    yield from (("command", word) for word in options.get("command", ()))
    if options.get("ports"):
        yield "port", ",".join(map(str, options["ports"]))


def asks_for_upgrade(request: Request) -> bool:
    return "upgrade" in request.headers.get("connection", "").lower()


def without_identity(request: Request) -> Iterator[tuple[str, str]]:
    """The client's headers without those that say who it is to this server."""
    for name, value in request.headers.items():
        if name != "authorization" and not name.startswith("impersonate-"):
            yield name, value


def forwarded_for(request: Request) -> str:
    """Who asks, behind those who ask for others."""
    before, peer = request.headers.get("x-forwarded-for", ""), request.connection.peer_address
    return f"{before}, {peer}" if before else peer


async def upgraded(request: Request, peer: Peer, target: str, *, connected: socket.socket | None = None) -> Answer:
    """Ask `peer` for another protocol, and let the client speak it with it. What it refuses with is passed on.

    `connected`: a connection to it that is there already.
    """
    headers = [(name, value) for name, value in without_identity(request) if name != "x-forwarded-for"]
    headers.append(("X-Forwarded-For", forwarded_for(request)))
    try:
        answer = await exchange(peer, request.method, target or "/", headers, connected=connected)
    except ExchangeError as exc:
        raise APIError.of(500, "", f"error dialing backend: {exc}") from exc
    if answer.status == 101:
        kept = [(name, value) for name, value in answer.headers if name.lower() not in ("connection", "date")]
        return Upgrade(lambda: Bridge(answer), kept)
    try:
        if answer.status < 400:
            raise APIError.of(500, "", f"invalid upgrade response: status code {answer.status}")
        body = await answer.body(_MOST_ERROR_BYTES)
    except ExchangeError as exc:
        raise APIError.of(500, "", f"error dialing backend: {exc}") from exc
    finally:
        answer.close()
    return Response(answer.status, body, answer.header("content-type"))


class Bridge(asyncio.Protocol):
    """The client's end of a connection whose other end is a kubelet's: what comes on one goes out on the other.

    Each waits for the other where it reads more slowly; the end of one is the end of both.
    """

    def __init__(self, answer: Exchange) -> None:
        self._answer = answer
        self._writable = asyncio.Event()
        self._writable.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = cast("asyncio.Transport", transport)
        self._start(self._copy_back())

    def data_received(self, data: bytes) -> None:
        writer = self._answer.writer
        writer.write(data)
        if not self._draining and writer.transport.get_write_buffer_size() > _PIECE_BYTES:
            self._draining = True
            self._client.pause_reading()
            self._start(self._drain())

    def eof_received(self) -> bool:
        return False  # closes the client's end, which ends the other

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._answer.close()
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self) -> None:
        with suppress(OSError):
            await self._answer.writer.drain()
            self._client.resume_reading()
        self._draining = False

    async def _copy_back(self) -> None:
        try:
            with suppress(OSError):  # an end as any other
                while data := await self._answer.reader.read(_PIECE_BYTES):
                    self._client.write(data)
                    await self._writable.wait()
        finally:
            self._client.close()
