"""`hk logs`: what a cluster's servers log."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.main import get_command

from hyperkube_core._clock import Clock
from hyperkube_core._commands.up import DataDir, Name
from hyperkube_core._errors import HyperkubeError, UsageError
from hyperkube_core._flags import near
from hyperkube_core._home import cluster_home
from hyperkube_core._lazy import SETTINGS, new_app
from hyperkube_core._lines import Relay, Splitter
from hyperkube_core._logfiles import last_lines, logged
from hyperkube_core._logging import LogSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyperkube_core._flags import Parsed
    from hyperkube_core._launcher import HyperKube

SECONDS = 0.2
"""How often files that are followed are looked at."""


def command(launcher: HyperKube, before: Parsed) -> Any:
    """The command; nothing that stands before its name matters to it."""
    app = new_app()

    @app.command("logs", context_settings=SETTINGS)
    def logs(
        servers: Annotated[
            list[str] | None,
            typer.Argument(metavar="[SERVER]...", help="Whose; 'hk' is what starts them. All of them."),
        ] = None,
        name: Name = None,
        data_dir: DataDir = None,
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what they log from now on.")] = False,
        tail: Annotated[int | None, typer.Option(metavar="LINES", help="Begin with so many lines of each.")] = None,
    ) -> None:
        """Show what a cluster's servers log; of several, each line begins with its server's name."""
        home = cluster_home(name, data_dir, launcher.environment)
        there = list(logged(home.logs))
        if not there and not follow:
            raise HyperkubeError(f"cluster {home.name!r} has logged nothing in {home.folder}")
        for server in servers or ():
            if server not in there and not follow:
                meant = near(server, there)
                hint = f"; did you mean {meant[0]!r}?" if meant else ""
                raise UsageError(f"cluster {home.name!r} has no log of {server!r}: there are {', '.join(there)}{hint}")
        shown = list(servers or there)
        write = _writer(launcher, shown)
        with ExitStack() as stack:
            tails = [Tail(home.logs / f"{label}.log", label, write, tail) for label in shown]
            for opened in tails:
                stack.callback(opened.close)
            if follow:
                stack.enter_context(suppress(KeyboardInterrupt))
                asyncio.run(_follow(tails, home.clock))

    return get_command(app)


def _writer(launcher: HyperKube, labels: Sequence[str]) -> Callable[[str, list[bytes]], None]:
    stream = launcher.output or sys.stdout
    if len(labels) > 1:
        relay = Relay(LogSettings(color="always" if stream.isatty() else "never", format="human"), stream)
        relay.align(list(labels))
        return relay.write

    def write(label: str, lines: list[bytes]) -> None:
        stream.write("".join(line.decode(errors="replace") + "\n" for line in lines))
        stream.flush()

    return write


class Tail:
    """A file that grows, and is replaced when it has grown long."""

    def __init__(self, path: Path, label: str, write: Callable[[str, list[bytes]], None], count: int | None) -> None:
        """Writes its last `count` lines (None: all) at once."""
        self._path = path
        self._label = label
        self._write = write
        self._splitter = Splitter()
        self._file: Any = None
        self._number = -1
        if count is not None:
            write(label, [line.encode() for line in last_lines(path, count)])
            self._open()
            if self._file is not None:
                self._file.seek(0, 2)
        else:
            self.read()

    def _open(self) -> None:
        try:
            self._file = self._path.open("rb")
        except OSError:
            self._file = None
            return
        self._number = self._inode(self._file.fileno())

    @staticmethod
    def _inode(file: int | Path) -> int:
        try:
            return os.stat(file).st_ino
        except OSError:
            return -1

    def read(self) -> None:
        """Write what was added."""
        if self._file is None:
            self._open()
        if self._file is None:
            return
        while data := self._file.read(1 << 16):
            self._write(self._label, self._splitter.feed(data))
        if self._inode(self._path) != self._number:
            self._file.close()
            self._file = None
            self._open()
            if self._file is not None:
                self.read()

    def close(self) -> None:
        """Write what it ended with, were it half a line."""
        if self._file is not None:
            self._file.close()
        self._write(self._label, self._splitter.flush())


async def _follow(tails: Sequence[Tail], clock: Clock) -> None:
    while True:
        for tail in tails:
            tail.read()
        await clock.sleep(SECONDS)
