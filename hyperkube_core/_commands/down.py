"""`hk down`: a cluster is stopped, whoever holds it, and nothing of it is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.main import get_command

from hyperkube_core._clusters import groundworks_of
from hyperkube_core._commands.up import LEFTOVER_SECONDS, DataDir, Name
from hyperkube_core._errors import ClusterInUse, CommandEnded, HyperkubeError
from hyperkube_core._home import Home, beginning, cluster_home
from hyperkube_core._lazy import SETTINGS, new_app
from hyperkube_core._topology import clean_up

if TYPE_CHECKING:
    from hyperkube_core._flags import Parsed
    from hyperkube_core._launcher import HyperKube


_LOOK_SECONDS = 0.05
"""How long to wait before it is looked again who holds a data directory."""


def command(launcher: HyperKube, before: Parsed) -> Any:
    """The command; nothing that stands before its name matters to it."""
    app = new_app()

    @app.command("down", context_settings=SETTINGS)
    def down(
        name: Name = None,
        data_dir: DataDir = None,
        delete: Annotated[bool, typer.Option("--delete", help="Remove its data directory as well.")] = False,
        timeout: Annotated[
            float, typer.Option(metavar="SECONDS", min=0, help="After this long its processes are killed.")
        ] = 60.0,
    ) -> None:
        """Stop a cluster, and end all that its servers left running."""
        home = cluster_home(name, data_dir, launcher.environment)
        if not home.exists():
            launcher.print(f"cluster {home.name!r}: there is none in {home.folder}\n")
            return
        _ = home.state  # before anything is done to what is somebody else's
        problems = asyncio.run(_end(launcher, home, timeout))
        if delete and not problems:
            problems = _removed(home)
        for problem in problems:
            launcher.print(f"Warning: {problem}\n", error=True)
        home.release()
        if problems:
            raise CommandEnded(1)
        launcher.print(f"cluster {home.name!r} is {'deleted' if delete else 'stopped'}\n")

    return get_command(app)


def _removed(home: Home) -> list[str]:
    """Remove the data directory; why that can't be done, in words."""
    try:
        home.remove()
    except HyperkubeError as exc:
        return [str(exc)]
    except OSError as exc:
        return [f"{exc.filename or home.folder} cannot be removed: {exc.strerror}"]
    return []


async def _end(launcher: HyperKube, home: Home, patience: float) -> list[str]:
    """Hold the data directory with no process of the cluster left; what could not be tidied up, in words."""
    deadline = home.clock.monotonic() + LEFTOVER_SECONDS
    while not home.try_lock():
        home.forget()  # an `hk up` that has just begun writes down a moment later who it is
        pid = home.runner()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            await _until_gone(home, patience)
            deadline = home.clock.monotonic() + LEFTOVER_SECONDS
        elif home.clock.monotonic() >= deadline:
            await _kill_servers(home)
        else:
            await home.clock.sleep(_LOOK_SECONDS)
    home.forget()
    problems = await clean_up(groundworks_of(launcher, home), home.clock)
    run = home.state.get("run")
    if run and not problems and run.get("phase") not in ("stopped", "failed"):  # its `hk up` had no time to say so
        home.write(run={**run, "phase": "stopped"})
    return problems


async def _until_gone(home: Home, patience: float) -> None:
    """Return once the `hk up` is gone, killed if it takes longer: its servers end by themselves then.

    Who it is was written down before it was asked to end: it may be gone by the time that this looks.
    """
    deadline = home.clock.monotonic() + patience
    while (pid := home.runner()) is not None:
        if home.clock.monotonic() >= deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            deadline = home.clock.monotonic() + patience
        await home.clock.sleep(0.02)


async def _kill_servers(home: Home) -> None:
    """Kill servers that went on although their `hk up` is gone. Raises ClusterInUse where that does not help."""
    for server in (home.state.get("run") or {}).get("servers", ()):
        pid, began = server.get("pid"), server.get("began")
        if pid and began and beginning(pid) == began:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
    if not await home.lock_within(LEFTOVER_SECONDS):
        raise ClusterInUse(f"{home.folder}: a process holds {home.folder / 'lock'} and can't be ended")
