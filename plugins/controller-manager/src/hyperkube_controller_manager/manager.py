"""Running the controllers: each by its name, none of them ending unnoticed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from importlib import import_module
from typing import NoReturn, Protocol

from hyperkube_controller_manager.catalog import Entry
from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.options import Options
from hyperkube_machinery.client import Client
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.events import EventRecorder
from hyperkube_machinery.informers import Informers
from hyperkube_machinery.workqueue import WorkQueueMetrics

__all__ = ["ControllerEnded", "Identities", "run_controllers"]

log = logging.getLogger(__name__)


class ControllerEnded(Exception):
    """A controller returned or failed, which none may."""


class Identities(Protocol):
    """Who controllers are to the API server."""

    def client(self, entry: Entry) -> AbstractAsyncContextManager[Client]:
        """A client for the controller, for the length of the block."""


async def run_controllers(
    entries: Sequence[Entry],
    *,
    identities: Identities,
    reader: Client,
    options: Options,
    clock: Clock,
    metrics: WorkQueueMetrics,
    root_ca: str,
    begun: Callable[[], None],
) -> NoReturn:
    """Run `entries` until cancelled; `begun` is called once all of them work. Raises ControllerEnded."""
    informers = Informers(reader, clock)
    waiting = {entry.name for entry in entries}

    def one_begun(name: str) -> None:
        waiting.discard(name)
        log.debug("the %s has begun", name)
        if not waiting:
            begun()

    async with AsyncExitStack() as stack:
        contexts: dict[str, ControllerContext] = {}
        for entry in entries:
            client = await stack.enter_async_context(identities.client(entry))
            recorder = await stack.enter_async_context(EventRecorder(client, clock, component=entry.source).running())
            contexts[entry.name] = ControllerContext(
                name=entry.name,
                client=client,
                reader=reader,
                informers=informers,
                recorder=recorder,
                clock=clock,
                options=options,
                metrics=metrics,
                root_ca=root_ca,
                begun=partial(one_begun, entry.name),
            )
        await stack.enter_async_context(informers.running())
        if not entries:
            begun()
        await stack.enter_async_context(companions(*(_run(entry, contexts[entry.name]) for entry in entries)))
        await asyncio.get_running_loop().create_future()
    raise AssertionError("unreachable")


async def _run(entry: Entry, context: ControllerContext) -> NoReturn:
    module, _, name = entry.target.partition(":")
    try:
        run: Callable[[ControllerContext], Awaitable[None]] = getattr(import_module(module), name)
        await run(context)
    except Exception as exc:
        raise ControllerEnded(f"the {entry.name} failed: {exc}") from exc
    raise ControllerEnded(f"the {entry.name} returned, which it must not")
