"""`hk up`: a cluster of all that is installed, in the foreground or left running."""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.main import get_command

from hyperkube_core._clusters import Plan, Wish, chosen, find, groundworks, plan
from hyperkube_core._commands.run import Mode
from hyperkube_core._detached import in_background
from hyperkube_core._errors import ClusterInUse, CommandEnded, HyperkubeError, UsageError
from hyperkube_core._flags import Given, Parsed
from hyperkube_core._home import Home, cluster_home
from hyperkube_core._lazy import SETTINGS, new_app
from hyperkube_core._shown import JSONLines, LiveTable, Shown, reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyperkube_core._context import Gate
    from hyperkube_core._launcher import HyperKube
    from hyperkube_core._logging import LogSettings
    from hyperkube_core._placing import MakeBody

LEFTOVER_SECONDS = 15.0
"""How long the servers of a cluster whose `hk up` was killed may take to end by themselves."""

Name = Annotated[
    str | None,
    typer.Option("--name", help="The cluster's name, by which commands find it: 'default', or as --data-dir has it."),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="Where it keeps everything; by default a folder of its name."),
]


class Show(StrEnum):
    """How the coming up is shown."""

    AUTO = "auto"
    TABLE = "table"
    JSON = "json"


def command(launcher: HyperKube, before: Parsed) -> Any:
    """The command; `before` is what stood before its name."""
    app = new_app()

    @app.command("up", context_settings=SETTINGS)
    def up(
        detach: Annotated[
            bool, typer.Option("--detach", "-d", help="Return once it is ready, and leave it running.")
        ] = False,
        name: Name = None,
        data_dir: DataDir = None,
        mode: Annotated[
            Mode, typer.Option(help="All in this process, or each server in a process of its own that is managed.")
        ] = Mode.PROCESS,
        in_process: Annotated[bool, typer.Option("--in-process", help="The same as --mode=in-process.")] = False,
        without: Annotated[
            list[str] | None, typer.Option(metavar="SERVER", help="Leave a server out. May be repeated.")
        ] = None,
        with_: Annotated[
            list[str] | None,
            typer.Option("--with", metavar="SERVER", help="Run another installed server, too. May be repeated."),
        ] = None,
        settings: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="SERVER.FLAG=VALUE", help="Give a server a flag. May be repeated."),
        ] = None,
        kind: Annotated[
            str, typer.Option(metavar="KIND", help="The kind of cluster, where several are installed.")
        ] = "",
        timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long it may take to be ready.")] = 120.0,
        output: Annotated[
            Show, typer.Option("--output", "-o", help="A table that lives, or a JSON object for each event.")
        ] = Show.AUTO,
        verbosity: Annotated[str | None, typer.Option("--v", "-v", help="How much is logged.", metavar="N")] = None,
        logging_format: Annotated[str | None, typer.Option(help="human, text or json, for the log files.")] = None,
    ) -> None:
        """Start a cluster of all the servers that are installed, and stop it with Ctrl-C or 'down'.

        Each server starts as soon as those that it needs are ready. What servers log is in a file for each of them,
        which 'logs' shows.
        """
        if timeout <= 0:
            raise UsageError(f"--timeout {timeout:g}: give the seconds that it may take to be ready, more than none")
        wish = Wish(with_ or (), without or (), settings or ())
        mode = Mode.IN_PROCESS if in_process else mode
        own = Parsed()
        for flag, text in (("v", verbosity), ("logging-format", logging_format)):
            if text is not None:
                own.given.append(Given(flag, text, f"--{flag}"))
        log = launcher.log_settings(before, own)
        found = find(launcher)
        brand = launcher.group.partition(".")[0]
        meant = chosen(found, kind, launcher.name, brand)
        planned = plan(launcher, meant, found.kinds[meant], wish)
        home = cluster_home(name, data_dir, launcher.environment)
        home.servers = tuple(placed.server.name for placed in planned.servers)
        home.in_process = mode is Mode.IN_PROCESS
        home.make()
        asyncio.run(claim(home, launcher.name))

        def serve(shown: Shown) -> None:
            for error in found.broken:
                shown.take({"event": "warning", "message": str(error)})
            raise_cluster(launcher, home, planned, mode=mode, ready_seconds=timeout, log=log, shown=shown)

        if detach:
            in_background(serve, home, lambda: _shown(output, home.name, launcher))
            return
        shown = _shown(output, home.name, launcher, hint="Ctrl-C stops it.")
        try:
            serve(shown)
        finally:
            shown.close()

    return get_command(app)


def _shown(output: Show, name: str, launcher: HyperKube, *, hint: str = "") -> Shown:
    stream = launcher.output or sys.stdout
    if output is Show.TABLE or (output is Show.AUTO and stream.isatty()):
        return LiveTable(name, stream, hint=hint)
    return JSONLines(stream)


async def claim(home: Home, program: str) -> None:
    """Hold the data directory. What is left of a cluster whose `hk up` was killed is waited for.

    Raises ClusterInUse.
    """
    if home.try_lock():
        return
    deadline = home.clock.monotonic() + LEFTOVER_SECONDS
    while True:
        home.forget()
        pid = home.runner()
        if pid is not None:
            raise ClusterInUse(
                f"cluster {home.name!r} runs already (process {pid}, in {home.folder}): '{program} status' tells how it"
                f" fares, '{program} down' ends it"
            )
        if await home.lock_within(0.2):
            return
        if home.clock.monotonic() >= deadline:
            raise ClusterInUse(f"{home.folder} is held by processes of a cluster that has no '{program} up' any more")


def raise_cluster(
    launcher: HyperKube,
    home: Home,
    planned: Plan,
    *,
    mode: Mode,
    ready_seconds: float,
    log: LogSettings,
    shown: Shown,
) -> None:
    """Run the cluster until a signal asks it to stop. Raises the HyperkubeError that ended it otherwise."""
    from hyperkube_core._lifeline import arm
    from hyperkube_core._logfiles import LogFiles
    from hyperkube_core._loop import new_event_loop, run_until_complete
    from hyperkube_core._runner import Run, conduct
    from hyperkube_core._topology import Topology, crash_loop

    files = LogFiles(home.logs)
    tether = arm()
    here = mode is Mode.IN_PROCESS
    failed: Mapping[str, Any] = {}

    def tell(event: Mapping[str, Any]) -> None:
        nonlocal failed
        if event["event"] == "failed":
            failed = event
        shown.take(event)

    async def serve(run: Run, stop: Gate) -> None:
        works = groundworks(planned.contributions, home)
        topology = Topology(run, planned, home, works, mode=str(mode), ready_seconds=ready_seconds, tell=tell)
        await topology.serve(stop)

    def make_run() -> Run:
        return Run(
            host=launcher,
            clock=home.clock,
            make_body=_bodies(files, home, here=here),
            crash_loop=crash_loop,
            when_ready=tether.ready if tether else lambda: None,
        )

    try:
        launcher.set_logging_up(_for_files(log), files.handler())
        loop = new_event_loop((placed.server for placed in planned.servers) if here else ())
        run_until_complete(loop, conduct(serve, make_run, tether=tether, forwards=not here))
    except HyperkubeError as exc:
        if not failed:
            tell({"event": "failed", "error": str(exc), "exit_status": exc.exit_code})
        raise CommandEnded(exc.exit_code, reason(failed)) from exc
    finally:
        files.close()


def _bodies(files: Any, home: Home, *, here: bool) -> MakeBody:
    from hyperkube_core._placing import body_here, body_in_process
    from hyperkube_core._server import Command

    elsewhere = body_in_process(files, (home.lock,))

    def make_body(invocation: Any, label: str, context: Any) -> Any:
        if here and not isinstance(invocation.server.run, Command):
            return body_here(invocation, label, context)
        return elsewhere(invocation, label, context)

    return make_body


def _for_files(log: LogSettings) -> LogSettings:
    from dataclasses import replace

    return replace(log, format="klog" if log.format == "auto" else log.format, color="never")
