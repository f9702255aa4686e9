"""Which event loop servers get."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import sys

import pytest

from hyperkube_machinery.serving.loop import new_event_loop


def test_uvloop_is_used_where_it_is() -> None:
    uvloop = pytest.importorskip("uvloop")
    loop = new_event_loop()
    assert isinstance(loop, uvloop.Loop)
    loop.close()


def test_elsewhere_it_is_asyncios_with_small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.setattr(asyncio.sslproto.SSLProtocol, "max_size", 262144)
    loop = new_event_loop()
    assert isinstance(loop, asyncio.SelectorEventLoop)
    assert asyncio.sslproto.SSLProtocol.max_size == 16384
    loop.close()
