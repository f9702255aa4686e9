"""Documents of issuers, over HTTPS."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from hyperkube_apiserver.authn.oidc.provider import FetchFailed
from hyperkube_apiserver.webhooks.connections import Connections, Place
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_machinery.client.transport import Outgoing
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.tls import client_context

__all__ = ["Fetcher"]

_SECONDS = 30.0
_LARGEST = 4 << 20  # bytes
_HTTPS = 443
_SHOWN = 200


class Fetcher:
    """Fetches documents from servers of the given authorities, or of the system's; follows no redirects."""

    def __init__(self, ca_pem: bytes | None, clock: Clock) -> None:
        """Raises CertificateError."""
        if ca_pem is not None:
            client_context(ca_pem=ca_pem)  # for its errors, while the server starts
        self._ca_pem = ca_pem
        self._clock = clock
        self._tls: ssl.SSLContext | None = None

    async def __call__(self, url: str, token: str = "") -> bytes:
        """The body at `url`, which is asked for with `token`. Raises FetchFailed."""
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port or _HTTPS
        except ValueError as exc:
            raise FetchFailed(f'Get "{url}": {exc}') from exc
        if parts.scheme != "https" or not host:
            raise FetchFailed(f'Get "{url}": only URLs with https are asked')
        if self._tls is None:  # the system's authorities take long to read
            self._tls = client_context(ca_pem=self._ca_pem)
        place = Place(host, port)

        async def locate() -> Place:
            return place

        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        headers = [("accept", "*/*"), ("user-agent", "kube-apiserver")]
        if token:
            headers.append(("authorization", f"Bearer {token}"))
        connections = Connections(locate, self._tls, host, parts.netloc.rpartition("@")[2], self._clock)
        try:
            asked = connections.ask(Outgoing("GET", target, headers))
            response = await within(self._clock, _SECONDS, asked)
        except (CallFailed, TimeoutError) as exc:
            raise FetchFailed(f'Get "{url}": {exc}') from exc
        finally:
            connections.close()
        if response.status != 200:
            told = response.body[:_SHOWN].decode("utf-8", "replace")
            raise FetchFailed(f"{response.status}: {told}")
        if len(response.body) > _LARGEST:
            raise FetchFailed(f"what is at {url} is larger than {_LARGEST} bytes")
        return response.body
