"""Tasks that run beside a block of code, no longer than it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["Companions", "companions"]


class Companions:
    """The tasks of one block."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], *, name: str | None = None) -> asyncio.Task[Any]:
        """Let `work` run until it ends, the block ends, or the task is cancelled."""
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        for task in list(self._tasks):
            task.cancel()


@asynccontextmanager
async def companions(*works: Coroutine[Any, Any, Any]) -> AsyncIterator[Companions]:
    """Run `works` and what is started later for the length of the block, at whose end all are cancelled.

    One that fails cancels the block, out of which its exception comes, never in a group.
    """
    try:
        async with asyncio.TaskGroup() as group:
            beside = Companions(group)
            for work in works:
                beside.start(work)
            try:
                yield beside
            finally:
                beside.cancel()
    except BaseExceptionGroup as group_of:
        raise _first(group_of) from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    exc: BaseException = group
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc
