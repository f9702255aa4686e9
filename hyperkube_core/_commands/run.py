"""`hk run`: many servers together, in this process or as managed processes.

    hk run [flags of run] SERVER [its flags] SERVER [its flags] …

Where one server ends and the next begins: each server's flags are read with its own, so a word that is no flag and no
flag's value is the next server. `+` says so explicitly (`hk run etcd --listen 2379 + apiserver`). It is needed behind
a server that reads its command line itself, to which all words up to the next `+` belong, and behind `--`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from hyperkube_core._commandline import CommandLine, flag_set, reads_itself
from hyperkube_core._errors import UsageError
from hyperkube_core._flags import Given, Parsed
from hyperkube_core._lazy import SETTINGS, new_app, server_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hyperkube_core._launcher import HyperKube
    from hyperkube_core._server import Server

SEPARATOR = "+"


class Mode(StrEnum):
    """Where the servers run."""

    IN_PROCESS = "in-process"
    PROCESS = "process"


class RestartChoice(StrEnum):
    """Which servers that ended are started again."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


def command(launcher: HyperKube, before: Parsed) -> Any:
    """The command; `before` is what stood before its name."""
    app = new_app()

    class RunCommand(TyperCommand):
        """Behind a server's name, its flags are what may be meant."""

        def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
            names = set(launcher.names())
            name = next((word for word in reversed(ctx.params.get("words") or ()) if word in names), "")
            server = server_command(launcher, name) if name else None
            if server is None:
                return super().shell_complete(ctx, incomplete)
            return server.shell_complete(server.make_context(name, [], parent=ctx, resilient_parsing=True), incomplete)

    # Not annotated: annotations are read where `launcher` is not known.
    servers = typer.Argument(
        None,
        metavar="SERVER [ITS FLAGS] [SERVER [ITS FLAGS]]...",
        autocompletion=lambda incomplete: [name for name in launcher.names() if name.startswith(incomplete)],
    )

    @app.command("run", cls=RunCommand, context_settings={**SETTINGS, "allow_interspersed_args": False})
    def run(
        words: list[str] | None = servers,
        mode: Annotated[
            Mode, typer.Option(help="All in this process, or each in a process of its own that is managed.")
        ] = Mode.IN_PROCESS,
        restart: Annotated[
            RestartChoice | None,
            typer.Option(
                help="Whether a server that ended is started again, alone; a failure ends all otherwise."
                " By default never in one process, and on-failure in many."
            ),
        ] = None,
        status_file: Annotated[
            Path | None, typer.Option(help="Write how each server ended to this file, as JSON.")
        ] = None,
        verbosity: Annotated[str | None, typer.Option("--v", "-v", help="How much is logged.", metavar="N")] = None,
        logging_format: Annotated[str | None, typer.Option(help="auto, human, text or json.")] = None,
        log_color: Annotated[str | None, typer.Option(help="auto, always or never.")] = None,
    ) -> None:
        """Run many servers together: each is started when the one before it is ready, and stopped in reverse.

        A word that is no flag and no flag's value is the next server; '+' between two servers says so explicitly, and
        is needed behind one that reads its command line itself.
        """
        lines = list(read(launcher, words or ()))
        if not lines:
            raise UsageError("no server specified")
        for line in lines:
            if line.wants_help:
                launcher.call(line.server.name, ["--help"], called=f"{launcher.name} {line.server.name}")
                return
        own = Parsed()
        for flag, text in (("v", verbosity), ("logging-format", logging_format), ("log-color", log_color)):
            if text is not None:
                own.given.append(Given(flag, text, f"--{flag}"))
        log = launcher.log_settings(before, own, *(line.parsed for line in lines if not reads_itself(line.server)))
        how: dict[str, Any] = {"status_file": str(status_file) if status_file else ""}
        if restart is not None:
            how["restart"] = restart.value
        if mode is Mode.IN_PROCESS:
            launcher.start([launcher.invocation(line) for line in lines], log, **how)
        else:
            launcher.start_processes(lines, log, **how)

    return get_command(app)


def read(launcher: HyperKube, words: Sequence[str]) -> Iterator[CommandLine]:
    """The command line of each server in `words`. Raises what reading one alone raises."""
    from hyperkube_core._owncommands import ALPHA_WARNING

    for name, args in split(launcher, words):
        server = launcher.server(name)
        if server.alpha:
            launcher.print(f"{ALPHA_WARNING}\n", error=True)
        launcher.show_usage_of(server, f"{launcher.name} {name}")
        line = launcher.read(server, args, f"{launcher.name} {name}")
        if line.rest:
            words = ", ".join(f'"{word}"' for word in line.rest)
            raise UsageError(f'"{launcher.name} run" starts servers alone, got [{words}] for {name}')
        if line.wants_version or line.print_format is not None:
            asked = "version" if line.wants_version else "print-config"
            raise UsageError(f"--{asked} is for one server alone: call '{launcher.name} {name} --{asked}'")
        yield line


def split(launcher: HyperKube, words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The servers in `words`, each with its arguments."""
    position = 0
    while position < len(words):
        name = words[position]
        position += 1
        if name == SEPARATOR:
            continue
        if name.startswith("-"):
            raise UsageError(f"{name} stands where the name of a server is expected")
        server = launcher.server(name)
        launcher.show_usage_of(server, f"{launcher.name} {name}")
        start, position = position, _end(launcher, server, words, position)
        yield name, list(words[start:position])


def _end(launcher: HyperKube, server: Server, words: Sequence[str], position: int) -> int:
    """Where the arguments of `server` end, which begin at `position`."""
    flags = None if reads_itself(server) else flag_set(server, launcher.options_class(server))
    ignored = Parsed()
    while position < len(words) and words[position] != SEPARATOR:
        word = words[position]
        if flags is None:
            position += 1
        elif word == "--":
            flags = None
        elif len(word) < 2 or word[0] != "-":
            break
        else:
            position += flags.read(words, position, ignored)
    return min(position, len(words))
