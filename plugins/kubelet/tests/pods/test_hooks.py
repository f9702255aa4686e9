"""What containers want done when they start and before they stop."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from hyperkube_kubelet.pods.hooks import HookFailed, Hooks
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_machinery.testing.clock import VirtualClock

from ..builders import container, pod
from .harness import Heard

pytestmark = pytest.mark.anyio


class Asked:
    """A server in plain HTTP."""

    def __init__(self) -> None:
        self.requests: list[str] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            text = (await reader.readuntil(b"\n")).decode("latin-1")
            if text.startswith("GET"):
                self.requests.append(text + (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            else:
                writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent nonsense.\n")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()


async def test_a_hook_by_tls_falls_back_to_plain_http_without_its_credentials() -> None:
    server, heard = Asked(), Heard()
    async with await asyncio.start_server(server.accept, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        headers = [{"name": "Authorization", "value": "secret"}, {"name": "X", "value": "y"}]
        hook: dict[str, Any] = {"path": "/up", "port": port, "scheme": "HTTPS", "httpHeaders": headers}
        made = pod(hostNetwork=True)
        hooks = Hooks(cast(Runtime, None), heard, VirtualClock())
        await hooks.run({"httpGet": hook}, made, container(), "c", ["127.0.0.1"])
    [request] = server.requests
    assert request.startswith("GET /up HTTP/1.1")
    assert "X: y" in request
    assert "secret" not in request
    assert heard.message("LifecycleHTTPFallback") == (
        f"request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, retry with HTTP succeeded"
    )
    with pytest.raises(HookFailed, match="connection refused"):
        await hooks.run({"httpGet": hook}, made, container(), "c", ["127.0.0.1"])
