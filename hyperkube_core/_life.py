"""One run of one server, from its start to its end, whatever the server is made of."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from hyperkube_core._errors import (
    HyperkubeError,
    Interrupted,
    ServerCrashed,
    ServerNotReady,
    ServerReturned,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hyperkube_core._bodies import Body
    from hyperkube_core._clock import Clock
    from hyperkube_core._context import Gate
    from hyperkube_core._server import Server

log = logging.getLogger("hyperkube")


async def first_of(future: asyncio.Future[Any], *others: Awaitable[None]) -> None:
    """Return once any of them is done. `future` is left as it is; the others end with this call."""
    tasks = [asyncio.ensure_future(other) for other in others]
    try:
        await asyncio.wait({future, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Life:
    """Runs `body` under the promises of its server's description."""

    def __init__(self, server: Server, body: Body, *, label: str, ready: Gate, clock: Clock) -> None:
        self.server = server
        self.body = body
        self.abandoned = False
        """Whether it ignored the request to stop and goes on behind our back."""
        self._label = label
        self._ready = ready
        self._clock = clock
        self._asked = False

    async def serve(self, when_ready: Callable[[], None]) -> None:
        """Return when the server has done its job, if it is one that `completes`.

        To cancel this is to stop the server: it comes back, cancelled, when the server has stopped. Raises
        ServerCrashed, ServerReturned or ServerNotReady by name, never an exception group; what a server raises
        of core's own errors as it is; Interrupted if it ignored the request to stop.
        """
        outcome = self.body.start()
        failure: BaseException | None = None
        try:
            await self._until_ready(outcome)
            if not outcome.done():
                when_ready()
                await asyncio.wait({outcome})
        except BaseException as exc:
            failure = exc
        try:
            await self._stop(outcome)
            self._judge(outcome)
        except HyperkubeError as exc:
            if failure is None or isinstance(failure, asyncio.CancelledError):
                raise
            log.error("%s", exc)
        if failure is not None:
            raise failure

    async def _until_ready(self, outcome: asyncio.Future[None]) -> None:
        seconds = self.server.start_seconds
        await first_of(outcome, self._ready.wait(), self._clock.sleep(seconds + self.body.margin_seconds))
        if not outcome.done() and not self._ready.is_set():
            raise ServerNotReady(self._label, f"it was not ready within {seconds:g} s")

    async def _stop(self, outcome: asyncio.Future[None]) -> None:
        if outcome.done():
            return
        self._asked = True
        self.body.ask()
        try:
            await first_of(outcome, self._clock.sleep(self.server.stop_seconds + self.body.margin_seconds))
        finally:
            ignored = not outcome.done()
            if ignored:
                self.abandoned = not await self.body.abandon()
        if ignored:
            seconds = self.server.stop_seconds
            log.error("it did not stop within %g s and was %s", seconds, "abandoned" if self.abandoned else "killed")
            raise Interrupted("interrupted")

    def _judge(self, outcome: asyncio.Future[None]) -> None:
        """Return if the server ended as it should, and raise its failure by name if not."""
        if outcome.cancelled():
            if not self._asked:
                raise ServerReturned(self._label, "it cancelled itself")
            return
        error = outcome.exception()
        if error is not None:
            failure = named(self._label, error)
            if isinstance(failure, ServerCrashed) and failure is not error:
                log.error("crashed", exc_info=error)
            raise failure
        if not self._asked and not self.server.completes:
            raise ServerReturned(self._label, "it returned, where it should serve until it is stopped")


def named(label: str, error: BaseException) -> HyperkubeError:
    """`error` as one of core's own, with its cause, and without groups."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, HyperkubeError):
        return error
    if isinstance(error, BaseExceptionGroup):
        message = "; ".join(_told(leaf) for leaf in _leaves(error))
    else:
        message = _told(error)
    crashed = ServerCrashed(label, message)
    crashed.__cause__ = error
    return crashed


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return leaves
