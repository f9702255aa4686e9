"""The server that an APIService leads to, as this server reaches it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from socket import socket
from typing import Any

from hyperkube_apiserver.aggregation.identity import AGGREGATOR, identity_headers
from hyperkube_apiserver.webhooks.connections import Connections, Place
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_apiserver.webhooks.places import Places
from hyperkube_apiserver.webhooks.trust import BadBundle, context_for
from hyperkube_machinery.client.connection import Exchange
from hyperkube_machinery.client.transport import Outgoing, Unreachable
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.exchange import Peer
from hyperkube_machinery.tls import client_context

__all__ = ["Backend", "ProxyCertificate", "Said"]

Tree = dict[str, Any]

_MOST_BYTES = 64 << 20
"""Of a document that tells what a server serves; those of the largest API servers have some megabytes."""


@dataclass(frozen=True, slots=True)
class ProxyCertificate:
    """What this server shows the others, who believe what its headers say of users."""

    certificate_pem: bytes = b""
    key_pem: bytes = b""


@dataclass(frozen=True, slots=True)
class Said:
    """What a server answered to this server itself."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class Backend:
    """Asks one server. What leads to it, and how it is trusted, are those of one APIService's spec."""

    def __init__(self, spec: Tree, places: Places, certificate: Callable[[], ProxyCertificate], clock: Clock) -> None:
        service = spec["service"]
        self.namespace, self.name, self.port = service["namespace"], service["name"], int(service.get("port") or 443)
        self.spec = spec
        self._places = places
        self._certificate = certificate
        self._clock = clock
        self._opening = asyncio.Lock()
        self._shown: ProxyCertificate | None = None
        self._connections: Connections | None = None

    async def begin(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes = b"", *, repeatable: bool
    ) -> Exchange:
        """Send a request; its answer, once the head is there. Raises CallFailed."""
        connections = await self._open()
        return await connections.begin(Outgoing(method, target, headers, body), repeatable=repeatable)

    async def get(self, target: str, *, accept: str, known_tag: str = "", seconds: float, masters: bool = True) -> Said:
        """Ask for a document as this server itself. Raises CallFailed.

        Not all documents are asked for as a member of system:masters, as upstream doesn't.
        """
        identity = identity_headers(AGGREGATOR)
        headers = [("accept", accept), *(identity if masters else identity[:1])]
        if known_tag:
            headers.append(("if-none-match", known_tag))
        try:
            return await within(self._clock, seconds, self._whole(target, headers))
        except TimeoutError as exc:
            raise CallFailed("context deadline exceeded") from exc

    def __str__(self) -> str:
        return f"service/{self.name} in {self.namespace}"

    @property
    def service(self) -> tuple[str, str]:
        """Namespace and name of the service."""
        return self.namespace, self.name

    def address(self) -> str:
        """One host and port that the service leads to, as it stands in a URL. Raises CallFailed."""
        host, port = self._places.address(self.namespace, self.name, self.port)
        return Peer(host, port).authority

    async def peer(self) -> tuple[Peer, socket | None]:
        """Whom to connect to apart from the connections that are kept, and a connection where there is one already.

        Raises CallFailed.
        """
        tls, place = await self._context(self._certificate()), await self._place()
        return Peer(place.host, place.port, tls, self._host), place.connected

    def hang_up(self) -> None:
        """Close the connections that nothing is asked on: the next request makes a new one."""
        if self._connections is not None:
            self._connections.close()

    @property
    def _host(self) -> str:
        return f"{self.name}.{self.namespace}.svc"

    async def _whole(self, target: str, headers: Sequence[tuple[str, str]]) -> Said:
        exchange = await self.begin("GET", target, headers, repeatable=True)
        parts, size = [], 0
        try:
            while piece := await exchange.read():
                size += len(piece)
                if size > _MOST_BYTES:
                    raise CallFailed(f"the answer is larger than {_MOST_BYTES} bytes")
                parts.append(piece)
        except Unreachable as exc:
            raise CallFailed(str(exc)) from exc
        finally:
            exchange.close()
        return Said(exchange.status, exchange.headers, b"".join(parts))

    async def _open(self) -> Connections:
        """The connections, made anew when the certificate is another."""
        shown = self._certificate()
        if self._connections is not None and shown == self._shown:
            return self._connections
        async with self._opening:
            if self._connections is None or shown != self._shown:
                tls = await self._context(shown)
                self.hang_up()
                self._connections = Connections(self._place, tls, self._host, self._host, self._clock)
                self._shown = shown
            return self._connections

    async def _context(self, shown: ProxyCertificate) -> ssl.SSLContext:
        if self.spec.get("insecureSkipTLSVerify"):
            make = partial(
                client_context, certificate_pem=shown.certificate_pem, key_pem=shown.key_pem, trusts_anybody=True
            )
        else:
            bundle = self.spec.get("caBundle") or ""
            make = partial(context_for, bundle, shown.certificate_pem, shown.key_pem)
        try:
            return await asyncio.to_thread(make)  # the system's authorities take long to read
        except BadBundle as exc:
            raise CallFailed(str(exc)) from exc

    async def _place(self) -> Place:
        return await self._places.behind(self.namespace, self.name, self.port)
