"""What runs in a process of its own: another hk that is one server, or a program of somebody else's."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperkube_core import _errors, _guard, _lifeline
from hyperkube_core._errors import (
    HyperkubeError,
    Interrupted,
    PluginError,
    PluginLoadError,
    ServerCrashed,
    ServerError,
    ServerKilled,
    UsageError,
)
from hyperkube_core._life import first_of
from hyperkube_core._lines import Lines, read_lines
from hyperkube_core._logging import LABEL, current
from hyperkube_core._probe import until_answers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyperkube_core._context import RunningContext
    from hyperkube_core._server import Command, Invocation, Server

DRAIN_SECONDS = 1.0
"""How long the output of a process that ended may be held open by one that it left behind."""

MARGIN_SECONDS = 5.0
"""What a process gets beyond its server's time to start and to stop: to import what it needs, and to say itself what
its server failed at."""


class _ProcessBody:
    """A process on a lifeline, in a session of its own, so that a terminal's Ctrl-C comes through hk alone.

    It keeps the descriptors `held` open as long as it lives: who holds one of them knows by it that this is gone.
    """

    margin_seconds = 0.0

    def __init__(
        self,
        server: Server,
        label: str,
        context: RunningContext[Any],
        relay: Lines | None,
        held: tuple[int, ...] = (),
    ) -> None:
        self._server = server
        self._held = held
        self._label = label
        self._context = context
        self._relay = relay
        self._process: subprocess.Popen[bytes] | None = None
        self._task: asyncio.Task[None] | None = None
        self._lifeline = -1
        self._told: HyperkubeError | None = None
        self._asked = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self) -> asyncio.Future[None]:
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._label)
        return self._task

    def ask(self) -> None:
        self._asked = True
        if self._process is None:
            if self._task is not None:
                self._task.cancel()
        else:
            self.signal(signal.SIGTERM)

    async def abandon(self) -> bool:
        self.kill()
        if self._task is not None:
            await first_of(self._task, self._context.clock.sleep(DRAIN_SECONDS))
            if not self._task.done() and self._process is not None:
                self._process.kill()
                await asyncio.wait({self._task})
        return True

    def signal(self, signum: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signum)

    def kill(self) -> None:
        raise NotImplementedError

    def argv(self, lifeline: int, notify: int) -> Sequence[str]:
        raise NotImplementedError

    def environment(self, lifeline: int, notify: int) -> Mapping[str, str]:
        raise NotImplementedError

    def hears(self, line: str) -> None:
        """Take in a line from the notify pipe."""
        if line == "READY=1":
            self._context.ready.set()

    def failure(self, status: int) -> HyperkubeError:
        """What an exit status (below 0: a signal) other than 0 means."""
        if status < 0:
            return ServerKilled(self._label, f"its process was ended by {_signal_name(-status)}", -status)
        return ServerCrashed(self._label, f"its process ended with exit status {status}")

    async def _run(self) -> None:
        theirs, self._lifeline = os.pipe()
        told, telling = os.pipe()
        output, writing = os.pipe() if self._relay is not None else (-1, -1)
        watching = []
        try:
            try:
                process = self._process = subprocess.Popen(  # noqa: ASYNC220  # a vfork: shorter than a turn
                    self.argv(theirs, telling),
                    env=self.environment(theirs, telling),
                    stdin=subprocess.DEVNULL,
                    stdout=writing if writing >= 0 else None,
                    stderr=writing if writing >= 0 else None,
                    pass_fds=(theirs, telling, *self._held),
                    start_new_session=True,
                )
            finally:
                for descriptor in (theirs, telling, writing):
                    if descriptor >= 0:
                        os.close(descriptor)
            watching.append(await read_lines(told, self._hear))
            told = -1
            if self._relay is not None:
                watching.append(await read_lines(output, self._relay_lines))
                output = -1
            await _exited(process)
            # What it left of its group; nobody else has the number, until the process is collected.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
            drained = asyncio.gather(*(reader.ended for _, reader in watching))
            await first_of(drained, self._context.clock.sleep(DRAIN_SECONDS))
            drained.cancel()
        finally:
            if self._process is not None and self._process.returncode is None:
                self.kill()
                self._process.wait()
            for transport, _ in watching:
                transport.close()
            for descriptor in (told, output, self._lifeline):
                if descriptor >= 0:
                    os.close(descriptor)
            self._lifeline = -1
        self._judge(status)

    def _judge(self, status: int) -> None:
        if self._told is not None:
            raise self._told
        if status != 0 and not (self._asked and status in _STOPPED):
            raise self.failure(status)

    def _hear(self, lines: list[bytes]) -> None:
        for line in lines:
            self.hears(line.decode(errors="replace"))

    def _relay_lines(self, lines: list[bytes]) -> None:
        if self._relay is not None:
            self._relay.write(self._label, lines)


_STOPPED = frozenset(code for number in (signal.SIGTERM, signal.SIGINT) for code in (-number, 128 + number))
"""How a program that handles no SIGTERM, or the shell around it, says that it has stopped as asked."""


class ChildBody(_ProcessBody):
    """A managed child: hk once more, being one server."""

    margin_seconds = MARGIN_SECONDS

    def __init__(
        self,
        invocation: Invocation,
        label: str,
        context: RunningContext[Any],
        relay: Lines,
        held: tuple[int, ...] = (),
    ) -> None:
        super().__init__(invocation.server, label, context, relay, held)
        self._invocation = invocation
        self._started = False

    def argv(self, lifeline: int, notify: int) -> Sequence[str]:
        name = ("alpha", self._server.name) if self._server.alpha else (self._server.name,)
        return [*self._context.host.program, *current().as_flags(), *name, *self._invocation.args]

    def environment(self, lifeline: int, notify: int) -> Mapping[str, str]:
        return {
            "PYTHONUNBUFFERED": "1",  # its output is a pipe, and a line should be seen when it is printed
            **os.environ,
            _lifeline.LIFELINE: _lifeline.spelled(lifeline, self._held),
            _lifeline.NOTIFY: str(notify),
            LABEL: self._server.name,
        }

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def hears(self, line: str) -> None:
        if line == "STARTED=1":
            self._started = True
        elif line.startswith("ERROR="):
            self._told = self._error(*line.removeprefix("ERROR=").partition(":")[::2])
        else:
            super().hears(line)

    def _error(self, kind: str, message: str) -> HyperkubeError:
        """The failure that the child told of, as if it had happened here."""
        message = message.replace("\\n", "\n").replace("\\\\", "\\")
        found = getattr(_errors, kind, HyperkubeError)
        if isinstance(found, type) and issubclass(found, ServerError) and found is not ServerKilled:
            return found(self._label, message.removeprefix(f"server {self._server.name!r}: "))
        if found is Interrupted:
            return Interrupted(message)
        error = HyperkubeError(f"server {self._label!r}: {message}")
        error.exit_code = found.exit_code if isinstance(found, type) and issubclass(found, HyperkubeError) else 1
        return error

    def failure(self, status: int) -> HyperkubeError:
        if self._started:
            return super().failure(status)  # its command line was good enough
        if status == UsageError.exit_code:
            return UsageError(
                f"server {self._label!r}: its command line or settings cannot be used; its output says why"
            )
        if status == PluginError.exit_code:
            return PluginError(self._label, "it cannot be used; its output says why")
        return super().failure(status)


class CommandBody(_ProcessBody):
    """A program of somebody else's, under a guard. Without a relay it writes where hk writes."""

    def __init__(
        self,
        command: Command,
        invocation: Invocation,
        label: str,
        context: RunningContext[Any],
        relay: Lines | None,
        held: tuple[int, ...] = (),
    ) -> None:
        super().__init__(invocation.server, label, context, relay, held)
        self._command = command
        self._args = invocation.args

    def argv(self, lifeline: int, notify: int) -> Sequence[str]:
        program = program_of(self._server.name, self._command)
        grace = min(self._server.stop_seconds, _lifeline.GRACE_SECONDS)
        lines = (_lifeline.spelled(lifeline, self._held), str(notify))
        guard = [sys.executable, "-I", "-S", str(Path(_guard.__file__)), *lines, f"{grace:g}"]
        return [*guard, program, *self._command.argv[1:], *self._args]

    def environment(self, lifeline: int, notify: int) -> Mapping[str, str]:
        return {**os.environ, **self._command.environment}

    def kill(self) -> None:
        # Through the guard, which alone knows everything that descends from the program.
        if self._lifeline >= 0:
            with suppress(OSError):
                os.write(self._lifeline, b"K")

    def hears(self, line: str) -> None:
        if not self._command.ready_url:
            super().hears(line)

    async def _run(self) -> None:
        probing = None
        if self._command.ready_url:
            probing = asyncio.ensure_future(self._probe())
        try:
            await super()._run()
        finally:
            if probing is not None:
                probing.cancel()
                await asyncio.gather(probing, return_exceptions=True)

    async def _probe(self) -> None:
        await until_answers(self._command.ready_url, self._context.clock)
        self._context.ready.set()


def program_of(server: str, command: Command) -> str:
    """Where the program of a `Command` is; raises PluginLoadError where it isn't."""
    path = command.environment.get("PATH")
    program = shutil.which(command.argv[0], path=path)
    if program is None:
        raise PluginLoadError(server, f"its program {command.argv[0]!r} is not installed (no such file on PATH)")
    return program


async def _exited(process: subprocess.Popen[bytes]) -> None:
    """Return once the process has ended; it is not collected yet where the system can tell without."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not on this system, or not on this kernel

        def wait() -> None:
            process.wait()
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=wait, name=f"wait for {process.pid}", daemon=True).start()
        await ended.wait()
        return
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
