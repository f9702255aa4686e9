"""What goes wrong is told as what it is."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hyperkube_core import SettingsError
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_scheduler.configuration import Configuration
from hyperkube_scheduler.options import Options
from hyperkube_scheduler.server import _shown

pytestmark = pytest.mark.anyio


async def test_what_fails_while_it_serves_is_not_blamed_on_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        context = cast(Any, SimpleNamespace(options=Options(secure_port=port), clock=VirtualClock()))

        def shown() -> Any:
            return _shown(context, Configuration(), cast(Any, None), Registry(), asyncio.Event())

        with pytest.raises(SettingsError, match="choose another port"):
            async with shown():
                pass
    with pytest.raises(OSError, match="no space left"):
        async with shown():
            raise OSError("no space left")
