"""A kind of cluster made of scripted servers: what `hk up` does with it is up to the test."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from _actors import Hk, install_actors

from hyperkube_core.testing import Site

PLUGIN = """
from hyperkube_core import Contribution, Part, hookimpl

@hookimpl
def hyperkube_clusters():
    return [
        Contribution(
            kind="toys",
            groundwork="hk_toys_work:Work",
            parts=(
                Part(server="a", needed=True),
                Part(server="b", after=("a",)),
                Part(server="c", after=("a", "b")),
                Part(server="absent", distribution="hk-absent"),
                Part(server="program", optional=True),
            ),
        )
    ]
"""

WORK = '''
import errno, json, os
from hyperkube_core import Groundwork, Report

SCRIPT = json.loads(os.environ.get("TOYS", "{}"))

class Work(Groundwork):
    """Gives servers the words of the script, and notes what it is asked in a file."""

    def note(self, *words):
        with open(self.home.folder / "notes", "a") as file:
            print(*words, file=file)

    async def arguments(self, server):
        self.note("arguments", server)
        return ["pid", *SCRIPT.get(server, ["ready"])]

    async def started(self, server):
        self.note("started", server)

    async def until_ready(self, tell):
        tell("the moon")
        if SCRIPT.get("never"):
            await self.home.clock.sleep(600)
        if SCRIPT.get("full"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if SCRIPT.get("bug"):
            raise KeyError("bug")

    async def report(self):
        address = f"127.0.0.1:{self.home.port('a')}"
        rows = [{"toy": "bear", "soft": True, "weight": 3}]
        return Report(addresses={"a": address}, sections={"toys": rows}, notes=["play with it"])

    async def clean_up(self):
        self.note("cleaned up", ",".join(self.home.servers))
'''


class Toys:
    """One cluster of toys."""

    def __init__(self, site: Path, folder: Path) -> None:
        self.site = site
        self.folder = folder

    def variables(self, script: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return {"TOYS": json.dumps(dict(script or {})), "HYPERKUBE_LOAD_PLUGINS": "hk-actors,hk-toys"}

    def hk(
        self, *args: str, script: Mapping[str, Any] | None = None, data_dir: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        place = [f"--data-dir={self.folder}"] if data_dir else []
        return Site(self.site).hk(*args, *place, environment=self.variables(script) | variables)

    def up(self, *args: str, **script: Any) -> list[dict[str, Any]]:
        """Bring it up in the background; what was told meanwhile."""
        done = self.hk("up", "--detach", *args, script=script)
        assert done.returncode == 0, done.stdout + done.stderr
        return events(done.stdout)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.hk("status", "--output=json").stdout)
        return found

    def pids(self) -> dict[str, int]:
        """The process of each server."""
        return {server["name"]: server["pid"] for server in self.status()["servers"]}

    def notes(self) -> list[str]:
        """What the groundwork was asked, in order."""
        return (self.folder / "notes").read_text().splitlines()

    def until(self, look: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first status that `look` likes."""
        for _ in range(600):
            status = self.status()
            if look(status):
                return status
        raise AssertionError(f"it did not come to pass: {status}")


def events(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def told(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """What happened, each in words."""
    return [
        f"{event['name']} {event['state']}" if event["event"] == "server" else str(event["event"]) for event in events
    ]


@pytest.fixture(scope="session")
def toy_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the scripted servers, and the cluster of them, are installed."""
    folder = tmp_path_factory.mktemp("toys")
    install_actors(folder)
    Site(folder).install(
        "toys", PLUGIN, distribution="hk-toys", group="hyperkube.clusters", files={"hk_toys_work.py": WORK}
    )
    return folder


@pytest.fixture
def toys(toy_site: Path, tmp_path: Path) -> Iterator[Toys]:
    """A cluster that is not there yet, and is not there any more when the test ends."""
    cluster = Toys(toy_site, tmp_path / "cluster")
    yield cluster
    cluster.hk("down")


@pytest.fixture
def start_toys(toys: Toys) -> Iterator[Callable[..., Hk]]:
    """Starts `hk up` in the foreground."""
    started: list[Hk] = []

    def start(*args: str, **script: Any) -> Hk:
        place = f"--data-dir={toys.folder}"
        process = Hk(toys.site, "up", place, *args, **toys.variables(script))
        started.append(process)
        return process

    yield start
    for process in started:
        process.close()
