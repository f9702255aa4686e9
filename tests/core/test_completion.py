"""Completion: what the shells are told, and a real bash that asks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperkube_core.testing import Site

PLUGIN = """
from __future__ import annotations
from dataclasses import dataclass
from typing import Any
import typer
from hyperkube_core import Coroutine, Server, flag, hookimpl

@dataclass(frozen=True)
class Options:
    secure_port: int = flag(6443, help="The port to serve on.", short="p")
    mode: str = flag("safe", choices=("safe", "swift"))
    quiet: bool = flag(False)
    hidden: str = flag("", hidden=True)

app = typer.Typer()

@app.command()
def inspect(depth: int = 1) -> None: ...

@hookimpl
def hyperkube_servers() -> list[Server]:
    return [
        Server(name="thing", aliases=("kube-thing",), summary="A thing.", run=Coroutine("m:f"), options=Options),
        Server(name="grouped", run=Coroutine("m:f"), options=Options, commands="thing_plugin:app"),
        Server(name="young", run=Coroutine("m:f"), options=Options, alpha=True),
    ]
"""

Ask = Callable[..., list[str]]


@pytest.fixture
def program(site: Site, tmp_path: Path) -> Path:
    points = dict.fromkeys(("thing", "kube-thing", "grouped", "young"), "thing_plugin")
    site.install("thing", PLUGIN, entry_points=points)
    site.install("thorn", "raise ImportError('broken')")
    path = tmp_path / "bin" / "hk"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\nfrom hyperkube_core.__main__ import main\nmain()\n")
    path.chmod(0o755)
    path.with_name("kube-thing").symlink_to(path)
    return path


@pytest.fixture
def ask(site: Site, program: Path) -> Ask:
    """What bash would offer at the end of a line."""

    def completions(line: str) -> list[str]:
        words = line.split(" ")
        name = words[0].replace("-", "_").upper()
        environment = {
            f"_{name}_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        done = site.hk(program=[str(program.with_name(words[0]))], environment=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return completions


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("hk th", ["thing"]),
        ("hk kube-t", ["kube-thing"]),
        ("hk you", []),
        ("hk alpha you", ["young"]),
        ("hk --vers", ["--version"]),
        ("hk thing --se", ["--secure-port"]),
        ("hk thing --hid", []),
        ("hk thing --print", ["--print-config"]),
        ("hk thing --mode s", ["safe", "swift"]),
        ("hk thing --logging-format j", ["json"]),
        ("hk thing --quiet --secure-port 1 --mo", ["--mode"]),
        ("hk alpha young --se", ["--secure-port"]),
        ("hk grouped ins", ["inspect"]),
        ("hk grouped inspect --de", ["--depth"]),
        ("hk plugins --out", ["--output"]),
        ("hk plugins --output j", ["json"]),
        ("hk run --mod", ["--mode"]),
        ("hk run th", ["thing", "thorn"]),
        ("hk run thing --se", ["--secure-port"]),
        ("hk run thing --secure-port 1 grou", ["grouped"]),
        ("kube-thing --se", ["--secure-port"]),
    ],
)
def test_names_and_flags_are_offered(ask: Ask, line: str, offered: list[str]) -> None:
    assert ask(line) == offered


def test_zsh_and_fish_are_told_what_each_name_is(site: Site, program: Path) -> None:
    zsh = {"_HK_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "hk thi"}
    assert '"thing":"A thing."' in site.hk(program=[str(program)], environment=zsh).stdout
    fish = {
        "_HK_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_ARGS": "hk thing --secure-p",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    assert site.hk(program=[str(program)], environment=fish).stdout == "--secure-port\tThe port to serve on.\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("name", ["hk", "kube-thing"])
def test_the_script_for_each_shell_is_shown(site: Site, program: Path, shell: str, name: str) -> None:
    command = [str(program.with_name(name))]
    done = site.hk("--show-completion", shell, program=command)
    assert done.returncode == 0, done.stderr
    assert f"_{name.replace('-', '_').upper()}_COMPLETE=complete_{shell}" in done.stdout
    assert site.hk(f"--show-completion={shell}", program=command).stdout == done.stdout


def test_a_shell_that_is_not_known_is_an_error(site: Site, program: Path) -> None:
    done = site.hk("--show-completion=tcsh", program=[str(program)])
    assert done.returncode == 2
    assert "completion is for bash, zsh, fish" in done.stderr


def test_installing_writes_to_the_home_folder(site: Site, program: Path, tmp_path: Path) -> None:
    done = site.hk("--install-completion", "bash", program=[str(program)], environment={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "_HK_COMPLETE" in (tmp_path / ".bash_completions" / "hk.sh").read_text()
    assert "hk.sh" in (tmp_path / ".bashrc").read_text()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_real_bash_completes(site: Site, program: Path) -> None:
    script = (
        "source <(hk --show-completion bash); COMP_WORDS=(hk thing --secure); COMP_CWORD=2; _hk_completion hk;"
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=site.environment(PATH=f"{program.parent}:/usr/bin:/bin"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "--secure-port\n", done.stderr
