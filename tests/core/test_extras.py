"""What plugins offer beside servers: commands of the launcher, and checks of its doctor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hyperkube_core.testing import Site

TOOL = """
from hyperkube_core import Tool, hookimpl

@hookimpl
def hyperkube_commands():
    return [Tool(name="paint", app="paint_app:app", summary="Paint things.")]
"""

APP = """
import typer

app = typer.Typer()

@app.command()
def wall(color: str = "white"):
    print(f"the wall is {color}")

@app.command()
def fail():
    raise typer.Exit(7)
"""

CHECKS = """
from hyperkube_core import Check, Finding, hookimpl

def brushes():
    yield Finding("brushes", "warning", "two are dry", "clean them")

def fails():
    raise OSError("no paint")

@hookimpl
def hyperkube_checks():
    yield Check(name="brushes", run=brushes)
    yield Check(name="paint", run="nowhere_at_all:check")
    yield Check(name="varnish", run=fails)
"""


@pytest.fixture
def painter(site: Site) -> Site:
    site.install("paint", TOOL, group="hyperkube.commands", files={"paint_app.py": APP})
    return site


def test_a_command_of_a_plugin_is_one_of_the_launchers(painter: Site) -> None:
    assert painter.hk("paint", "wall", "--color=red").stdout == "the wall is red\n"
    assert painter.hk("paint", "fail").returncode == 7
    assert "  paint     Paint things." in painter.hk("--help").stdout


def test_what_it_cannot_understand_is_told_like_any_other(painter: Site) -> None:
    wrong = painter.hk("paint", "wall", "--colour=red")
    assert wrong.returncode == 2
    assert "unknown flag: --colour" in wrong.stderr
    missing = painter.hk("paint", "roof")
    assert missing.returncode == 2
    assert 'unknown command "roof" for "paint"' in missing.stderr


def test_a_command_is_not_imported_for_another(painter: Site, tmp_path: Path) -> None:
    trace = tmp_path / "imported"
    source = f"open({str(trace)!r}, 'w').close()\n{TOOL.replace('paint', 'draw')}"
    painter.install("draw", source, group="hyperkube.commands")
    assert painter.hk("paint", "wall").returncode == 0
    assert not trace.exists()


def test_a_server_goes_before_a_command_of_its_name(painter: Site) -> None:
    server = """
from hyperkube_core import Coroutine, Server, hookimpl

async def serve(context):
    print("the server", flush=True)

@hookimpl
def hyperkube_servers():
    return [Server(name="paint", run=Coroutine(serve), completes=True)]
"""
    painter.install("painter", server, entry_points={"paint": "painter_plugin"})
    assert painter.hk("paint").stdout == "the server\n"


def test_a_broken_command_spoils_itself_alone(painter: Site) -> None:
    painter.install("bad", "import nowhere", group="hyperkube.commands")
    broken = painter.hk("bad")
    assert broken.returncode == 3
    assert "cannot import bad_plugin" in broken.stderr
    assert "bad       BROKEN" in painter.hk("--help").stdout
    assert painter.hk("paint", "wall").returncode == 0


def test_a_command_for_a_newer_launcher_says_so(site: Site) -> None:
    site.install("paint", TOOL.replace("summary", "plugin_api=99, summary"), group="hyperkube.commands")
    newer = site.hk("paint", "wall")
    assert newer.returncode == 3
    assert "was written for version 99 of the plugin API" in newer.stderr


def test_the_doctor_asks_plugins_and_survives_them(site: Site) -> None:
    site.install("checks", CHECKS, group="hyperkube.checks")
    done = site.hk("doctor", "--output=json")
    found = {item["check"]: item for item in json.loads(done.stdout)["findings"]}
    assert found["brushes"] == {
        "check": "brushes",
        "state": "warning",
        "detail": "two are dry",
        "advice": "clean them",
    }
    assert found["paint"]["state"] == "problem"
    assert "cannot import nowhere_at_all:check" in found["paint"]["detail"]
    assert "OSError: no paint" in found["varnish"]["detail"]
    assert done.returncode == 1
