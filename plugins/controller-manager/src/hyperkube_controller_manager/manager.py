"""Running the controllers: each by its name, none of them ending unnoticed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from typing import NoReturn

from hyperkube_controller_manager.catalog import Entry
from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.identities import Connections
from hyperkube_controller_manager.options import Options
from hyperkube_core import SettingsError
from hyperkube_machinery.client import Client
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.events import EventRecorder
from hyperkube_machinery.informers import Informers
from hyperkube_machinery.serving.health import Check
from hyperkube_machinery.workqueue import WorkQueueMetrics

__all__ = ["ControllerEnded", "Progress", "run_controllers"]

log = logging.getLogger(__name__)


class ControllerEnded(Exception):
    """A controller returned or failed, which none may."""


class Progress:
    """Which controllers work by now."""

    def __init__(self, entries: Sequence[Entry], *, all_begun: Callable[[], None]) -> None:
        self.entries = tuple(entries)
        self._waiting: set[str] = set()
        self._all_begun = all_begun

    def expect_all(self) -> None:
        """From now on all are to work; before, none was expected to."""
        self._waiting = {entry.name for entry in self.entries}
        if not self._waiting:
            self._all_begun()

    def begun(self, name: str) -> None:
        log.debug("the %s has begun", name)
        self._waiting.discard(name)
        if not self._waiting:
            self._all_begun()

    def check(self, name: str) -> Check:
        """Whether that controller works, or needn't."""

        async def check() -> None:
            if name in self._waiting:
                raise RuntimeError("its caches are not synced yet")

        return check


async def run_controllers(
    entries: Sequence[Entry],
    *,
    connections: Connections,
    reader: Client,
    options: Options,
    clock: Clock,
    metrics: WorkQueueMetrics,
    root_ca: str,
    progress: Progress,
) -> NoReturn:
    """Run `entries` until cancelled. Raises ControllerEnded, and SettingsError for flags that are no use."""
    progress.expect_all()
    informers = Informers(reader, clock)
    issuer = reader if options.use_service_account_credentials else None
    async with AsyncExitStack() as stack:
        works = []
        for entry in entries:
            client = await stack.enter_async_context(connections.of(entry, issuer))
            recorder = EventRecorder(client, clock, component=entry.source)
            context = ControllerContext(
                name=entry.name,
                client=client,
                reader=reader,
                informers=informers,
                recorder=await stack.enter_async_context(recorder.running()),
                clock=clock,
                options=options,
                metrics=metrics,
                root_ca=root_ca,
                begun=partial(progress.begun, entry.name),
            )
            works.append(partial(_run, entry, context))
        await stack.enter_async_context(informers.running())
        await stack.enter_async_context(companions(*(work() for work in works)))
        await asyncio.get_running_loop().create_future()
    raise AssertionError("a future that nobody sets has a result")


async def _run(entry: Entry, context: ControllerContext) -> NoReturn:
    module, _, name = entry.target.partition(":")
    try:
        run: Callable[[ControllerContext], Awaitable[None]] = getattr(import_module(module), name)
        await run(context)
    except SettingsError:
        raise  # it names the flag
    except Exception as exc:
        raise ControllerEnded(f"the {entry.name} failed: {exc}") from exc
    raise ControllerEnded(f"the {entry.name} returned, which it must not")
