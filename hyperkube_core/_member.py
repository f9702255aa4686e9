"""A server's place among those that run together: its runs, one after the other, and what it spawned."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

from hyperkube_core._errors import HyperkubeError, ServerError, ServerReturned
from hyperkube_core._life import Life, named
from hyperkube_core._logging import server_name, verbose
from hyperkube_core._restart import Restart, starts_again
from hyperkube_core._status import State, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyperkube_core._bodies import Body
    from hyperkube_core._clock import Clock
    from hyperkube_core._context import Host, Provisions, RunningContext
    from hyperkube_core._placing import MakeBody
    from hyperkube_core._restart import CrashLoop
    from hyperkube_core._server import Invocation, Spawned

log = logging.getLogger("hyperkube")


class Company(Protocol):
    """What a member asks of those that it runs among; a `Run` is that."""

    host: Host
    clock: Clock
    make_body: MakeBody
    provisions: Provisions
    verbosity: int
    when_changed: Callable[[Status], None]
    crash_loop: Callable[[], CrashLoop]

    def context(self, member: Member, invocation: Invocation) -> RunningContext[Any]: ...

    def label(self, name: str) -> str: ...

    def forget(self, label: str) -> None: ...


class Member:
    """A server's place in a run: it starts with its task, is restarted as the policy says, stops with `stop`."""

    def __init__(
        self, run: Company, invocation: Invocation, label: str, *, restart: Restart, once_ready: bool = False
    ) -> None:
        """With `once_ready`, one that fails before it was ready for the first time has failed for good."""
        self.status = Status(label)
        self.up = asyncio.Event()
        """Set once it has been ready for the first time, or has done its job."""
        self._run = run
        self._invocation = invocation
        self._restart = restart
        self._once_ready = once_ready
        self._body: Body | None = None
        self._ready_at: float | None = None
        self._beside: list[Member] = []
        variables = copy_context()
        variables.run(server_name.set, label)  # in which the server runs as well
        self.task = asyncio.get_running_loop().create_task(self._keep(), name=f"keep {label}", context=variables)
        self.stopping = False

    @property
    def name(self) -> str:
        return self.status.name

    @property
    def failure(self) -> HyperkubeError | None:
        """What it ended with for good; None while it may yet be started again, or if it was stopped in between."""
        return self.status.error if self.status.state == "failed" else None

    async def ready(self) -> None:
        """Return once it is ready, or raise the HyperkubeError that kept it from it."""
        waiting = asyncio.ensure_future(self.up.wait())
        try:
            await asyncio.wait({waiting, self.task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self.failure is not None or not self.up.is_set():
            raise self.failure or ServerReturned(self.name, "it was stopped before it was ready")

    async def wait(self) -> None:
        """Return once it has stopped as it should, or raise the HyperkubeError that it ended with."""
        await asyncio.wait({self.task})
        if self.failure is not None:
            raise self.failure

    async def stop(self) -> None:
        """Stop it, and return once it has stopped, well or not."""
        if not self.stopping and not self.task.done():
            self.stopping = True
            self.task.cancel()
        await asyncio.wait({self.task})

    def signal(self, signum: int) -> None:
        """Hand a signal on to its process, and to those of what it spawned; safe in a signal handler."""
        for body in self._bodies():
            body.signal(signum)

    def kill(self) -> None:
        """Kill the same processes; safe in a signal handler."""
        for body in self._bodies():
            body.kill()

    def _bodies(self) -> list[Body]:
        own = [] if self._body is None else [self._body]
        return own + [body for member in list(self._beside) for body in member._bodies()]

    async def _keep(self) -> None:
        """Run it until it is stopped or has failed for good. Failures end in the status, not in the task."""
        crash_loop = self._run.crash_loop()
        clock = self._run.clock
        try:
            while True:
                error = await self._live()
                if not self._starts_again(error):
                    if error is not None:
                        raise error
                    self._is("completed")
                    self.up.set()
                    return
                served = 0.0 if self._ready_at is None else clock.monotonic() - self._ready_at
                delay = crash_loop.delay(served)
                self._is("backing off", error)
                log.error("%s; starting it again in %g s", error or f"server {self.name!r} has done its job", delay)
                await clock.sleep(delay)
                self.status.restarts += 1
        except asyncio.CancelledError:
            self._is("stopped", self.status.error)
        except Exception as exc:
            # Whatever else it may be is a flaw of ours, and it still has to end the run and to name the server.
            self._is("failed", named(self.name, exc))

    def _starts_again(self, error: HyperkubeError | None) -> bool:
        if self._once_ready and not self.up.is_set():
            return False
        return starts_again(self._restart, error)

    def _is(self, state: State, error: HyperkubeError | None = None) -> None:
        status = self.status
        status.state, status.error = state, error
        status.pid = self._body.pid if self._body is not None and state == "ready" else None
        self._run.when_changed(status)

    async def _live(self) -> HyperkubeError | None:
        """One run; what it failed with, if that may be tried again."""
        run, invocation = self._run, self._invocation
        context = run.context(self, invocation)
        self._ready_at = None
        self._body = run.make_body(invocation, self.name, context)
        life = Life(invocation.server, self._body, label=self.name, ready=context.ready, clock=run.clock)
        self._is("starting", self.status.error)
        verbose(log, run.verbosity, "starting")
        try:
            await life.serve(self._when_ready)
        except HyperkubeError as exc:
            if life.abandoned:
                raise  # a second one beside the first would do more harm
            return exc
        finally:
            self._body = None
            try:
                await stop_in_reverse(self._beside)
            finally:
                run.provisions.withdraw(self.name)
                verbose(log, run.verbosity, "stopped")
        return None

    def _when_ready(self) -> None:
        self._ready_at = self._run.clock.monotonic()
        self._is("ready")
        self.up.set()
        verbose(log, self._run.verbosity, "ready")

    async def start_beside(self, name: str, args: tuple[str, ...]) -> Spawned:
        """Start another installed server, which stops at the latest when this one does."""
        run = self._run
        if self._body is None:
            raise ServerError(self.name, f"it has ended, and cannot spawn {name!r} any more")
        invocation = run.host.parse(name, args)
        member = Member(run, invocation, run.label(invocation.server.name), restart="never")
        self._beside.append(member)
        member.task.add_done_callback(lambda _: self._beside_ended(member))
        return member

    def _beside_ended(self, member: Member) -> None:
        self._run.forget(member.name)
        with suppress(ValueError):
            self._beside.remove(member)
        if member.failure is not None:
            log.error("%s", member.failure, extra={"spawned_by": self.name})


async def stop_in_reverse(members: Sequence[Member]) -> None:
    """Stop them one after the other, the last one first; a second request to stop does not cut the first one short."""
    cancelled: asyncio.CancelledError | None = None
    for member in reversed(list(members)):
        stopped = asyncio.ensure_future(member.stop())
        while not stopped.done():
            try:
                await asyncio.wait({stopped})
            except asyncio.CancelledError as exc:
                cancelled = exc
    if cancelled is not None:
        raise cancelled
