"""What every controller is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hyperkube_controller_manager.options import Options
from hyperkube_machinery.client import Client
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.events import EventRecorder
from hyperkube_machinery.informers import Informers
from hyperkube_machinery.workqueue import WorkQueueMetrics

__all__ = ["ControllerContext"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerContext:
    """What `async def run(context)` of a controller works with; it runs until it is cancelled.

    It begins by asking `informers` for what it reads, then waits for `synced()`, then works.
    """

    name: str  # the controller's
    client: Client  # with the controller's own identity, if it has one
    reader: Client  # with the server's identity and no limit, for what `informers` are not for
    informers: Informers  # shared by all controllers, running, and read with the server's identity
    recorder: EventRecorder  # its events are from this controller
    clock: Clock
    options: Options
    metrics: WorkQueueMetrics
    root_ca: str  # PEM: the authorities that the API server is believed by
    begun: Callable[[], None]  # called once by `synced`; the server is ready when all controllers have begun

    async def synced(self) -> None:
        """Wait until every informer that was asked for holds what there is, and say that this controller has begun."""
        await self.informers.synced()
        self.begun()
