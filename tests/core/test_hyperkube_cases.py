"""The 22 cases of hyperkube's own test, and those of its text wrapping, in its words where they fit.

Where a case differs, docs/explanation/differences-from-hyperkube.md says why. Source: cmd/hyperkube/hyperkube_test.go
and pkg/util/template/template_test.go of Kubernetes 1.9.
"""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import typer

from hyperkube_core import (
    Blocking,
    Context,
    Coroutine,
    HyperKube,
    HyperkubeError,
    Interrupted,
    Server,
    ServerCrashed,
    ServerNotFound,
    UnknownFlag,
    UsageError,
    flag,
)
from hyperkube_core._help import wrap


@dataclass(frozen=True, slots=True)
class NoOptions:
    pass


@dataclass(frozen=True, slots=True)
class MessageOptions:
    msg: str = flag("default message", help="A message to be printed.")


@dataclass
class Outcome:
    """What one call of the launcher came to."""

    error: HyperkubeError | None
    output: str
    ran: list[str]


@dataclass
class Launch:
    """A launcher with the servers of hyperkube's test."""

    ran: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.output = io.StringIO()
        self.hyperkube = HyperKube(
            "hyperkube",
            long="hyperkube is an all-in-one binary that can run any of the various Kubernetes servers.",
            group="hyperkube.test.nobody",
            output=self.output,
            environment={},
        )
        for name in ("test1", "test2", "test3"):
            self.add(name, self._completes)
        self.add("test-error", self._fails)
        self.add("testAlpha1", self._completes, alpha=True)
        self.add("test-cobra-command", self._prints, options=MessageOptions, commands=f"{__name__}:subcommands")

    def add(self, name: str, target: Any, *, options: Any = NoOptions, run: Any = Coroutine, **more: Any) -> None:
        long = f"A simple server named {name}"
        more = {"completes": True, **more}
        self.hyperkube.add_server(Server(name=name, long=long, run=run(target), options=options, **more))

    def __call__(self, command_line: str) -> Outcome:
        error = None
        try:
            self.hyperkube.run(command_line.split())
        except HyperkubeError as exc:
            error = exc
        return Outcome(error, self.output.getvalue(), self.ran)

    async def _completes(self, context: Context[Any]) -> None:
        self.ran.append(f"{context.name} Run")

    async def _fails(self, context: Context[Any]) -> None:
        self.ran.append(f"{context.name} Run")
        raise RuntimeError("server returning error")

    async def _prints(self, context: Context[MessageOptions]) -> None:
        self.ran.append(f"msg: {context.options.msg}")

    # Servers that are asked to stop at once, as with the closed channel of the original.

    def ignores_the_stop(self, context: Context[Any]) -> None:
        self.ran.append(f"{context.name} Run")
        os.kill(os.getpid(), signal.SIGTERM)
        self.released.wait()

    def respects_the_stop(self, context: Context[Any]) -> None:
        self.ran.append(f"{context.name} Run")
        os.kill(os.getpid(), signal.SIGTERM)
        context.stopping.wait()

    def fails_when_stopped(self, context: Context[Any]) -> None:
        self.respects_the_stop(context)
        raise RuntimeError("server returning error")


subcommands = typer.Typer()
SUBCOMMANDS_RAN: list[str] = []


@subcommands.command("subcommand")
def subcommand(submsg: str = typer.Option("default submessage", help="A submessage to be printed.")) -> None:
    """Print a submessage."""
    SUBCOMMANDS_RAN.append(f"submsg: {submsg}")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Launch]:
    launch = Launch()
    SUBCOMMANDS_RAN.clear()
    # Import strings have to reach this very module, which pytest imports under a name of its own.
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules[Launch.__module__])
    yield launch
    launch.released.set()


def test_run_runs_the_server(run: Launch) -> None:
    outcome = run("hyperkube test1")
    assert outcome.ran == ["test1 Run"]
    assert outcome.error is None


def test_link_run_runs_the_server_of_the_links_name(run: Launch) -> None:
    outcome = run("test1")
    assert outcome.ran == ["test1 Run"]
    assert outcome.error is None


def test_top_no_args_is_an_error(run: Launch) -> None:
    assert str(run("hyperkube").error) == "no server specified"


def test_bad_server_is_not_found_and_usage_is_shown(run: Launch) -> None:
    outcome = run("hyperkube bad-server")
    assert isinstance(outcome.error, ServerNotFound)
    assert str(outcome.error) == "Server not found: bad-server"
    assert "Usage" in outcome.output


def test_top_help_shows_the_launcher_and_its_servers(run: Launch) -> None:
    outcome = run("hyperkube --help")
    assert outcome.error is None
    assert "all-in-one" in outcome.output
    assert "A simple server named test1" in outcome.output


def test_top_flags_before_a_server_are_the_launchers(run: Launch) -> None:
    outcome = run("hyperkube --help test1")
    assert outcome.error is None
    assert "all-in-one" in outcome.output
    assert "A simple server named test1" in outcome.output
    assert outcome.ran == []


def test_top_flags_bad_shows_the_launchers_usage(run: Launch) -> None:
    outcome = run("hyperkube --bad-flag")
    assert isinstance(outcome.error, UnknownFlag)
    assert str(outcome.error) == "unknown flag: --bad-flag"
    assert "all-in-one" in outcome.output
    assert "A simple server named test1" in outcome.output


def test_server_help_is_the_servers(run: Launch) -> None:
    outcome = run("hyperkube test1 --help")
    assert outcome.error is None
    assert "A simple server named test1" in outcome.output
    assert "-h, --help" in outcome.output
    assert "help for hyperkube" in outcome.output
    assert outcome.ran == []


def test_server_flags_bad_shows_the_servers_usage(run: Launch) -> None:
    outcome = run("hyperkube test1 --bad-flag")
    assert str(outcome.error) == "unknown flag: --bad-flag"
    assert "A simple server named test1" in outcome.output
    assert "-h, --help" in outcome.output
    assert "help for hyperkube" in outcome.output
    assert outcome.ran == []


def test_server_error_is_the_launchers(run: Launch) -> None:
    outcome = run("hyperkube test-error")
    assert outcome.ran == ["test-error Run"]
    assert isinstance(outcome.error, ServerCrashed)
    assert "server returning error" in str(outcome.error)


def test_alpha_run_runs_the_server_with_a_warning(run: Launch) -> None:
    outcome = run("hyperkube alpha testAlpha1")
    assert outcome.error is None
    assert outcome.ran == ["testAlpha1 Run"]
    assert "Warning: alpha command syntax is unstable!" in outcome.output


def test_alpha_no_args_is_an_error(run: Launch) -> None:
    assert str(run("hyperkube alpha").error) == "no alpha server specified"


def test_alpha_bad_server_is_not_found_and_usage_is_shown(run: Launch) -> None:
    outcome = run("hyperkube alpha bad-server")
    assert str(outcome.error) == "Server not found: bad-server"
    assert "Usage" in outcome.output


def test_stop_ch_ignoring_server_is_abandoned(run: Launch) -> None:
    run.add("test-ignores", run.ignores_the_stop, run=Blocking, stop_seconds=0.01)
    outcome = run("hyperkube test-ignores")
    assert outcome.ran == ["test-ignores Run"]
    assert isinstance(outcome.error, Interrupted)
    assert "interrupted" in str(outcome.error)


def test_stop_ch_respecting_server_ends_without_error(run: Launch) -> None:
    run.add("test-respects", run.respects_the_stop, run=Blocking)
    outcome = run("hyperkube test-respects")
    assert outcome.ran == ["test-respects Run"]
    assert outcome.error is None


def test_stop_ch_respecting_server_with_error_keeps_its_error(run: Launch) -> None:
    run.add("test-respects-error", run.fails_when_stopped, run=Blocking)
    outcome = run("hyperkube test-respects-error")
    assert outcome.ran == ["test-respects-error Run"]
    assert isinstance(outcome.error, ServerCrashed)
    assert "server returning error" in str(outcome.error)


def test_cobra_command_help_describes_the_flag(run: Launch) -> None:
    outcome = run("hyperkube test-cobra-command --help")
    assert outcome.error is None
    assert "A simple server named test-cobra-command" in outcome.output
    assert "A message to be printed." in outcome.output
    assert outcome.ran == []


def test_cobra_command_default_message(run: Launch) -> None:
    assert run("hyperkube test-cobra-command").ran == ["msg: default message"]


def test_cobra_command_message(run: Launch) -> None:
    assert run("hyperkube test-cobra-command --msg foobar").ran == ["msg: foobar"]


def test_cobra_subcommand_help_describes_the_flag(run: Launch) -> None:
    outcome = run("hyperkube test-cobra-command subcommand --help")
    assert outcome.error is None
    assert "A submessage to be printed." in outcome.output
    assert SUBCOMMANDS_RAN == []


def test_cobra_subcommand_default_message(run: Launch) -> None:
    run("hyperkube test-cobra-command subcommand")
    assert SUBCOMMANDS_RAN == ["submsg: default submessage"]


def test_cobra_subcommand_message(run: Launch) -> None:
    outcome = run("hyperkube test-cobra-command subcommand --submsg=foobar")
    assert outcome.error is None
    assert SUBCOMMANDS_RAN == ["submsg: foobar"]


def test_subcommand_that_there_is_not_is_named(run: Launch) -> None:
    outcome = run("hyperkube test-cobra-command subcomand")
    assert isinstance(outcome.error, UsageError)
    assert 'unknown command "subcomand" for "test-cobra-command"' in str(outcome.error)
    assert "subcommand" in str(outcome.error)


def test_wrap_breaks_paragraphs_and_keeps_preformatted_text() -> None:
    text = (
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore\n"
        "et dolore magna aliqua.\n"
        "\n"
        "\n"
        "    $ kept as it is,     spaces and all, were it longer than eighty characters, as it stands here indeed\n"
        "Ut enim.\n"
    )
    assert wrap(text, "**") == (
        "**Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor\n"
        "**incididunt ut labore et dolore magna aliqua.\n"
        "\n"
        "**    $ kept as it is,     spaces and all, were it longer than eighty characters, as it stands here indeed\n"
        "**Ut enim."
    )
    assert all(len(line) <= 80 for line in wrap(text, "**").splitlines() if "$" not in line)


def test_trim_takes_blank_lines_away_around_a_text() -> None:
    assert wrap("\n\n  \none\ntwo\n \n\n") == "one two"
