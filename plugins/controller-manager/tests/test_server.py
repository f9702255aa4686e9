"""What goes wrong is told as what it is."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hyperkube_controller_manager.manager import Progress
from hyperkube_controller_manager.options import Options
from hyperkube_controller_manager.server import _shown
from hyperkube_core import SettingsError
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio


async def test_what_fails_while_it_serves_is_not_blamed_on_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        context = cast(Any, SimpleNamespace(options=Options(secure_port=port), clock=VirtualClock()))

        def shown() -> Any:
            return _shown(context, cast(Any, None), Registry(), Progress((), all_begun=lambda: None))

        with pytest.raises(SettingsError, match="choose another port"):
            async with shown():
                pass
    with pytest.raises(OSError, match="no space left"):
        async with shown():
            raise OSError("no space left")
