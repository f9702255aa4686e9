"""Servers for the tests of serving, on both event loops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.limits import Limits
from hyperkube_machinery.serving.messages import Handler, Request, Response
from hyperkube_machinery.testing.clock import VirtualClock


@pytest.fixture(params=[pytest.param(False, id="asyncio"), pytest.param(True, id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param:
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def echo(request: Request) -> Response:
    """Tell what was asked."""
    return Response(200, f"{request.method} {request.path}?{request.query} ".encode() + request.body)


@pytest.fixture
def serve(clock: VirtualClock) -> Callable[..., AbstractAsyncContextManager[HTTPServer]]:
    """`serve(handler, limits=…, ssl_context=…)`: a server for the length of a block."""

    @asynccontextmanager
    async def serving(handler: Handler = echo, **options: Any) -> AsyncIterator[HTTPServer]:
        options.setdefault("limits", Limits())
        async with HTTPServer(handler, clock=clock, **options).listening() as server:
            yield server

    return serving
