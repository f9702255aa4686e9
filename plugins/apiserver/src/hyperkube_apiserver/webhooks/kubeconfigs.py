"""Webhooks that a kubeconfig names: reviews are sent to the very address of its cluster, as its user.

Source: k8s.io/apiserver/pkg/util/webhook/webhook.go, k8s.io/client-go/tools/clientcmd.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hyperkube_apiserver.webhooks.answers import read_answer, retry_seconds
from hyperkube_apiserver.webhooks.caller import duration_text
from hyperkube_apiserver.webhooks.connections import Connections, Place
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_machinery.client.credentials import Credentials
from hyperkube_machinery.client.transport import Outgoing, RawResponse
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.kubeconfig import Access, KubeconfigError, read

if TYPE_CHECKING:
    from pathlib import Path

    from hyperkube_machinery.clock import Clock

__all__ = ["KubeconfigWebhook"]

Tree = dict[str, Any]

_TRIES = 5
_FIRST_PAUSE_SECONDS = 0.5
_LONGER = 1.5
_JITTER = 0.2
_AGAIN = frozenset((429, 500, 504))
_PORTS = {"https": 443, "http": 80}
_HEADERS = (("accept", "application/json, */*"), ("content-type", "application/json"), ("user-agent", "kube-apiserver"))


class KubeconfigWebhook:
    """One server that reviews are sent to, until one is answered; what is transient is tried again a few times."""

    def __init__(
        self,
        access: Access,
        clock: Clock,
        *,
        timeout_seconds: float,
        says_timeout: bool = False,
        first_pause_seconds: float = _FIRST_PAUSE_SECONDS,
        chance: Callable[[], float] = random,
    ) -> None:
        """`timeout_seconds` are for each try; `says_timeout`: its address tells them.

        After `first_pause_seconds` the second try begins, and others ever later.

        Raises KubeconfigError and CertificateError for what can't be used.
        """
        url = urlsplit(access.server)
        if url.scheme not in _PORTS or not url.hostname:
            raise KubeconfigError(
                f"the server {access.server!r} is no address of one: give it as https://HOST:PORT/PATH"
            )
        self._access = access
        self._clock = clock
        self._seconds = timeout_seconds
        self._pause = first_pause_seconds
        self._chance = chance
        self._credentials = Credentials(access, clock)
        self._place = Place(url.hostname, url.port or _PORTS[url.scheme])
        self._authority = url.netloc.rpartition("@")[2]
        self._secure = url.scheme == "https"
        self._target = url.path or "/"
        if says_timeout:
            self._target += f"?timeout={duration_text(timeout_seconds)}"
        self._shown = f"{url.scheme}://{self._authority}{self._target}"
        self._certificate = self._credentials.certificate
        self._connections = self._connect()

    @classmethod
    def read(
        cls, path: Path, clock: Clock, *, timeout_seconds: float, first_pause_seconds: float = _FIRST_PAUSE_SECONDS
    ) -> KubeconfigWebhook:
        """That of the kubeconfig at `path`. Raises KubeconfigError and CertificateError."""
        return cls(read(path), clock, timeout_seconds=timeout_seconds, first_pause_seconds=first_pause_seconds)

    async def ask(self, review: Tree) -> Tree:
        """The object that the webhook answers to `review`. Raises CallFailed."""
        pause = self._pause
        for _ in range(_TRIES - 1):
            try:
                return await self._once(review)
            except CallFailed as exc:
                if exc.code not in _AGAIN and not isinstance(exc.__cause__, ConnectionResetError):
                    raise
            await self._clock.sleep(pause * (1 + _JITTER * self._chance()))
            pause *= _LONGER
        return await self._once(review)

    async def send(self, tree: Tree) -> None:
        """Send `tree` to a server that answers nothing of interest, again if need be, whatever the reason.

        Raises CallFailed.
        """
        pause = self._pause
        for tries_left in reversed(range(_TRIES)):
            try:
                response = await self._respond(tree)
                if not 200 <= response.status <= 206:
                    read_answer(response.status, response.headers, response.body, tree)
                return
            except CallFailed:
                if not tries_left:
                    raise
            await self._clock.sleep(pause * (1 + _JITTER * self._chance()))
            pause *= _LONGER

    def close(self) -> None:
        """Hang up."""
        self._connections.close()

    async def _once(self, review: Tree) -> Tree:
        return self._read(await self._respond(review), review)

    async def _respond(self, review: Tree) -> RawResponse:
        headers = self._credentials.known() or await self._credentials.find()
        if self._credentials.certificate != self._certificate:  # it was renewed
            self._connections.close()
            self._connections = self._connect()
        request = Outgoing("POST", self._target, (*_HEADERS, *headers), encode(review))
        try:
            return await within(self._clock, self._seconds, self._connections.ask(request))
        except TimeoutError as exc:
            why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            raise CallFailed(f'Post "{self._shown}": {why}', code=504) from exc
        except CallFailed as exc:
            raise CallFailed(f'Post "{self._shown}": {exc}', code=exc.code) from exc

    def _read(self, response: RawResponse, review: Tree) -> Tree:
        if response.status == 401:
            self._credentials.refused()
        if retry_seconds(response.status, response.headers) is not None:
            raise CallFailed("the server asks to be asked again later", code=429)
        return read_answer(response.status, response.headers, response.body, review)

    def _connect(self) -> Connections:
        self._certificate = certificate, key = self._credentials.certificate
        tls = None
        if self._secure:
            access = self._access
            tls = Access(
                server=access.server,
                ca_pem=access.ca_pem,
                insecure=access.insecure,
                certificate_pem=certificate,
                key_pem=key,
            ).ssl_context()
            tls.hostname_checks_common_name = False
        name = self._access.server_name or self._place.host
        return Connections(self._locate, tls, name, self._authority, self._clock)

    async def _locate(self) -> Place:
        return self._place
