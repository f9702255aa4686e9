"""What runs inside this process: a coroutine on the loop, a blocking function on a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from hyperkube_core._errors import DescriptionError, ServerCrashed, ServerReturned
from hyperkube_core._registry import import_from

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyperkube_core._context import RunningContext


class Body(Protocol):
    """One run of one server, whatever it is made of. Each is used once."""

    @property
    def margin_seconds(self) -> float:
        """What it gets beyond the server's time to start and to stop, because of what it is made of."""

    @property
    def pid(self) -> int | None:
        """The process that it runs in; None where that has not begun."""

    def start(self) -> asyncio.Future[None]:
        """Begin; the future ends when the server does, with what it raised."""

    def ask(self) -> None:
        """Ask it to stop; called once."""

    async def abandon(self) -> bool:
        """Give up on one that ignored the request. Returns whether it is gone (False: it goes on behind our back)."""

    def signal(self, signum: int) -> None:
        """Pass a signal on to it, where it has a process of its own. Called in signal handlers."""

    def kill(self) -> None:
        """End it now, where it has a process of its own. Called in signal handlers."""


abandoned: WeakSet[asyncio.Task[Any]] = WeakSet()
"""Tasks that ignored their cancellation; they end with the loop, and nobody waits for them."""


class _HereBody:
    """Has no process of its own."""

    margin_seconds = 0.0

    @property
    def pid(self) -> int:
        return os.getpid()

    def signal(self, signum: int) -> None:
        pass

    def kill(self) -> None:
        pass


class CoroutineBody(_HereBody):
    """`async def target(context)`, as a task."""

    def __init__(self, target: str | Callable[[Any], Any], context: RunningContext[Any]) -> None:
        self._target = target
        self._context = context
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Future[None]:
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._context.name)
        return self._task

    def ask(self) -> None:
        self._context.stopping.set()
        if self._task is not None:
            self._task.cancel()

    async def abandon(self) -> bool:
        if self._task is not None:
            abandoned.add(self._task)
        return False

    async def _run(self) -> None:
        name = self._context.name
        target = import_from(self._target, name) if isinstance(self._target, str) else self._target
        try:
            running = target(self._context)
            if not hasattr(running, "__await__"):
                raise DescriptionError(name, f"{self._target} is not a coroutine function, as its description says")
            await running
        except (SystemExit, KeyboardInterrupt) as exc:
            raise exited(name, exc) from exc


class ThreadBody(_HereBody):
    """`def target(context)`, on a thread that the end of the process doesn't wait for."""

    def __init__(self, target: str | Callable[[Any], Any], context: RunningContext[Any]) -> None:
        self._target = target
        self._context = context

    def start(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[None] = loop.create_future()
        variables = copy_context()

        def tell(error: BaseException | None) -> None:
            if outcome.done():
                return
            if error is None:
                outcome.set_result(None)
            else:
                outcome.set_exception(error)

        def body() -> None:
            error: BaseException | None = None
            try:
                variables.run(self._run)
            except BaseException as exc:
                # A future cannot carry StopIteration, nor should a thread's SystemExit end the loop.
                error = exc if isinstance(exc, Exception) and not isinstance(exc, StopIteration) else _wrapped(exc)
            with suppress(RuntimeError):  # abandoned: the loop is closed
                loop.call_soon_threadsafe(tell, error)

        threading.Thread(target=body, name=self._context.name, daemon=True).start()
        return outcome

    def ask(self) -> None:
        self._context.stopping.set()

    async def abandon(self) -> bool:
        return False

    def _run(self) -> None:
        name = self._context.name
        target = import_from(self._target, name) if isinstance(self._target, str) else self._target
        try:
            target(self._context)
        except (SystemExit, KeyboardInterrupt) as exc:
            raise exited(name, exc) from exc


def _wrapped(exc: BaseException) -> Exception:
    error = RuntimeError(f"{type(exc).__name__}: {exc}")
    error.__cause__ = exc
    return error


def exited(name: str, exc: BaseException) -> ServerCrashed | ServerReturned:
    """What it means that a server called `sys.exit`, which would have ended its neighbours as well."""
    if isinstance(exc, SystemExit) and exc.code in (None, 0):
        return ServerReturned(name, "it called sys.exit()")
    if isinstance(exc, SystemExit):
        return ServerCrashed(name, f"it called sys.exit({exc.code!r})")
    return ServerCrashed(name, f"it raised {type(exc).__name__}")
