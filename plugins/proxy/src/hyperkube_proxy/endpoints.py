"""What the proxy serves by HTTP about itself.

Source: k8s.io/kubernetes/cmd/kube-proxy/app (serveMetrics), k8s.io/kubernetes/pkg/proxy/healthcheck.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from hyperkube_core import SettingsError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.serving.exposition import exposed
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.messages import Handler, Request, Response
from hyperkube_proxy.healthcheck import Health
from hyperkube_proxy.instruments import Instruments
from hyperkube_proxy.options import split_address

__all__ = ["about", "health", "serving"]

log = logging.getLogger(__name__)


def health(state: Health, instruments: Instruments) -> Handler:
    """/healthz and /livez."""

    def answer(request: Request) -> Response:
        if request.path not in ("/healthz", "/livez"):
            return _not_found()
        found = state.answer(request.path)
        instruments.answered(request.path, found.status)
        return found

    return answer


def about(instruments: Instruments, config: Mapping[str, Any], mode: Callable[[], str]) -> Handler:
    """/metrics, /proxyMode, /configz and a /healthz that says that the process is there."""

    def answer(request: Request) -> Response | Awaitable[Response]:
        match request.path:
            case "/healthz":
                return _text("ok")
            case "/proxyMode":
                return _text(mode())
            case "/configz":
                return Response(200, encode({"kubeproxy.config.k8s.io": config}))
            case "/metrics":
                return exposed(instruments.registry, request)
        return _not_found()

    return answer


def _text(text: str) -> Response:
    return Response(200, text.encode(), content_type="text/plain; charset=utf-8")


def _not_found() -> Response:
    return Response(404, b"404 page not found\n", content_type="text/plain; charset=utf-8")


@asynccontextmanager
async def serving(
    handler: Handler, clock: Clock, address: str, *, flag: str, default_port: int, must: bool
) -> AsyncIterator[None]:
    """Serve `handler` at `address` for the length of the block; nowhere where that is "".

    Raises SettingsError that names `flag` where it `must` and can't; else it is said in the log.
    """
    if not address:
        yield
        return
    host, port = split_address(address, default_port)
    server = HTTPServer(handler, clock=clock)
    try:
        await server.start(host, port)
    except OSError as exc:
        if must:
            raise SettingsError(flag, f"flag --{flag}", f"{exc.strerror}; choose another") from exc
        log.error("%s; going on without (see --%s)", exc.strerror, flag)
        yield
        return
    log.info("serving %s on http://%s:%d", flag.removesuffix("-bind-address"), host, server.port)
    try:
        yield
    finally:
        await server.close()
