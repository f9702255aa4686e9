"""The fourteen behaviours of hyperkube that are kept, one test each, by their number.

docs/explanation/differences-from-hyperkube.md has the same numbers, and says what differs.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hyperkube_core import (
    Blocking,
    Context,
    Coroutine,
    HyperKube,
    HyperkubeError,
    Interrupted,
    Server,
    ServerNotFound,
    UnknownFlag,
    UsageError,
    flag,
)
from hyperkube_core._logging import current


@dataclass(frozen=True, slots=True)
class Options:
    secure_port: int = flag(6443, help="The port to serve on.")


class Hyperkube:
    """A launcher called hyperkube with one server, and what it printed and ran."""

    def __init__(self) -> None:
        self.output = io.StringIO()
        self.ran: list[tuple[str, Any]] = []
        self.launcher = HyperKube(
            "hyperkube", long="All in one.", group="hyperkube.test.nobody", output=self.output, environment={}
        )
        self.launcher.add_server(
            Server(
                name="apiserver",
                aliases=("kube-apiserver",),
                long="The main API entrypoint and interface to the storage system, and where all decisions are made.",
                run=Coroutine(self.serve),
                options=Options,
                completes=True,
            )
        )
        self.launcher.add_server(Server(name="young", run=Coroutine(self.serve), completes=True, alpha=True))

    async def serve(self, context: Context[Any]) -> None:
        self.ran.append((context.name, context.options))

    def __call__(self, *argv: str) -> str:
        self.output.seek(0)
        self.output.truncate()
        self.launcher.run(argv)
        return self.output.getvalue()


@pytest.fixture
def hyperkube() -> Hyperkube:
    return Hyperkube()


def test_behaviour_01_a_server_is_found_by_its_name_and_its_other_name(hyperkube: Hyperkube) -> None:
    hyperkube("hyperkube", "apiserver")
    hyperkube("hyperkube", "kube-apiserver")
    assert [name for name, _ in hyperkube.ran] == ["apiserver", "apiserver"]


def test_behaviour_02_the_name_of_the_program_is_that_of_the_server(hyperkube: Hyperkube, tmp_path: Path) -> None:
    hyperkube("/usr/bin/kube-apiserver", "--secure-port=1")
    assert hyperkube.ran == [("apiserver", Options(1))]
    link = tmp_path / "kubelet"
    link.symlink_to("hyperkube")
    with pytest.raises(ServerNotFound, match="Server not found: kubelet"):
        hyperkube(str(link))


def test_behaviour_03_flags_before_the_server_are_merged_into_its_own(hyperkube: Hyperkube) -> None:
    hyperkube("hyperkube", "-v=3", "apiserver", "--secure_port", "2")
    assert hyperkube.ran == [("apiserver", Options(2))]
    assert current().verbosity == 3
    with pytest.raises(UnknownFlag, match="unknown flag: --secure-port"):
        hyperkube("hyperkube", "--secure-port=2", "apiserver")
    assert hyperkube("hyperkube", "--version").startswith("hyperkube ")
    assert hyperkube("hyperkube", "apiserver", "--version").startswith("apiserver ")


def test_behaviour_04_help_before_a_server_is_the_launchers_and_after_it_the_servers(hyperkube: Hyperkube) -> None:
    assert hyperkube("hyperkube", "--help", "apiserver").startswith("All in one.\n")
    assert hyperkube("hyperkube", "apiserver", "--help").startswith("The main API entrypoint")
    assert hyperkube.ran == []


def test_behaviour_05_links_are_made_for_primary_names_and_each_failure_is_printed(
    hyperkube: Hyperkube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "hyperkube"
    program.touch()
    hyperkube.launcher.program = [str(program)]
    monkeypatch.chdir(tmp_path)
    hyperkube("hyperkube", "--make-symlinks")
    assert sorted(os.listdir()) == ["apiserver", "hyperkube"]
    (tmp_path / "apiserver").unlink()
    (tmp_path / "apiserver").mkdir()
    with pytest.raises(HyperkubeError, match=r"^Error creating one or more symlinks\.$"):
        hyperkube("hyperkube", "--make-symlinks")
    assert "apiserver: File exists" in hyperkube.output.getvalue()


def test_behaviour_06_alpha_servers_are_a_group_with_a_warning(hyperkube: Hyperkube) -> None:
    assert "Warning: alpha command syntax is unstable!" in hyperkube("hyperkube", "alpha", "young")
    assert [name for name, _ in hyperkube.ran] == ["young"]
    with pytest.raises(UsageError, match="call 'hyperkube alpha young'"):
        hyperkube("hyperkube", "young")


def test_behaviour_07_a_server_that_ignores_the_stop_is_abandoned(hyperkube: Hyperkube) -> None:
    import signal
    import threading

    released = threading.Event()

    def ignore(context: Context[Any]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        released.wait()

    hyperkube.launcher.add_server(Server(name="deaf", run=Blocking(ignore), stop_seconds=0.01))
    try:
        with pytest.raises(Interrupted) as caught:
            hyperkube("hyperkube", "deaf")
    finally:
        released.set()
    assert "interrupted" in str(caught.value)


def test_behaviour_08_output_goes_where_it_was_told_and_errors_have_a_status(
    hyperkube: Hyperkube, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        hyperkube.launcher.run_to_exit(["hyperkube", "nobody"])
    assert caught.value.code == 2
    assert "Error: Server not found: nobody" in hyperkube.output.getvalue()
    assert capsys.readouterr() == ("", "")


def test_behaviour_09_usage_has_the_form_that_it_had(hyperkube: Hyperkube) -> None:
    text = hyperkube("hyperkube", "--help")
    assert text.startswith(
        "All in one.\n\nUsage\n\n  hyperkube <server> [flags]\n\nServers\n\n  apiserver\n    The main"
    )
    assert "Call 'hyperkube <server> --help' for help on a specific server.\n" in text
    assert all(len(line) <= 80 for line in text.partition("Flags\n")[0].splitlines())
    server = hyperkube("hyperkube", "apiserver", "--help")
    assert "\n\nUsage:\n  hyperkube apiserver [flags]\n\nAvailable Flags:\n" in server


def test_behaviour_10_errors_have_the_words_that_they_had(hyperkube: Hyperkube) -> None:
    for argv, words in (
        (["hyperkube"], "no server specified"),
        (["hyperkube", "alpha"], "no alpha server specified"),
        (["hyperkube", "x"], "Server not found: x"),
        (["hyperkube", "--x"], "unknown flag: --x"),
        (["hyperkube", "apiserver", "--x=1"], "unknown flag: --x"),
    ):
        with pytest.raises(UsageError) as caught:
            hyperkube(*argv)
        assert str(caught.value) == words


def test_behaviour_11_a_nested_program_gets_its_own_flags(tmp_path: Path) -> None:
    # A program that is a tool takes the place of hk, so it takes a process of its own to see what it got.
    script = tmp_path / "hyperkube"
    script.write_text(
        "import sys\n"
        "from hyperkube_core import Command, HyperKube, Server\n"
        "tool = Command((sys.executable, '-c', 'import sys; print(sys.argv[1:])'))\n"
        "launcher = HyperKube('hyperkube', group='hyperkube.test.nobody')\n"
        "launcher.add_server(Server(name='kubectl', run=tool, completes=True))\n"
        "launcher.run_to_exit()\n"
    )
    words = ["get", "pods", "--help", "--no_such", "-v=9", "--", "x"]
    command = [sys.executable, str(script), "kubectl", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == f"{words}\n", done.stderr


def test_behaviour_12_no_arguments_are_an_error_and_kube_prefixed_names_work(hyperkube: Hyperkube) -> None:
    with pytest.raises(UsageError):
        hyperkube("hyperkube")
    hyperkube("kube-apiserver")
    assert [name for name, _ in hyperkube.ran] == ["apiserver"]


def test_behaviour_13_unsupported_commands_end_with_an_error(hyperkube: Hyperkube) -> None:
    with pytest.raises(SystemExit) as caught:
        hyperkube.launcher.run_to_exit(["hyperkube", "kubelet"])
    assert caught.value.code == 2
    assert "Usage" in hyperkube.output.getvalue()


def test_behaviour_14_links_of_either_name_are_drop_ins(hyperkube: Hyperkube) -> None:
    hyperkube("/usr/local/bin/kube-apiserver", "--secure-port=1")
    hyperkube("/apiserver", "--secure-port=2")
    assert hyperkube.ran == [("apiserver", Options(1)), ("apiserver", Options(2))]
