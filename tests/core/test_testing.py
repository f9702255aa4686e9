"""What `hyperkube_core.testing` offers those who test servers of their own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from hyperkube_core._errors import (
    Interrupted,
    ServerCrashed,
    ServerNotFound,
    ServerNotReady,
    ServerReturned,
    UsageError,
)
from hyperkube_core._server import Context as AnyContext
from hyperkube_core._server import Coroutine, DerivedServer, Server
from hyperkube_core.testing import RunningServer, VirtualClock, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

Context = AnyContext[Any]


@dataclass(frozen=True)
class EchoOptions:
    greeting: str = "hello"
    times: int = 1


class Echo:
    def __init__(self, text: str) -> None:
        self.text = text


async def serve_echo(context: AnyContext[EchoOptions]) -> None:
    context.provide(Echo, Echo(context.options.greeting * context.options.times))
    context.ready.set()
    await asyncio.Event().wait()


ECHO = Server(name="echo", run=Coroutine(serve_echo), options=EchoOptions, defaults={"times": 2})


@pytest.fixture
async def echo() -> AsyncIterator[RunningServer]:
    async with running(ECHO) as server:
        yield server


async def test_a_fixture_holds_a_server_that_is_ready(echo: RunningServer) -> None:
    assert echo.require(Echo).text == "hellohello"


async def test_options_are_fields_over_the_defaults_or_an_instance() -> None:
    async with running(ECHO, options={"greeting": "hi"}) as server:
        assert server.require(Echo).text == "hihi"
    async with running(ECHO, options=EchoOptions("yo")) as server:
        assert server.require(Echo).text == "yo"


async def test_a_derived_server_runs_with_its_base() -> None:
    branded = DerivedServer(base="echo", name="km-echo", defaults={"greeting": "km"})
    async with running(branded, beside=[ECHO]) as server:
        assert server.name == "km-echo"
        assert server.require(Echo).text == "kmkm"
    with pytest.raises(ServerNotFound, match="echo"):
        async with running(branded):
            pass


async def test_options_of_a_server_without_any_are_refused() -> None:
    with pytest.raises(UsageError, match="declares no options"):
        async with running(Server(name="a", run=Coroutine(serve_echo)), options={"x": 1}):
            pass


async def test_a_server_that_crashes_ends_the_block_that_uses_it() -> None:
    crash = asyncio.Event()

    async def crashing(context: Context) -> None:
        context.ready.set()
        await crash.wait()
        raise OSError("gone")

    async def block() -> None:
        async with running(Server(name="a", run=Coroutine(crashing))):
            crash.set()
            await asyncio.Event().wait()
            raise AssertionError("the block went on")

    with pytest.raises(ServerCrashed, match="gone"):
        await block()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_error_of_the_block_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        async with running(ECHO):
            raise KeyError("mine")


async def test_cancelling_the_block_from_outside_stays_a_cancellation() -> None:
    entered = asyncio.Event()

    async def block() -> None:
        async with running(ECHO):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_server_that_never_is_ready_raises_at_the_block() -> None:
    async def late(context: Context) -> None:
        await asyncio.Event().wait()

    clock = VirtualClock()

    async def block() -> None:
        async with running(Server(name="a", run=Coroutine(late), start_seconds=5), clock=clock):
            raise AssertionError("entered")

    task = asyncio.create_task(block())
    await clock.until_sleeping(5)
    await clock.advance(5)
    with pytest.raises(ServerNotReady):
        await task


async def test_a_server_can_be_stopped_inside_the_block() -> None:
    async with running(ECHO) as server:
        await server.stop()
        await server.wait()


async def test_a_server_that_ignores_the_stop_fails_the_test() -> None:
    release = asyncio.Event()

    async def ignores(context: Context) -> None:
        context.ready.set()
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    clock = VirtualClock()

    async def block() -> None:
        async with running(Server(name="a", run=Coroutine(ignores), stop_seconds=5), clock=clock):
            pass

    task = asyncio.create_task(block())
    await clock.until_sleeping(5)
    await clock.advance(5)
    with pytest.raises(Interrupted):
        await task
    release.set()


async def test_a_server_that_returns_fails_the_test() -> None:
    async def returns(context: Context) -> None:
        context.ready.set()

    with pytest.raises(ServerReturned):
        async with running(Server(name="a", run=Coroutine(returns))):
            await asyncio.Event().wait()


async def test_what_a_server_requires_can_be_given() -> None:
    async def requires(context: Context) -> None:
        assert context.require(Echo).text == "given"
        context.ready.set()
        await asyncio.Event().wait()

    async with running(Server(name="a", run=Coroutine(requires)), provided={Echo: Echo("given")}):
        pass


DYING = """
import asyncio
import pytest
from hyperkube_core import Coroutine, Server
from hyperkube_core.testing import running

pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "asyncio"

crash = asyncio.Event()

async def crashing(context):
    context.ready.set()
    await crash.wait()
    raise OSError("it died")

@pytest.fixture
async def server():
    async with running(Server(name="mortal", run=Coroutine(crashing))) as handle:
        yield handle

async def test_uses_it(server):
    crash.set()
    await asyncio.Event().wait()
"""


def test_a_server_that_dies_in_a_fixture_fails_the_test_that_uses_it(tmp_path: Path) -> None:
    (tmp_path / "test_dying.py").write_text(DYING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    variables = {**os.environ, "PYTEST_ADDOPTS": ""}  # which are about the tests around this one
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=variables, timeout=120, check=False
    )
    assert result.returncode == 1, result.stdout
    assert "1 failed" in result.stdout
    assert "it died" in result.stdout


def test_pytest_is_imported_by_the_fixtures_alone() -> None:
    code = "import sys, hyperkube_core.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
