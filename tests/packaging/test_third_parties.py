"""Servers of others, installed from wheels beside hk's: one on threads, and a controller on machinery."""

from __future__ import annotations

import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import _wheels
import pytest
from _clusters import eventually
from _wheels import Environment, Running

from hyperkube_machinery import kubeconfig
from hyperkube_machinery.builtin import CONFIG_MAPS, EVENTS, NAMESPACES
from hyperkube_machinery.client import Client, connect
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
SECONDS = 60.0
"""Real time: how long a test waits for what another process does."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheels: Mapping[str, Path]) -> Environment:
    folder = tmp_path_factory.mktemp("others")
    made = Environment.create(folder)
    ours = ("hyperkube-core", "hyperkube-machinery", "hyperkube-apiserver")
    made.install(
        *(wheels[name] for name in ours), *(_wheels.build(HERE / name, folder) for name in ("fileshare", "mirror"))
    )
    return made


def test_they_are_listed_with_the_others(installed: Environment) -> None:
    answer = installed.run("hk", "--help")
    for name in ("apiserver", "fileshare", "mirror"):
        assert f"\n  {name}\n" in answer.stdout
    refused = installed.run("hk", "fileshare", "--port=70000")
    assert (refused.returncode, "--port" in refused.stderr) == (2, True)


def test_a_blocking_server_serves_until_it_is_stopped(installed: Environment, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("from a thread")
    with installed.running("hk", "fileshare", f"--folder={tmp_path}", until="fileshare: http") as server:
        url = server.output.split("fileshare: ")[1].split()[0]
        with urllib.request.urlopen(f"{url}note.txt", timeout=SECONDS) as answer:
            assert answer.read() == b"from a thread"
        status, output = server.stop()
    assert status == 0
    assert output.endswith("fileshare: closed\n")


@pytest.fixture(params=["in processes", "in one process"])
def mirroring(request: pytest.FixtureRequest, installed: Environment, tmp_path: Path) -> Iterator[Running]:
    """An API server and the controller beside it."""
    config = tmp_path / "data" / "admin.kubeconfig"
    serving = ("apiserver", f"--data-dir={tmp_path / 'data'}", "--secure-port=0")
    command: tuple[str, ...]
    controlling = ("mirror", f"--kubeconfig={config}")
    with ExitStack() as stack:
        if request.param == "in one process":
            command = ("hk", "run", *serving, "+", *controlling)
        else:
            stack.enter_context(installed.running("hk", *serving, until="try: kubectl"))
            command = ("hk", *controlling)
        yield stack.enter_context(installed.running(*command, until="mirror: leading"))


@pytest.fixture
async def client(mirroring: Running, tmp_path: Path) -> AsyncIterator[Client]:
    access = kubeconfig.read(tmp_path / "data" / "admin.kubeconfig")
    async with connect(access, clock=SystemClock(), user_agent="test") as client:
        yield client


async def find(client: Client, namespace: str) -> dict[str, Any] | None:
    try:
        return await client.get(CONFIG_MAPS, "shared", namespace)
    except APIError as exc:
        if exc.code != 404:
            raise
        return None


async def test_a_controller_of_a_third_party_gets_its_way(mirroring: Running, client: Client) -> None:
    for name in ("one", "two"):
        await client.create(NAMESPACES, {"metadata": {"name": name}})
    about = {"name": "shared", "namespace": "default", "annotations": {"mirror.example.com/to": "one, two, three"}}
    await client.create(CONFIG_MAPS, {"metadata": about, "data": {"a": "1"}})
    for name in ("one", "two"):
        await eventually(partial(find, client, name))
    await client.create(NAMESPACES, {"metadata": {"name": "three"}})
    await eventually(partial(find, client, "three"))
    await client.delete(CONFIG_MAPS, "shared", "one")
    await client.patch(CONFIG_MAPS, "shared", {"data": {"a": "2"}}, "default")

    async def all_new() -> bool:
        copies = [await find(client, name) for name in ("one", "two", "three")]
        return [copy and copy["data"] for copy in copies] == [{"a": "2"}] * 3

    await eventually(all_new)
    await client.patch(
        CONFIG_MAPS, "shared", {"metadata": {"annotations": {"mirror.example.com/to": "two"}}}, "default"
    )

    async def only_two() -> bool:
        return [await find(client, name) is None for name in ("one", "two", "three")] == [True, False, True]

    await eventually(only_two)

    async def told() -> bool:
        events = (await client.list(EVENTS, "default")).items
        return {event["reason"] for event in events} >= {"Copied", "LeaderElection"}

    await eventually(told)
    await shows_itself(mirroring.output.split("mirror: ")[1].split()[0])
    assert mirroring.stop()[0] == 0


async def shows_itself(server: str) -> None:
    """Its health to everybody, its metrics to whom the API server allows it."""
    nobody = kubeconfig.Access(server=server, insecure=True)
    async with connect(nobody, clock=SystemClock(), user_agent="test") as client:
        assert (await client.raw("GET", "/healthz")).body == b"ok"
        assert (await client.raw("GET", "/metrics")).status == 403


def test_a_second_replica_takes_over_when_the_first_is_killed(installed: Environment, tmp_path: Path) -> None:
    config = tmp_path / "data" / "admin.kubeconfig"
    serving = ("hk", "apiserver", f"--data-dir={tmp_path / 'data'}", "--secure-port=0")
    replica = ("hk", "mirror", f"--kubeconfig={config}")
    with (
        installed.running(*serving, until="try: kubectl"),
        installed.running(*replica, until="mirror: leading") as first,
        installed.running(*replica, until="mirror: https") as second,
    ):
        assert "leading" not in second.output
        first.process.kill()
        second.wait_for("mirror: leading")  # once the lease has expired
