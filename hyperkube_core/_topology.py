"""Raises a cluster: its servers in order, each as soon as what it waits for is ready, watched until all are stopped.

What is done between two servers is the groundworks' (see `_cluster`); what a server's life is like, `_member`'s. A
server that fails before it was ready for the first time ends the cluster; one that fails later is started again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hyperkube_core._errors import ClusterNotReady, HyperkubeError, PluginError, ServerError, SettingsError, UsageError
from hyperkube_core._home import beginning
from hyperkube_core._member import Member, stop_in_reverse
from hyperkube_core._restart import CrashLoop
from hyperkube_core._runner import Run
from hyperkube_core._status import Status, server_document

if TYPE_CHECKING:
    from hyperkube_core._clock import Clock
    from hyperkube_core._cluster import Groundwork, Report
    from hyperkube_core._clusters import Placed, Plan
    from hyperkube_core._context import Gate
    from hyperkube_core._home import Home

log = logging.getLogger("hyperkube")

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

Event = Mapping[str, Any]
"""Something that happened to a cluster, for people or programs; its key `event` says what."""

CLEAN_UP_SECONDS = 30.0
REPORT_SECONDS = 5.0


def crash_loop() -> CrashLoop:
    """Quicker than for servers alone: whoever uses the cluster waits for it, and its servers are known to be good."""
    return CrashLoop(first_seconds=0.1, limit_seconds=10.0, healthy_seconds=10.0)


class Topology:
    """One cluster, from its first server's start to the end of all."""

    def __init__(
        self,
        run: Run,
        plan: Plan,
        home: Home,
        works: Sequence[Groundwork],
        *,
        mode: str,
        ready_seconds: float,
        tell: Callable[[Event], None],
    ) -> None:
        """`ready_seconds` from its start the cluster has to be ready; `tell` takes what happens to it."""
        self.plan = plan
        self.home = home
        self.works = works
        self._run = run
        self._mode = mode
        self._ready_seconds = ready_seconds
        self._tell = tell
        self._began = run.clock.monotonic()
        self._since = run.clock.now()
        self._phase = "starting"
        self._up = {placed.server.name: asyncio.Event() for placed in plan.servers}
        run.statuses = [Status(placed.server.name) for placed in plan.servers]
        run.when_changed = self._changed

    async def serve(self, stop: Gate) -> None:
        """Run the cluster until `stop` is set. Raises what ended it otherwise: the first failure, by name."""
        self._write()
        for missing in self.plan.missing:
            self._tell({"event": "missing", "server": missing.server, "advice": missing.advice})
        failure: HyperkubeError | None = None
        asked = asyncio.ensure_future(stop.wait())
        rising = asyncio.ensure_future(self._rise())
        try:
            await self._watch(asked, rising)
        except HyperkubeError as exc:
            failure = exc
            self._say_failed(exc)
        finally:
            asked.cancel()
            await _ended(rising)
            self._enter("stopping")
            try:
                await stop_in_reverse(self._run.members)
            finally:
                await self._clean_up()
                self._enter("failed" if failure else "stopped")
                self._tell({"event": "stopped"})
        if failure is not None:
            raise failure

    async def _watch(self, asked: asyncio.Future[None], rising: asyncio.Future[None]) -> None:
        """Return when the cluster is asked to stop, and raise what fails meanwhile."""
        while not asked.done():
            tasks = [member.task for member in self._run.members if not member.task.done()]
            waited = {asked, *tasks} | (set() if rising.done() else {rising})
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for member in self._run.members:
                if member.failure is not None:
                    raise member.failure
            if rising.done():
                rising.result()

    # Coming up.

    async def _rise(self) -> None:
        """Return once all servers are ready, and the cluster is. Raises HyperkubeError."""
        starting = [asyncio.ensure_future(self._start(placed)) for placed in self.plan.servers]
        try:
            for task in asyncio.as_completed(starting):
                await task
        finally:
            for running in starting:
                running.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
        await self._until_ready()
        self._enter("ready")
        report = await self.report()
        seconds = round(self._run.clock.monotonic() - self._began, 3)
        self._tell(
            {
                "event": "ready",
                "name": self.home.name,
                "data_dir": str(self.home.folder),
                "seconds": seconds,
                "addresses": dict(report.addresses),
                "notes": list(report.notes),
            }
        )
        self._run.when_ready()

    async def _start(self, placed: Placed) -> None:
        name = placed.server.name
        for earlier in placed.after:
            await self._up[earlier].wait()
        args: list[str] = []
        for work in self.works:
            args += await self._asked(work.arguments(name), f"arguments of {name!r}")
        run = self._run
        try:
            invocation = run.host.parse(name, (*args, *placed.extra))
        except (UsageError, SettingsError) as exc:  # which tell of one command line; here there are many
            refused = HyperkubeError(f"server {name!r}: {exc}")
            refused.exit_code = exc.exit_code
            raise refused from exc
        member = Member(run, invocation, run.label(name), restart="on-failure", once_ready=True)
        run.statuses = [member.status if status.name == name else status for status in run.statuses]
        run.members.append(member)
        await member.ready()
        for work in self.works:
            await self._asked(work.started(name), f"what follows the start of {name!r}")
        self._up[name].set()

    async def _until_ready(self) -> None:
        waiting = "its servers"

        def tell(what: str) -> None:
            nonlocal waiting
            if what != waiting:
                waiting = what
                self._tell({"event": "waiting", "for": what})

        clock = self._run.clock
        for work in self.works:
            done = asyncio.ensure_future(self._asked(work.until_ready(tell), "whether the cluster is ready"))
            late = asyncio.ensure_future(clock.sleep(max(0.0, self._began + self._ready_seconds - clock.monotonic())))
            try:
                await asyncio.wait({done, late}, return_when=asyncio.FIRST_COMPLETED)
                if not done.done():
                    raise ClusterNotReady(
                        f"the cluster was not ready within {self._ready_seconds:g} s: it waits for {waiting}"
                    )
                done.result()
            finally:
                await _ended(done)
                await _ended(late)

    async def _asked(self, answer: Awaitable[Any], what: str) -> Any:
        """What a groundwork answers; whatever it raises, by name."""
        try:
            return await answer
        except HyperkubeError:
            raise
        except Exception as exc:  # a plugin's code, which may raise anything
            if isinstance(exc, OSError) and exc.errno in _NO_ROOM:  # which is no plugin's fault
                raise HyperkubeError(f"cannot write to {exc.filename or self.home.folder}: {exc.strerror}") from exc
            log.error("cannot prepare the cluster: %s", what, exc_info=exc)
            raise PluginError(self.plan.kind, f"{what}: {type(exc).__name__}: {exc}") from exc

    # Going down.

    async def _clean_up(self) -> None:
        problems = await clean_up(self.works, self._run.clock)
        for problem in problems:
            self._tell({"event": "warning", "message": problem})

    # What others see.

    async def report(self) -> Report:
        return await gathered(self.works, self._run.clock)

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._write()
        if phase == "stopping":
            self._tell({"event": phase})

    def _changed(self, status: Status) -> None:
        self._write()
        seconds = round(self._run.clock.monotonic() - self._began, 3)
        self._tell({"event": "server", **server_document(status), "pid": status.pid, "seconds": seconds})

    def _say_failed(self, error: HyperkubeError) -> None:
        from hyperkube_core._logfiles import last_lines

        server = error.server if isinstance(error, ServerError) else None
        event: dict[str, Any] = {"event": "failed", "error": str(error), "exit_status": error.exit_code}
        if server is not None:
            file = self.home.logs / f"{server}.log"
            event |= {"server": server, "log_file": str(file), "log": last_lines(file, 20)}
        self._tell(event)

    def _write(self) -> None:
        pid = os.getpid()
        run = {
            "kind": self.plan.kind,
            "phase": self._phase,
            "pid": pid,
            "began": beginning(pid),
            "since": self._since,
            "mode": self._mode,
            "servers": [
                {
                    **server_document(status),
                    "pid": status.pid,
                    "began": beginning(status.pid) if status.pid else None,
                }
                for status in self._run.statuses
            ],
            "missing": [{"server": item.server, "advice": item.advice} for item in self.plan.missing],
        }
        try:
            self.home.write(run=run)
        except OSError as exc:  # a full disk is no reason to stop serving
            log.error("cannot write the cluster's state down: %s", exc.strerror)


async def clean_up(works: Sequence[Groundwork], clock: Clock) -> list[str]:
    """Have every groundwork tidy up, those of later servers first; what could not be done, in words."""
    problems = []
    for work in reversed(works):
        task = asyncio.ensure_future(work.clean_up())
        late = asyncio.ensure_future(clock.sleep(CLEAN_UP_SECONDS))
        await asyncio.wait({task, late}, return_when=asyncio.FIRST_COMPLETED)
        late.cancel()
        if not task.done():
            await _ended(task)
            problems.append(f"tidying up took longer than {CLEAN_UP_SECONDS:g} s and was given up")
        elif (error := task.exception()) is not None:
            log.error("tidying up failed", exc_info=error)
            problems.append(f"tidying up failed: {error}")
    return problems


async def gathered(works: Sequence[Groundwork], clock: Clock) -> Report:
    """What all groundworks report, as one; those that fail or are late are left out."""
    from hyperkube_core._cluster import Report

    addresses: dict[str, str] = {}
    sections: dict[str, list[Mapping[str, Any]]] = {}
    notes: list[str] = []
    for work in works:
        task = asyncio.ensure_future(work.report())
        late = asyncio.ensure_future(clock.sleep(REPORT_SECONDS))
        await asyncio.wait({task, late}, return_when=asyncio.FIRST_COMPLETED)
        late.cancel()
        if not task.done() or task.exception() is not None:
            await _ended(task)
            notes.append("the cluster could not be asked for all of it")
            continue
        found = task.result()
        addresses |= found.addresses
        for title, rows in found.sections.items():
            sections.setdefault(title, []).extend(rows)
        notes += found.notes
    return Report(addresses=addresses, sections=sections, notes=notes)


async def _ended(future: asyncio.Future[Any]) -> None:
    future.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await future
