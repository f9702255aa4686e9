"""From what a kubeconfig says to a client."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from hyperkube_machinery.client.client import Client
from hyperkube_machinery.client.credentials import Credentials
from hyperkube_machinery.client.http import HTTPTransport
from hyperkube_machinery.client.local import LocalServer
from hyperkube_machinery.client.metrics import ClientMetrics
from hyperkube_machinery.client.nearest import NearestTransport
from hyperkube_machinery.client.requests import Requester
from hyperkube_machinery.client.transport import Transport
from hyperkube_machinery.clock import Clock
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
    metrics: ClientMetrics | None = None,
    credentials: Credentials | None = None,
) -> AsyncIterator[Client]:
    """A client for the length of the block, which asks at most `qps` times a second (0: no limit), `burst` at once.

    `local` is used where it is the server that `access` names, until it closes; `credentials` go before those of
    `access`. Nothing is sent before the first request. Raises KubeconfigError for an address that is none, and
    CertificateError for certificates that can't be used.
    """
    address = _parsed(access.server)
    credentials = credentials or Credentials(access, clock)
    async with _transport(access, address, clock, local) as transport:
        yield Client(
            Requester(
                transport,
                credentials,
                server=access.server,
                host=address.authority,
                prefix=address.prefix,
                user_agent=user_agent,
                limiter=TokenBucket(qps, burst, clock),
                clock=clock,
                meter=metrics.of(address.authority) if metrics is not None else None,
            )
        )


@asynccontextmanager
async def _transport(
    access: Access, address: _Address, clock: Clock, local: LocalServer | None
) -> AsyncIterator[Transport]:
    certificate = (access.certificate_pem, access.key_pem)

    def context(certificate_pem: bytes, key_pem: bytes) -> ssl.SSLContext | None:
        if address.scheme != "https":
            return None
        return replace(access, certificate_pem=certificate_pem, key_pem=key_pem).ssl_context()

    outside = HTTPTransport(address.host, address.port, context, clock, server_name=access.server_name)
    way = outside if local is None or _parsed(local.address) != address else NearestTransport(local, outside)
    way.show(*certificate)
    async with way.running():
        yield way


@dataclass(frozen=True, slots=True)
class _Address:
    scheme: str
    host: str
    port: int
    prefix: str  # of paths, without a slash at its end

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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
