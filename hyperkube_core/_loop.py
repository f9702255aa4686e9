"""The event loop of a run, and its end, which nothing that ignores the end may hold up."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from hyperkube_core._bodies import abandoned
from hyperkube_core._registry import import_from

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from hyperkube_core._server import Server

LEFTOVER_SECONDS = 2.0
"""How long tasks and threads that servers left behind may take to end. On the machine's clock: nothing runs any more
that a virtual one could belong to."""

_never_collected: list[asyncio.Future[Any]] = []


def new_event_loop(servers: Iterable[Server]) -> asyncio.AbstractEventLoop:
    """The loop that the first server to declare one declares, asyncio's otherwise. Raises PluginLoadError."""
    for server in servers:
        if server.event_loop:
            factory: Callable[[], asyncio.AbstractEventLoop] = import_from(server.event_loop, server.name)
            return factory()
    return asyncio.new_event_loop()


def run_until_complete(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, None]) -> None:
    """Run `main`, then end the loop. Unlike asyncio.run it does not wait for ever for what refuses to end."""
    try:
        loop.run_until_complete(main)
    finally:
        try:
            _clear(loop)
        finally:
            loop.close()


def _clear(loop: asyncio.AbstractEventLoop) -> None:
    """Give what is left on the loop a last chance to end."""
    left: set[asyncio.Task[Any]] = asyncio.all_tasks(loop) - set(abandoned)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=LEFTOVER_SECONDS))
    for task in left.union(abandoned):
        if not task.done():
            # Nobody is to read of it when it is collected: its server has been reported.
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        elif not task.cancelled():
            task.exception()
    loop.run_until_complete(_bounded(loop.shutdown_asyncgens()))
    loop.run_until_complete(_bounded(loop.shutdown_default_executor()))


async def _bounded(ending: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(ending)
    await asyncio.wait({task}, timeout=LEFTOVER_SECONDS)
    if task.done():
        with suppress(Exception):
            task.result()
        return
    # Collecting it would join the very thread that is stuck.
    _never_collected.append(task)
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def end_process(status: int) -> NoReturn:
    """End the process now, whatever its threads are doing, with what was written so far."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status)
