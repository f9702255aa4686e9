"""`hk run`: where one server's words end and the next begins, and what is refused before anything starts."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hyperkube_core import (
    Command,
    Context,
    Coroutine,
    ForeignFlag,
    HyperKube,
    HyperkubeError,
    Server,
    ServerNotFound,
    SettingsError,
    UnknownFlag,
    UsageError,
    flag,
)
from hyperkube_core._commands.run import split
from hyperkube_core.testing import Installed


@dataclass(frozen=True, slots=True)
class Options:
    port: int = flag(0)
    name: str = flag("")
    fast: bool = flag(False)

    @staticmethod
    def foreign_flags() -> dict[str, ForeignFlag]:
        return {"old": ForeignFlag("warned", "gone"), "older": ForeignFlag("warned", "gone", takes_value=False)}


@dataclass
class Launch:
    def __post_init__(self) -> None:
        self.ran: list[str] = []
        self.output = io.StringIO()
        self.hk = HyperKube("hk", group="hk.nobody", output=self.output, environment={})
        for name in ("a", "b"):
            self.hk.add_server(
                Server(
                    name=name,
                    aliases=(f"kube-{name}",),
                    long=f"Long of {name}.",
                    run=Coroutine(self.serve),
                    options=Options,
                    completes=True,
                )
            )
        self.hk.add_server(Server(name="tool", run=Command(("tool",))))
        self.hk.add_server(
            Server(name="grouped", run=Coroutine(self.serve), options=Options, commands="nobody:app", completes=True)
        )
        self.hk.add_server(Server(name="young", run=Coroutine(self.serve), options=Options, completes=True, alpha=True))

    async def serve(self, context: Context[Options]) -> None:
        self.ran.append(f"{context.name} {context.options.port}")
        context.ready.set()

    def run(self, *words: str) -> list[str]:
        self.hk.run(["hk", "run", *words])
        return self.ran


@pytest.fixture
def launch() -> Launch:
    return Launch()


@pytest.mark.parametrize(
    ("words", "segments"),
    [
        (["a"], [("a", [])]),
        (["a", "b"], [("a", []), ("b", [])]),
        (["a", "--port=1", "b", "--port", "2"], [("a", ["--port=1"]), ("b", ["--port", "2"])]),
        (["a", "--name", "b", "b"], [("a", ["--name", "b"]), ("b", [])]),
        (["a", "--fast", "b"], [("a", ["--fast"]), ("b", [])]),
        (["a", "--old", "b", "b"], [("a", ["--old", "b"]), ("b", [])]),
        (["a", "--older", "b"], [("a", ["--older"]), ("b", [])]),
        (["a", "-v", "2", "kube-b", "-v3"], [("a", ["-v", "2"]), ("kube-b", ["-v3"])]),
        (["a", "+", "b"], [("a", []), ("b", [])]),
        (["tool", "get", "a", "-x", "+", "b"], [("tool", ["get", "a", "-x"]), ("b", [])]),
        (["a", "--", "b", "+", "b"], [("a", ["--", "b"]), ("b", [])]),
        (["+", "a", "+", "+"], [("a", [])]),
        ([], []),
    ],
)
def test_each_servers_words_are_told_by_its_own_flags(
    launch: Launch, words: Sequence[str], segments: list[tuple[str, list[str]]]
) -> None:
    assert list(split(launch.hk, words)) == segments


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ([], UsageError, "no server specified"),
        (["c"], ServerNotFound, "Server not found: c"),
        (["a", "c"], ServerNotFound, "Server not found: c"),
        (["a", "--bad"], UnknownFlag, "unknown flag: --bad"),
        (["--bad", "a"], UnknownFlag, "unknown flag: --bad"),
        (["+", "--port=1"], UsageError, "--port=1 stands where the name of a server is expected"),
        (["a", "b", "--port=x"], SettingsError, 'flag --port: invalid value: "x" is not a whole number'),
        (["a", "--", "x"], UsageError, '"hk a" does not take any arguments, got ["x"]'),
        (["grouped", "--", "x"], UsageError, '"hk run" starts servers alone, got ["x"] for grouped'),
        (["a", "--version"], UsageError, "--version is for one server alone: call 'hk a --version'"),
        (["--mode=threads", "a"], UsageError, "Invalid value for '--mode'"),
    ],
)
def test_nothing_starts_where_something_is_wrong(
    launch: Launch, words: Sequence[str], error: type[HyperkubeError], text: str
) -> None:
    with pytest.raises(error) as caught:
        launch.run(*words)
    assert text in str(caught.value)
    assert launch.ran == []


def test_the_usage_is_that_of_the_server_whose_flag_is_wrong(launch: Launch) -> None:
    with pytest.raises(UnknownFlag):
        launch.run("a", "b", "--bad")
    assert "Long of b." in launch.output.getvalue()
    assert "Long of a." not in launch.output.getvalue()


def test_servers_run_in_order_each_with_its_own_flags(launch: Launch) -> None:
    assert launch.run("--mode=in-process", "--restart=never", "a", "--port=1", "b", "--port=2") == ["a 1", "b 2"]


def test_help_among_a_servers_words_is_that_servers(launch: Launch) -> None:
    launch.run("a", "--port=1", "--help", "b")
    assert "Long of a." in launch.output.getvalue()
    assert launch.ran == []


def test_an_alpha_server_runs_with_the_warning(launch: Launch) -> None:
    assert launch.run("young") == ["young 0"]
    assert "Warning: alpha command syntax is unstable!" in launch.output.getvalue()


def test_runs_own_flags_are_read_as_go_would(launch: Launch, tmp_path: Path) -> None:
    status = tmp_path / "status.json"
    launch.run(f"--status_file={status}", "-v=1", "--logging_format=json", "a", "b")
    assert [server["name"] for server in json.loads(status.read_text())["servers"]] == ["a", "b"]


PLUGIN = """
from __future__ import annotations
from dataclasses import dataclass
from typing import Any
from hyperkube_core import Context, Coroutine, ForeignFlag, Server, flag, hookimpl

@dataclass(frozen=True)
class Options:
    port: int = flag(0)
    foreign_flags = {"old": ForeignFlag("warned", "it is gone")}

async def serve(context: Context[Any]) -> None:
    print(context.name, context.options.port, flush=True)
    context.ready.set()

@hookimpl
def hyperkube_servers() -> list[Server]:
    return [Server(name=name, run=Coroutine(serve), options=Options, completes=True) for name in ("one", "two")]
"""


def test_processes_get_their_own_flags_and_give_their_own_warnings(
    install_plugin: Callable[..., Installed], hk: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    install_plugin("one", PLUGIN, aliases=["two"])
    done = hk("-v=1", "run", "--mode=process", "one", "--port=1", "--old=x", "two", "--port=2")
    assert done.returncode == 0, done.stderr
    assert "one 1" in done.stdout + done.stderr
    assert "two 2" in done.stdout + done.stderr
    assert done.stderr.count("flag --old has no effect: it is gone") == 1


def test_the_typer_front_runs_servers_as_the_launcher_does(launch: Launch) -> None:
    from hyperkube_core._lazy import LauncherGroup

    group: Any = LauncherGroup(launch.hk)
    group.main(args=["a", "--port=5"], prog_name="hk", standalone_mode=False)
    assert launch.ran == ["a 5"]
    with pytest.raises(UnknownFlag):
        group.main(args=["a", "--bad"], prog_name="hk", standalone_mode=False)
