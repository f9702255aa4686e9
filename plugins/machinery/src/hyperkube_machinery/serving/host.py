"""The server, as its connections know it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from hyperkube_machinery.serving.heads import Heads
from hyperkube_machinery.serving.limits import Limits
from hyperkube_machinery.serving.messages import Handler

if TYPE_CHECKING:
    from hyperkube_machinery.serving.connection import HTTPConnection

__all__ = ["Host"]


class Host(Protocol):
    """What a connection asks of its server, and tells it."""

    handler: Handler
    limits: Limits
    heads: Heads
    now: float  # the monotonic clock at the last sweep
    draining: bool
    read_buffer: memoryview

    def opened(self, connection: HTTPConnection) -> None: ...

    def lost(self, connection: HTTPConnection) -> None: ...

    def own(self, task: asyncio.Task[None]) -> None:
        """Keep `task` and wait for it when the server closes."""
