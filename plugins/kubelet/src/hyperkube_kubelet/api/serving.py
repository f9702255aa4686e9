"""Where the kubelet's API is served: over HTTPS to whom the API server vouches for, and its health in plain HTTP.

Source: ListenAndServeKubeletServer in k8s.io/kubernetes/pkg/kubelet/server, InitializeTLS in cmd/kubelet/app/server.go.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from urllib.parse import parse_qs

from hyperkube_core import SettingsError
from hyperkube_kubelet.api.handler import KubeletAPI, Pods, ReadOnlyAPI
from hyperkube_kubelet.api.permissions import Asked
from hyperkube_kubelet.api.systemlogs import log_file
from hyperkube_kubelet.certificates.issuing import Wanted
from hyperkube_kubelet.certificates.metrics import count_server
from hyperkube_kubelet.certificates.renewal import Renewal
from hyperkube_kubelet.certificates.serving import Files, ServingContext, own_certificate
from hyperkube_kubelet.certificates.store import PairStore
from hyperkube_kubelet.configuration.showing import shown
from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.options import Options, settings_of
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_machinery import tls
from hyperkube_machinery.certificaterequests import KUBELET_SERVING
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.delegation import DelegatedAuthenticator, DelegatedAuthorizer
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.identity import Identity
from hyperkube_machinery.serving.exposition import exposed
from hyperkube_machinery.serving.health import TEXT, Check, Health
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.messages import Answer, Request, Response
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.serving.process import register_process

__all__ = ["api_served"]

log = logging.getLogger(__name__)

_DEBUGGING = ("attach", "containerLogs", "exec", "portForward", "runningpods")
"""What --enable-debugging-handlers is about. Source: InstallDebuggingDisabledHandlers."""


@asynccontextmanager
async def api_served(
    options: Options,
    facts: NodeFacts,
    pods: Pods,
    runtime: Runtime,
    *,
    client: Client | None,
    clock: Clock,
    checks: Mapping[str, Check],
    registry: Registry,
    figures: Callable[[Request], Awaitable[Answer | None]],
) -> AsyncIterator[int]:
    """Serve for the length of the block, entered with the port that was got; 0 where none is served.

    `figures` answers what is asked of usage.

    Raises SettingsError, which names the flag that keeps it from that.
    """
    plain_health, health = Health({"healthz": {"ping": _ping}}), Health({"healthz": {"ping": _ping, **checks}})
    async with AsyncExitStack() as stack:
        if options.healthz_port:
            plain = HTTPServer(lambda request: _healthy(plain_health, request), clock=clock)
            with _blamed("healthz-port"):
                await stack.enter_async_context(plain.listening(options.healthz_bind_address, options.healthz_port))
        if not options.enable_server:
            yield 0
            return
        with _blamed("tls-cert-file"):
            context = await stack.enter_async_context(_secured(options, facts, client, clock, registry))
        register_process(registry)
        config = encode({"kubeletconfig": shown(settings_of(options))})

        async def open_to_all(request: Request) -> Answer | None:
            """What is served on --read-only-port as well. Source: InstallAuthNotRequiredHandlers"""
            if request.path == "/metrics":
                return await exposed(registry, request)
            if (answer := await figures(request)) is not None:
                return answer
            return await health.answer(request.path, parse_qs(request.query, keep_blank_values=True))

        async def other(request: Request) -> Answer | None:
            if not options.enable_debugging_handlers and request.path.split("/")[1] in _DEBUGGING:
                return Response(405, b"Debug endpoints are disabled.\n", TEXT)
            if request.path == "/configz":
                return Response(200, config)
            if request.path == "/logs" or request.path.startswith("/logs/"):
                if not options.enable_system_log_handler:
                    return Response(405, b"logs endpoint is disabled.\n", TEXT)
                return await log_file(request)
            return await open_to_all(request)

        api = KubeletAPI(
            *(pods, runtime, clock),
            check=_Guard(options, facts.name, client, clock).check,
            other=other,
            idle_seconds=options.streaming_connection_idle_timeout,
        )
        stack.push_async_callback(api.close)
        server = HTTPServer(api, clock=clock, ssl_context=context)
        with _blamed("port"):
            await stack.enter_async_context(server.listening(options.address, options.port))
        if options.read_only_port:
            reading = ReadOnlyAPI(pods, open_to_all)
            with _blamed("read-only-port"):
                await stack.enter_async_context(
                    HTTPServer(reading, clock=clock).listening(options.address, options.read_only_port)
                )
        yield server.port


async def _ping() -> None:
    return None


async def _healthy(health: Health, request: Request) -> Answer:
    found = await health.answer(request.path, parse_qs(request.query, keep_blank_values=True))
    return found or Response(404, b"404 page not found\n", TEXT)


@contextmanager
def _blamed(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, tls.CertificateError) as exc:
        raise SettingsError(name, f"flag --{name}", _why(exc)) from exc


def _why(exc: OSError | tls.CertificateError) -> str:
    if not isinstance(exc, OSError) or exc.strerror is None:
        return str(exc)
    return f"{exc.filename}: {exc.strerror}" if exc.filename else f"{exc.strerror}; choose another port"


@asynccontextmanager
async def _secured(
    options: Options, facts: NodeFacts, client: Client | None, clock: Clock, registry: Registry
) -> AsyncIterator[ssl.SSLContext]:
    """What connections are made with, kept up to date for the length of the block."""
    assert options.cert_dir is not None, "the options fill it in"
    certificate, key = options.tls_cert_file, options.tls_private_key_file
    store = PairStore(options.cert_dir, "kubelet-server")
    asks = options.rotate_server_certificates and client is not None and certificate is None
    if asks:
        certificate, key = store.current, store.current
    elif certificate is None or key is None:
        certificate, key = own_certificate(options.cert_dir, [facts.name, *facts.ips], now=clock.now())
    assert key is not None, "the options know of none without the other"
    files = Files(certificate=certificate, key=key, client_ca=options.client_ca_file)
    serving = ServingContext(files, version=options.tls_min_version, suites=options.tls_cipher_suites, waits=asks)
    async with companions(serving.follow(clock)) as beside:
        if asks:
            assert client is not None
            wanted = Wanted(
                node=facts.name, signer=KUBELET_SERVING, usage="server auth", names=(facts.name, *facts.ips)
            )
            renewal = Renewal(store, lambda: wanted, clock, pair=store.load(), renewed=lambda _: serving.reload())
            count_server(registry, renewal)
            beside.start(renewal.run(client))
        yield serving.context


class _Guard:
    """Lets in who is known and may."""

    def __init__(self, options: Options, node: str, client: Client | None, clock: Clock) -> None:
        self._node = node
        self._asks = options.authorization_mode != "AlwaysAllow"
        self._authenticator = DelegatedAuthenticator(
            client if options.authentication_token_webhook else None,
            clock,
            seconds=options.authentication_token_webhook_cache_ttl,
            anonymous=options.anonymous_auth,
        )
        self._authorizer = DelegatedAuthorizer(
            client,
            clock,
            allowed_seconds=options.authorization_webhook_cache_authorized_ttl,
            denied_seconds=options.authorization_webhook_cache_unauthorized_ttl,
            always_paths=(),
        )

    async def check(self, request: Request, what: Asked) -> None:
        """Raises APIError 401, 403, or 500 where it can't be found out."""
        identity = await self._authenticator.authenticate(request)
        if not self._asks:
            return
        try:
            if await self._may(identity, what):
                return
        except (APIError, ClientError, TimeoutError) as exc:
            log.error("cannot find out whether %s may: %s", identity.name, exc)
            raise APIError.internal(
                f"Authorization error (user={identity.name}, verb={what.verb}, resource=nodes)"
            ) from exc
        listed = " ".join(what.subresources)
        raise APIError.of(
            403,
            "Forbidden",
            f"Forbidden (user={identity.name}, verb={what.verb}, resource=nodes, subresource(s)=[{listed}])\n",
        )

    async def _may(self, identity: Identity, what: Asked) -> bool:
        for subresource in what.subresources:
            attributes = {
                "verb": what.verb,
                "version": "v1",
                "resource": "nodes",
                "subresource": subresource,
                "name": self._node,
            }
            if (await self._authorizer.authorize(identity, {"resourceAttributes": attributes})).allowed:
                return True
        return False
