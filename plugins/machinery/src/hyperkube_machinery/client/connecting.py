"""From what a kubeconfig says to a client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from hyperkube_machinery.client.client import Client
from hyperkube_machinery.client.http import HTTPTransport
from hyperkube_machinery.client.local import LocalServer, LocalTransport
from hyperkube_machinery.client.requests import Requester
from hyperkube_machinery.client.transport import Transport
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.exchange import Peer
from hyperkube_machinery.kubeconfig import Access, KubeconfigError
from hyperkube_machinery.ratelimit import TokenBucket

__all__ = ["connect"]

_PORTS = {"https": 443, "http": 80}


@asynccontextmanager
async def connect(
    access: Access,
    *,
    clock: Clock,
    user_agent: str,
    local: LocalServer | None = None,
    qps: float = 0,
    burst: int = 0,
) -> AsyncIterator[Client]:
    """A client for the length of the block, which asks at most `qps` times a second (0: no limit), `burst` at once.

    `local` is used where it is the server that `access` names. Nothing is sent before the first request. Raises
    KubeconfigError for an address that is none, and CertificateError for certificates that can't be used.
    """
    address = _parsed(access.server)
    async with _transport(access, address, clock, local) as transport:
        headers = [("user-agent", user_agent)]
        if access.token:
            headers.append(("authorization", f"Bearer {access.token}"))
        limiter = TokenBucket(qps, burst, clock)
        yield Client(
            Requester(
                transport, server=access.server, headers=headers, limiter=limiter, clock=clock, prefix=address.prefix
            )
        )


@asynccontextmanager
async def _transport(
    access: Access, address: _Address, clock: Clock, local: LocalServer | None
) -> AsyncIterator[Transport]:
    if local is not None and _parsed(local.address) == address:
        inside = LocalTransport(local, certificate_pem=access.certificate_pem, key_pem=access.key_pem)
        try:
            yield inside
        finally:
            await inside.close()
        return
    peer = Peer(address.host, address.port, access.ssl_context() if address.scheme == "https" else None)
    async with HTTPTransport(peer, clock, server_name=access.server_name).running() as outside:
        yield outside


@dataclass(frozen=True, slots=True)
class _Address:
    scheme: str
    host: str
    port: int
    prefix: str  # of paths, without a slash at its end


def _parsed(server: str) -> _Address:
    """Source: k8s.io/client-go/rest/url_utils.go"""
    url = urlsplit(server if "://" in server else f"http://{server}")
    try:
        port = url.port
    except ValueError:
        port = 0
    if url.scheme not in _PORTS or not url.hostname or port == 0 or url.query or url.fragment:
        raise KubeconfigError(f"the server {server!r} is no address of one: give it as https://HOST:PORT")
    return _Address(url.scheme, url.hostname, port or _PORTS[url.scheme], url.path.rstrip("/"))
