"""Calls webhooks by their client configurations. Source: k8s.io/apiserver/pkg/util/webhook/client.go."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from hyperkube_apiserver.webhooks.answers import read_answer, retry_seconds
from hyperkube_apiserver.webhooks.connections import Connections, Locate, Place
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_apiserver.webhooks.places import Places
from hyperkube_apiserver.webhooks.routing import Routing
from hyperkube_apiserver.webhooks.services import Services
from hyperkube_apiserver.webhooks.trust import context_for
from hyperkube_machinery.client.credentials import Credentials, Headers
from hyperkube_machinery.client.execcommand import CommandFailed
from hyperkube_machinery.client.transport import Outgoing, RawResponse
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.remembering import Latest

if TYPE_CHECKING:
    from hyperkube_apiserver.webhooks.identities import Identities

__all__ = ["WebhookCaller"]

Tree = dict[str, Any]

_MOST_CONFIGURATIONS = 200
_MOST_TRIES = 11
"""A server that is busy may ask for ten more."""
_PORT = 443
_HEADERS = (
    ("accept", "application/json, */*"),
    ("content-type", "application/json"),
    ("user-agent", "kube-apiserver-admission"),
)
_NO_CERTIFICATE = (b"", b"")
_PATH_CHARACTERS = "$&+,/:;=@-_.~"


@dataclass(frozen=True, slots=True)
class _Webhook:
    """Where reviews are sent to, as the URL says that errors name."""

    origin: str  # https://host[:port]
    path: str
    connections: Connections
    credentials: Credentials | None = None
    certificate: tuple[bytes, bytes] = _NO_CERTIFICATE  # that connections are made with


class WebhookCaller:
    """Sends reviews to webhooks and reads what comes back; no redirects are followed.

    Connections are kept for the configurations that were used last, whichever object they stand in.
    """

    def __init__(
        self,
        services: Services,
        routing: Callable[[], Routing],
        clock: Clock,
        *,
        identities: Identities | None = None,
    ) -> None:
        """`identities` are those that webhooks are called as; without any, they are called as nobody."""
        self._places = Places(services, routing)
        self._clock = clock
        self._identities = identities
        self._webhooks: Latest[bytes, _Webhook] = Latest(_MOST_CONFIGURATIONS)
        self._contexts: Latest[tuple[str, tuple[bytes, bytes]], ssl.SSLContext] = Latest(_MOST_CONFIGURATIONS)

    async def call(self, client_config: Tree, review: Tree, timeout_seconds: float) -> Tree:
        """What the webhook of `client_config` (a `WebhookClientConfig`) answers to `review`.

        The answer is an object, of which nothing is known yet but that it is no failure. Raises CallFailed, whose text
        is what upstream has behind `failed to call webhook: `, and BadBundle for certificates that can't be read.
        """
        webhook = await self._webhook(client_config)
        target = f"{webhook.path}?timeout={duration_text(timeout_seconds)}"
        try:
            headers = (*_HEADERS, *await _identification(webhook.credentials))
        except CommandFailed as exc:
            raise CallFailed(_told(webhook, target, f"getting credentials: {exc}")) from exc
        request = Outgoing("POST", target, headers, encode(review))
        try:
            response = await within(self._clock, timeout_seconds, self._asked(webhook, request))
        except TimeoutError as exc:
            raise CallFailed(_told(webhook, target, "context deadline exceeded")) from exc
        except CallFailed as exc:
            raise CallFailed(_told(webhook, target, str(exc)), code=exc.code) from exc
        return read_answer(response.status, response.headers, response.body, review)

    def close(self) -> None:
        """Hang up everywhere."""
        for _, webhook in self._webhooks.items():
            webhook.connections.close()

    async def _asked(self, webhook: _Webhook, request: Outgoing) -> RawResponse:
        for _ in range(_MOST_TRIES - 1):
            response = await webhook.connections.ask(request)
            seconds = retry_seconds(response.status, response.headers)
            if seconds is None:
                return response
            await self._clock.sleep(seconds)
        return await webhook.connections.ask(request)

    async def _webhook(self, config: Tree) -> _Webhook:
        key = encode(config)
        found = self._webhooks.get(key)
        if found is not None and found.credentials is not None and found.credentials.certificate != found.certificate:
            found.connections.close()  # it was renewed
            found = None
        if found is None:
            found = await self._made(config)
            self._webhooks.put(key, found)
        return found

    async def _context(self, bundle: str, certificate: tuple[bytes, bytes]) -> ssl.SSLContext:
        found = self._contexts.get((bundle, certificate))
        if found is None:  # the system's authorities take long to read
            shown, secret = certificate
            found = await asyncio.to_thread(context_for, bundle, certificate_pem=shown, key_pem=secret)
            self._contexts.put((bundle, certificate), found)
        return found

    async def _made(self, config: Tree) -> _Webhook:
        origin, host, port, path, locate = self._place(config)
        credentials = self._identities.of(f"{host}:{port}") if self._identities is not None else None
        certificate = credentials.certificate if credentials is not None else _NO_CERTIFICATE
        tls = await self._context(config.get("caBundle") or "", certificate)
        authority = origin.partition("//")[2]
        connections = Connections(locate, tls, host, authority, self._clock)
        return _Webhook(origin, path, connections, credentials, certificate)

    def _place(self, config: Tree) -> tuple[str, str, int, str, Locate]:
        """Where a webhook is: its origin as errors show it, its name, port and path, and what finds it."""
        service = config.get("service")
        if service is not None:
            namespace, name = service.get("namespace") or "", service.get("name") or ""
            port = service.get("port") or _PORT
            host = f"{name}.{namespace}.svc"
            locate = partial(self._places.behind, namespace, name, port)
            return f"https://{host}:{port}", host, port, _path(service.get("path") or ""), locate
        url = config.get("url") or ""
        if not url:
            raise CallFailed("webhook configuration must have either service or URL")
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORT

        async def locate_url() -> Place:
            return Place(host, port)

        return f"{parts.scheme}://{parts.netloc}", host, port, _path(unquote(parts.path)), locate_url


async def _identification(credentials: Credentials | None) -> Headers:
    """The headers that tell who calls. Raises CommandFailed."""
    if credentials is None:
        return ()
    known = credentials.known()
    return known if known is not None else await credentials.find()


def _path(text: str) -> str:
    return quote("/" + "/".join(part for part in text.split("/") if part), _PATH_CHARACTERS)


def _told(webhook: _Webhook, target: str, why: str) -> str:
    return f'Post "{webhook.origin}{target}": {why}'


def duration_text(seconds: float) -> str:
    """So many whole seconds, rounded up, as Go writes a duration: 10s, 1m0s."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
