"""Runs one server or many, in this process or each in its own, from the first start to the last stop.

Servers start in order, each after the last is ready, and stop in reverse. What a server is made of makes no
difference here; `_life` keeps the promises of one run, `_restart` decides whether there is another.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hyperkube_core._clock import Clock, SystemClock
from hyperkube_core._context import Gate, Host, Provisions, RunningContext
from hyperkube_core._errors import HyperkubeError
from hyperkube_core._lifeline import Tether, arm
from hyperkube_core._logging import verbose
from hyperkube_core._loop import new_event_loop, run_until_complete
from hyperkube_core._member import Member, stop_in_reverse
from hyperkube_core._order import labels, start_order
from hyperkube_core._placing import MakeBody, body_beside, body_here
from hyperkube_core._restart import CrashLoop
from hyperkube_core._server import Command, Invocation
from hyperkube_core._signals import handled
from hyperkube_core._status import Status, as_json, exit_status

if TYPE_CHECKING:
    from hyperkube_core._bodies import Body
    from hyperkube_core._restart import Restart

log = logging.getLogger("hyperkube")


class Run:
    """Servers that start, are watched, and stop together."""

    def __init__(
        self,
        *,
        host: Host,
        clock: Clock,
        make_body: MakeBody = body_here,
        restart: Restart = "never",
        verbosity: int = 0,
        when_ready: Callable[[], None] = lambda: None,
        when_changed: Callable[[Status], None] = lambda status: None,
        crash_loop: Callable[[], CrashLoop] = CrashLoop,
    ) -> None:
        self.host = host
        self.clock = clock
        self.make_body = make_body
        self.provisions = Provisions()
        self.verbosity = verbosity
        self.members: list[Member] = []
        self.statuses: list[Status] = []
        """How the servers fare, in the order given."""
        self.when_ready = when_ready
        """Called once all servers are ready."""
        self.when_changed = when_changed
        """Called with the status of a server that changed."""
        self.crash_loop = crash_loop
        self._restart = restart
        self._labels: set[str] = set()

    def context(self, member: Member, invocation: Invocation) -> RunningContext[Any]:
        return RunningContext(
            name=member.name,
            options=invocation.options,
            args=invocation.args,
            clock=self.clock,
            ready=Gate(),
            host=self.host,
            provisions=self.provisions,
            start_beside=member.start_beside,
        )

    def label(self, name: str) -> str:
        """A name for a further server, which no other of the run has."""
        label, number = name, 1
        while label in self._labels:
            number += 1
            label = f"{name}-{number}"
        self._labels.add(label)
        return label

    def forget(self, label: str) -> None:
        """Let the name of a server that has ended go to another."""
        self._labels.discard(label)

    async def together(self, invocations: Sequence[Invocation], stop: Gate) -> list[Status]:
        """Run until `stop` is set, every server has done its job, or one failed; all have stopped then.

        Returns how they fared, in the order given. The first failure, in time, is raised as what it is; with more
        than one server its `exit_code` tells which one it was. Raises UsageError for servers that wait for each
        other.
        """
        order = start_order(invocations)
        names = labels(invocations)
        self._labels.update(names)
        statuses = self.statuses = [Status(name) for name in names]
        failures: list[tuple[int, HyperkubeError]] = []
        asked = asyncio.ensure_future(stop.wait())
        started: list[tuple[int, Member]] = []

        def note_failures() -> bool:
            known = {index for index, _ in failures}
            for index, member in started:
                if member.failure is not None and index not in known:
                    failures.append((index, member.failure))
            return bool(failures)

        try:
            for index in order:
                member = Member(self, invocations[index], names[index], restart=self._restart)
                statuses[index] = member.status
                started.append((index, member))
                self.members.append(member)
                await self._until_up(member, asked)
                if note_failures() or asked.done():
                    break
            else:
                self.when_ready()
                while not asked.done() and not note_failures():
                    running = [member.task for _, member in started if not member.task.done()]
                    if not running:
                        break
                    await asyncio.wait([asked, *running], return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                verbose(log, self.verbosity, "asked to stop")
        finally:
            asked.cancel()
            note_failures()
            await stop_in_reverse([member for _, member in started])
            started.reverse()  # the order in which they stopped, and perhaps failed at it
            note_failures()
        if failures:
            position, error = failures[0]
            if len(invocations) > 1:
                error.exit_code = exit_status(position + 1, error)
                _summarize(statuses)
            raise error
        return statuses

    async def _until_up(self, member: Member, asked: asyncio.Future[None]) -> None:
        """Return when `member` is ready, the run is asked to stop, or any server has ended for good."""
        up: asyncio.Future[Any] = asyncio.ensure_future(member.up.wait())
        try:
            while not up.done() and not asked.done():
                tasks = [other.task for other in self.members if not other.task.done()]
                await asyncio.wait([up, asked, *tasks], return_when=asyncio.FIRST_COMPLETED)
                if any(other.failure is not None for other in self.members):
                    return
        finally:
            up.cancel()

    def signal(self, signum: int) -> None:
        """Hand a signal on to every process of the run; safe in a signal handler."""
        for member in list(self.members):
            member.signal(signum)

    def kill(self) -> None:
        """Kill every process of the run; safe in a signal handler."""
        for member in list(self.members):
            member.kill()


def _summarize(statuses: Sequence[Status]) -> None:
    """Say in the last lines of the log how each server ended, those that failed last."""
    for status in sorted(statuses, key=lambda status: status.state == "failed"):
        if status.state == "failed":
            log.error("%s: failed: %s", status.name, status.error, extra={"restarts": status.restarts})
        else:
            log.info("%s: %s", status.name, status.state, extra={"restarts": status.restarts})


def run_servers(
    invocations: Sequence[Invocation],
    *,
    host: Host,
    restart: Restart = "never",
    clock: Clock | None = None,
    status_file: str = "",
) -> None:
    """Run one server, or several in this process, until a signal asks them to stop or all have done their jobs.

    Raises the HyperkubeError that ended them: UsageError, PluginError, ServerError, Interrupted …
    """
    tether = arm()
    alone = len(invocations) == 1
    if alone and tether is None and restart == "never":
        _become(invocations[0])
    make_body: MakeBody = body_here
    if tether is not None:
        make_body = body_beside(here=invocations[0])
    elif alone:

        def make_body(invocation: Invocation, label: str, context: RunningContext[Any]) -> Body:
            return body_here(invocation, label, context, alone=invocation is invocations[0])

    loop = new_event_loop(invocation.server for invocation in invocations)
    run_until_complete(
        loop,
        conduct(
            together(invocations),
            lambda: Run(
                host=host,
                clock=clock or SystemClock(),
                make_body=make_body,
                restart=restart,
                verbosity=1 if alone else 0,
                when_ready=tether.ready if tether else lambda: None,
            ),
            tether=tether,
            forwards=tether is not None or any(isinstance(item.server.run, Command) for item in invocations),
            status_file=status_file,
        ),
    )


def together(invocations: Sequence[Invocation]) -> Callable[[Run, Gate], Awaitable[object]]:
    """For `conduct`: all of them, as `Run.together` does."""
    return lambda run, stop: run.together(invocations, stop)


async def conduct(
    serve: Callable[[Run, Gate], Awaitable[object]],
    make_run: Callable[[], Run],
    *,
    tether: Tether | None,
    forwards: bool,
    status_file: str = "",
) -> None:
    """Run `serve` under this process's signals, and under its parent's lifeline if it is a managed child."""
    stop = Gate()
    run = make_run()
    if tether is not None:
        tether.when_lost(stop.set)
        tether.started()
    # A terminal that was closed is no request to read the configuration again.
    hangup_asks = os.isatty(2)

    def forward(signum: int) -> None:
        if signum == signal.SIGHUP and hangup_asks:
            stop.set()
        else:
            run.signal(signum)

    error: HyperkubeError | None = None
    with handled(ask=lambda signum: stop.set(), insist=run.kill, forward=forward if forwards else None):
        try:
            await serve(run, stop)
        except HyperkubeError as exc:
            error = exc
    if status_file:
        _write(status_file, as_json(run.statuses, error.exit_code if error else 0))
    if error is not None:
        if tether is not None:
            tether.failed(error)
        raise error


def _write(path: str, text: str) -> None:
    partial = f"{path}.{os.getpid()}.tmp"
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(partial, path)
    except OSError as exc:
        log.error("cannot write the status file %s: %s", path, exc.strerror)
        with suppress(OSError):
            os.unlink(partial)


def _become(invocation: Invocation) -> None:
    """Replace hk by a tool that is a program: terminal, signals and exit status are its own then."""
    command = invocation.server.run
    if not isinstance(command, Command) or not invocation.server.completes:
        return
    from hyperkube_core._process import program_of

    program = program_of(invocation.server.name, command)
    sys.stdout.flush()
    sys.stderr.flush()
    for signum in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(signum, signal.SIG_DFL)  # which Python ignores, and a program does not expect
    os.execve(program, [*command.argv, *invocation.args], {**os.environ, **command.environment})
