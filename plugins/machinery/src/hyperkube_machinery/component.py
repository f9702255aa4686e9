"""What every server beside the API server shows of itself, over HTTPS, to who may see it.

    /healthz /livez /readyz   whether it works, check by check
    /metrics /metrics/slis    what it counts
    /configz                  what it was configured to do

    request ─→ authenticate ─→ authorize ─→ one of these

Source: k8s.io/kubernetes/cmd/kube-scheduler/app/server.go, k8s.io/component-base/configz
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from hyperkube_machinery import tls
from hyperkube_machinery.builtin import CONFIG_MAPS
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.delegation import DelegatedAuthenticator, DelegatedAuthorizer
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.identity import Identity
from hyperkube_machinery.informers import Informer
from hyperkube_machinery.quoting import quoted
from hyperkube_machinery.serving.exposition import exposed
from hyperkube_machinery.serving.health import TEXT, Check, Health
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.messages import Answer, Request, Response
from hyperkube_machinery.serving.metrics import Registry

__all__ = ["Component", "Serving", "showing"]

log = logging.getLogger(__name__)

Tree: TypeAlias = dict[str, Any]
Page: TypeAlias = Callable[[Request], Awaitable[Answer]]

_AUTHENTICATION = "extension-apiserver-authentication"  # in kube-system: what servers beside the API server need
_HEALTH = ("healthz", "livez", "readyz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Where and as whom a server shows itself."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any that is free
    certificate: Path | None = None  # with its key; without, one is made that nobody can verify
    key: Path | None = None
    client_ca: Path | None = None  # without, that of the cluster is looked up
    token_seconds: float = 10.0
    allowed_seconds: float = 10.0
    denied_seconds: float = 10.0
    always_paths: tuple[str, ...] = ("/healthz", "/readyz", "/livez")


@asynccontextmanager
async def showing(
    serving: Serving,
    *,
    clock: Clock,
    client: Client | None,
    registry: Registry,
    checks: Mapping[str, Mapping[str, Check]] | None = None,
    config: Mapping[str, Tree] | None = None,
    pages: Mapping[str, Page] | None = None,
) -> AsyncIterator[Component]:
    """Show a server for the length of the block.

    `client` is who asks the API server about those who ask here; without, only `always_paths` and who has a certificate
    of `system:masters` are answered. `checks` are told of by endpoint: `healthz`, `livez` and `readyz`; `config` at
    /configz; `pages` are what else there is, by path.
    Raises OSError where nothing can listen there, and CertificateError for certificates that can't be used.
    """
    context = _context(serving, now=clock.now())
    component = Component(
        DelegatedAuthenticator(client, clock, seconds=serving.token_seconds),
        DelegatedAuthorizer(
            client,
            clock,
            allowed_seconds=serving.allowed_seconds,
            denied_seconds=serving.denied_seconds,
            always_paths=serving.always_paths,
        ),
        registry,
        checks or {},
        config or {},
        pages or {},
    )
    server = HTTPServer(component.answer, clock=clock, ssl_context=context)
    async with companions() as beside, server.listening(serving.host, serving.port):
        if serving.client_ca is None and client is not None:
            beside.start(_authorities(client, clock, context).follow())
        component.port = server.port
        yield component


class Component:
    """What is shown; `answer` is the handler of its server."""

    def __init__(
        self,
        authenticator: DelegatedAuthenticator,
        authorizer: DelegatedAuthorizer,
        registry: Registry,
        checks: Mapping[str, Mapping[str, Check]],
        config: Mapping[str, Tree],
        pages: Mapping[str, Page],
    ) -> None:
        self.port = 0
        self._authenticator = authenticator
        self._authorizer = authorizer
        slis = Registry()
        self._metrics = {"/metrics": registry, "/metrics/slis": slis}
        self._health = Health({name: {"ping": _ping, **(checks.get(name) or {})} for name in _HEALTH}, slis)
        self._config = dict(config)
        self._pages = dict(pages)

    def configure(self, name: str, config: Tree) -> None:
        """Tell of `config` at /configz from now on."""
        self._config[name] = config

    async def answer(self, request: Request) -> Answer:
        identity = await self._authenticator.authenticate(request)
        await self._authorize(identity, request)
        path = request.path
        if path in self._metrics:
            return await exposed(self._metrics[path], request)
        if path == "/configz":
            return Response(200, encode(self._config))
        page = self._pages.get(path)
        if page is not None:
            return await page(request)
        healthy = await self._health.answer(path, parse_qs(request.query, keep_blank_values=True))
        return healthy or Response(404, b"404 page not found\n", TEXT, (("X-Content-Type-Options", "nosniff"),))

    async def _authorize(self, identity: Identity, request: Request) -> None:
        """Raises APIError."""
        verb, path = request.method.lower(), request.path
        try:
            decision = await self._authorizer.authorize(
                identity, {"nonResourceAttributes": {"path": path, "verb": verb}}
            )
        except (APIError, ClientError, TimeoutError) as exc:
            log.error("cannot find out whether %s may %s %s: %s", identity.name, verb, path, exc)
            raise APIError.internal("the API server can't be asked whether you may") from exc
        if not decision.allowed:
            why = f"User {quoted(identity.name)} cannot {verb} path {quoted(path)}"
            reason = f": {decision.reason}" if decision.reason else ""
            raise APIError.of(403, "Forbidden", f"forbidden: {why}{reason}", {})


async def _ping() -> None:
    return None


def _context(serving: Serving, *, now: float) -> ssl.SSLContext:
    if serving.certificate is not None and serving.key is not None:
        return tls.server_context(serving.certificate, serving.key, client_ca_path=serving.client_ca)
    # As upstream without --cert-dir: encrypted, but nobody can tell who serves.
    authority = tls.create_ca(f"{serving.host}-ca@{int(now)}", now=now)
    pair = tls.issue_serving_certificate(
        authority, f"{serving.host}@{int(now)}", ["localhost", serving.host, "127.0.0.1"], now=now
    )
    with TemporaryDirectory(prefix="hk-") as folder:
        certificate, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
        tls.save(pair, certificate, key)
        return tls.server_context(certificate, key, client_ca_path=serving.client_ca)


def _authorities(client: Client, clock: Clock, context: ssl.SSLContext) -> Informer:
    """Lets `context` trust the authorities that the cluster says its clients have, as soon as that is known."""

    def learn(_: Tree | None, new: Tree | None) -> None:
        pem = ((new or {}).get("data") or {}).get("client-ca-file")
        if not pem:
            return
        try:
            context.load_verify_locations(cadata=pem)
        except (ssl.SSLError, ValueError) as exc:
            log.error("configmap kube-system/%s: client-ca-file can't be read: %s", _AUTHENTICATION, exc)
        else:
            context.verify_mode = ssl.CERT_OPTIONAL

    informer = Informer(client, clock, CONFIG_MAPS, namespace="kube-system", fields=f"metadata.name={_AUTHENTICATION}")
    informer.on_change(learn)
    return informer
