"""The loop of a controller: whatever may have changed gets reconciled, and again until that succeeds."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

from hyperkube_machinery.client import ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.workqueue import WorkQueue, WorkQueueMetrics

__all__ = ["Controller"]

log = logging.getLogger(__name__)


class Controller:
    """Calls `reconcile` with each key that is added to its queue, one call a key at a time, `workers` at once.

    What `reconcile` raises is logged, and the key comes back: later each time. Where it returns seconds, the key comes
    back after these.
    """

    def __init__(
        self,
        name: str,
        reconcile: Callable[[str], Awaitable[float | None]],
        *,
        clock: Clock,
        queue: WorkQueue[str] | None = None,
        workers: int = 1,
        metrics: WorkQueueMetrics | None = None,
    ) -> None:
        self.name = name
        self.queue = queue if queue is not None else WorkQueue(clock, name=name, metrics=metrics)
        self._reconcile = reconcile
        self._workers = workers

    async def run(self) -> NoReturn:
        """Work until cancelled; what is being reconciled then is broken off."""
        async with companions(*(self._work() for _ in range(self._workers - 1))):
            await self._work()

    async def _work(self) -> NoReturn:
        queue = self.queue
        while True:
            key = await queue.get()
            try:
                again = await self._reconcile(key)
            except Exception as exc:
                self._tell(key, exc)
                queue.add_rate_limited(key)
            else:
                queue.forget(key)
                if again is not None:
                    queue.add_after(key, again)
            finally:
                queue.done(key)

    def _tell(self, key: str, exc: Exception) -> None:
        if isinstance(exc, APIError) and exc.reason in ("Conflict", "AlreadyExists"):
            log.info("%s: %s: %s; trying again", self.name, key, exc)  # others are at work too
        elif isinstance(exc, (APIError, ClientError)):
            log.warning("%s: %s: %s; trying again", self.name, key, exc)
        else:
            log.error("%s: %s failed; trying again", self.name, key, exc_info=exc)
