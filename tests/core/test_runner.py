"""Servers in one process: order, readiness, failures by name, stopping, restarts."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from hyperkube_core._clock import SystemClock
from hyperkube_core._context import Gate, RunningContext
from hyperkube_core._errors import (
    DescriptionError,
    HyperkubeError,
    Interrupted,
    NotProvided,
    PluginLoadError,
    ServerCrashed,
    ServerError,
    ServerNotFound,
    ServerNotReady,
    ServerReturned,
    SettingsError,
    UsageError,
)
from hyperkube_core._runner import Run
from hyperkube_core._server import Blocking, Context, Coroutine, Invocation, Server
from hyperkube_core.testing import LocalHost, VirtualClock

if TYPE_CHECKING:
    from hyperkube_core._status import Status

pytestmark = pytest.mark.anyio

Target = Callable[[Context[Any]], Awaitable[None]]


class Together:
    """Runs servers as `hk run` does, in the background of a test."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.clock = VirtualClock()
        self.loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def note(self, what: str) -> None:
        self.log.append(what)
        self._changed.set()

    async def until(self, what: str) -> None:
        while what not in self.log:
            self._changed.clear()
            await self._changed.wait()

    def server(self, name: str, **changes: Any) -> Server:
        """A server that notes its start and stop and serves until it is stopped."""

        async def serve(context: Context[Any]) -> None:
            self.note(f"start {name}")
            context.ready.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                self.note(f"stop {name}")

        return Server(**{"name": name, "run": Coroutine(serve), **changes})

    def begin(self, *servers: Server, beside: tuple[Server, ...] = (), **settings: Any) -> None:
        self.stop = Gate()
        host = LocalHost((*servers, *beside))
        run = Run(host=host, clock=self.clock, when_ready=lambda: self.note("all ready"), **settings)
        invocations = [Invocation(server) for server in servers]
        self.task = asyncio.create_task(run.together(invocations, self.stop))

    async def end(self) -> list[Status]:
        self.stop.set()
        return await self.task

    async def failure(self) -> HyperkubeError:
        with pytest.raises(HyperkubeError) as caught:
            await self.task
        return caught.value


@pytest.fixture
async def together() -> Together:
    return Together()


async def test_each_server_starts_after_the_last_is_ready_and_they_stop_in_reverse(together: Together) -> None:
    gate = asyncio.Event()

    async def slow(context: Context[Any]) -> None:
        together.note("start slow")
        await gate.wait()
        together.note("slow is ready")
        context.ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            together.note("stop slow")

    together.begin(
        together.server("last", after=("slow",)), Server(name="slow", run=Coroutine(slow)), together.server("third")
    )
    await together.until("start slow")
    assert together.log == ["start slow"]
    gate.set()
    await together.until("all ready")
    await together.end()
    assert together.log == [
        "start slow",
        "slow is ready",
        "start last",
        "start third",
        "all ready",
        "stop third",
        "stop last",
        "stop slow",
    ]


async def test_a_request_to_stop_during_the_start_stops_what_has_started(together: Together) -> None:
    async def never_ready(context: Context[Any]) -> None:
        together.note("start b")
        await asyncio.Event().wait()

    together.begin(together.server("a"), Server(name="b", run=Coroutine(never_ready)), together.server("c"))
    await together.until("start b")
    statuses = await together.end()
    assert together.log == ["start a", "start b", "stop a"]
    assert [status.state for status in statuses] == ["stopped", "stopped", "waiting"]


async def test_a_server_that_raises_ends_all_and_is_named(together: Together) -> None:
    crash = asyncio.Event()

    async def crashing(context: Context[Any]) -> None:
        context.ready.set()
        await crash.wait()
        raise OSError("disk is full")

    together.begin(together.server("a"), Server(name="b", run=Coroutine(crashing)), together.server("c"))
    await together.until("all ready")
    crash.set()
    error = await together.failure()
    assert isinstance(error, ServerCrashed)
    assert (error.server, str(error)) == ("b", "server 'b': OSError: disk is full")
    assert isinstance(error.__cause__, OSError)
    assert error.exit_code == 24, "second server, crashed"
    assert together.log[-2:] == ["stop c", "stop a"]


async def test_a_single_server_that_fails_has_the_exit_code_of_its_failure(together: Together) -> None:
    async def crashing(context: Context[Any]) -> None:
        raise OSError("no")

    together.begin(Server(name="a", run=Coroutine(crashing)))
    assert (await together.failure()).exit_code == 4


async def test_a_task_group_in_a_server_is_unwrapped(together: Together) -> None:
    async def fails() -> None:
        raise ValueError("inner")

    async def grouped(context: Context[Any]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())

    together.begin(Server(name="a", run=Coroutine(grouped)))
    error = await together.failure()
    assert str(error) == "server 'a': ValueError: inner"
    assert isinstance(error.__cause__, ValueError)


async def test_a_server_that_returns_is_a_failure(together: Together) -> None:
    async def returns(context: Context[Any]) -> None:
        context.ready.set()

    together.begin(Server(name="a", run=Coroutine(returns)), together.server("b"))
    error = await together.failure()
    assert isinstance(error, ServerReturned)
    assert (error.server, error.exit_code) == ("a", 15)


async def test_a_server_that_returns_before_it_is_ready_is_a_failure_too(together: Together) -> None:
    async def returns(context: Context[Any]) -> None:
        pass

    together.begin(Server(name="a", run=Coroutine(returns)))
    assert isinstance(await together.failure(), ServerReturned)


async def test_a_server_that_cancels_itself_has_returned(together: Together) -> None:
    async def cancels(context: Context[Any]) -> None:
        raise asyncio.CancelledError

    together.begin(Server(name="a", run=Coroutine(cancels)))
    assert isinstance(await together.failure(), ServerReturned)


@pytest.mark.parametrize(("code", "kind"), [(0, ServerReturned), (None, ServerReturned), (3, ServerCrashed)])
@pytest.mark.parametrize("make", [Coroutine, Blocking])
async def test_a_server_that_exits_does_not_take_the_process_with_it(
    together: Together, code: int | None, kind: type, make: Callable[[Any], Any]
) -> None:
    async def exits(context: Context[Any]) -> None:
        raise SystemExit(code)

    def exits_too(context: Context[Any]) -> None:
        raise SystemExit(code)

    together.begin(Server(name="a", run=make(exits if make is Coroutine else exits_too)))
    error = await together.failure()
    assert type(error) is kind
    assert "sys.exit" in str(error)


async def test_a_server_that_is_late_is_stopped_and_named(together: Together) -> None:
    async def late(context: Context[Any]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            together.note("late was stopped")

    together.begin(together.server("a"), Server(name="late", run=Coroutine(late), start_seconds=7))
    await together.clock.until_sleeping(7)
    await together.clock.advance(6.9)
    assert not together.task.done()
    await together.clock.advance(0.2)
    error = await together.failure()
    assert isinstance(error, ServerNotReady)
    assert (error.server, error.exit_code) == ("late", 26)
    assert together.log == ["start a", "late was stopped", "stop a"]


async def test_a_server_that_completes_has_succeeded_and_the_others_go_on(together: Together) -> None:
    async def job(context: Context[Any]) -> None:
        together.note("job")

    together.begin(Server(name="job", run=Coroutine(job), completes=True), together.server("service", after=("job",)))
    await together.until("all ready")
    assert together.log == ["job", "start service", "all ready"]
    statuses = await together.end()
    assert [status.state for status in statuses] == ["completed", "stopped"]


async def test_a_run_of_servers_that_complete_ends_when_the_last_has(together: Together) -> None:
    async def job(context: Context[Any]) -> None:
        pass

    together.begin(
        Server(name="a", run=Coroutine(job), completes=True), Server(name="b", run=Coroutine(job), completes=True)
    )
    assert [status.state for status in await together.task] == ["completed", "completed"]


async def test_an_error_of_core_passes_as_what_it_is(together: Together) -> None:
    async def refuses(context: Context[Any]) -> None:
        raise SettingsError("tls", "--tls-cert-file", "no such file")

    together.begin(Server(name="a", run=Coroutine(refuses)))
    error = await together.failure()
    assert isinstance(error, SettingsError)
    assert error.exit_code == 2


async def test_a_server_whose_module_cannot_be_imported_is_a_plugin_error(together: Together) -> None:
    together.begin(Server(name="a", run=Coroutine("no_such_module_at_all:serve")))
    error = await together.failure()
    assert isinstance(error, PluginLoadError)
    assert "no_such_module_at_all" in str(error)


async def test_a_plain_function_declared_as_a_coroutine_is_a_description_error(together: Together) -> None:
    def plain(context: Context[Any]) -> None:
        pass

    together.begin(Server(name="a", run=Coroutine(plain)))  # type: ignore[arg-type]
    assert isinstance(await together.failure(), DescriptionError)


async def test_servers_that_wait_for_each_other_never_start(together: Together) -> None:
    together.begin(together.server("a", after=("b",)), together.server("b", after=("a",)))
    assert isinstance(await together.failure(), UsageError)
    assert together.log == []


# Blocking servers: the three cases of the original's stop channel.


async def test_a_blocking_server_that_ignores_the_stop_is_interrupted(together: Together) -> None:
    released = threading.Event()

    def ignores(context: Context[Any]) -> None:
        context.ready.set()
        released.wait()

    together.begin(Server(name="a", run=Blocking(ignores), stop_seconds=3))
    await together.until("all ready")
    together.stop.set()
    await together.clock.until_sleeping(3)
    await together.clock.advance(3)
    error = await together.failure()
    released.set()
    assert isinstance(error, Interrupted)
    assert (str(error), error.exit_code) == ("interrupted", 130)


async def test_a_blocking_server_that_respects_the_stop_ends_well(together: Together) -> None:
    def respects(context: Context[Any]) -> None:
        together.loop.call_soon_threadsafe(together.note, "ran")
        context.ready.set()
        context.stopping.wait()

    together.begin(Server(name="a", run=Blocking(respects)))
    await together.until("all ready")
    statuses = await together.end()
    assert "ran" in together.log
    assert statuses[0].error is None


async def test_a_blocking_server_that_respects_the_stop_with_an_error_keeps_it(together: Together) -> None:
    def respects(context: Context[Any]) -> None:
        context.ready.set()
        context.stopping.wait()
        raise RuntimeError("server returning error")

    together.begin(Server(name="a", run=Blocking(respects)))
    await together.until("all ready")
    together.stop.set()
    error = await together.failure()
    assert isinstance(error, ServerCrashed)
    assert "server returning error" in str(error)


async def test_a_blocking_server_that_crashes_is_named(together: Together) -> None:
    def crashes(context: Context[Any]) -> None:
        raise StopIteration("odd")

    together.begin(Server(name="a", run=Blocking(crashes)))
    error = await together.failure()
    assert isinstance(error, ServerCrashed)
    assert "StopIteration: odd" in str(error)


async def test_a_coroutine_that_ignores_cancellation_is_interrupted(together: Together) -> None:
    release = asyncio.Event()

    async def ignores(context: Context[Any]) -> None:
        context.ready.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                together.note("ignored")

    together.begin(Server(name="a", run=Coroutine(ignores), stop_seconds=3), together.server("b"))
    await together.until("all ready")
    together.stop.set()
    await together.clock.until_sleeping(3)
    await together.clock.advance(3)
    error = await together.failure()
    release.set()
    assert isinstance(error, Interrupted)
    assert error.exit_code == 17
    assert together.log == ["start b", "all ready", "stop b", "ignored"]


# Restarts.


async def test_a_failing_server_is_restarted_alone_with_growing_delays(
    together: Together, caplog: pytest.LogCaptureFixture
) -> None:
    crash = asyncio.Event()

    async def crashing(context: Context[Any]) -> None:
        together.note("start b")
        context.ready.set()
        await crash.wait()
        crash.clear()
        raise OSError("again")

    together.begin(together.server("a"), Server(name="b", run=Coroutine(crashing)), restart="on-failure")
    await together.until("all ready")
    with caplog.at_level(logging.INFO, logger="hyperkube"):
        for delay in (1, 2, 4):
            together.log.clear()
            crash.set()
            await together.clock.until_sleeping(delay)
            assert together.log == []
            await together.clock.advance(delay)
            await together.until("start b")
    assert "server 'b': OSError: again; starting it again in 4 s" in caplog.text
    statuses = await together.end()
    assert [status.restarts for status in statuses] == [0, 3]
    assert together.log == ["start b", "stop a"], "a was never touched"


async def test_a_server_that_waits_for_its_restart_can_be_stopped(together: Together) -> None:
    async def crashing(context: Context[Any]) -> None:
        raise OSError("no")

    together.begin(Server(name="b", run=Coroutine(crashing)), restart="on-failure")
    await together.clock.until_sleeping(1)
    statuses = await together.end()
    assert statuses[0].state == "stopped"


async def test_a_bad_setting_is_not_tried_again(together: Together) -> None:
    async def refuses(context: Context[Any]) -> None:
        raise SettingsError("tls", "--tls-cert-file", "no such file")

    together.begin(Server(name="b", run=Coroutine(refuses)), restart="on-failure")
    assert isinstance(await together.failure(), SettingsError)


async def test_a_server_that_always_runs_is_started_again_when_it_returns(together: Together) -> None:
    async def job(context: Context[Any]) -> None:
        together.note("job")

    together.begin(Server(name="b", run=Coroutine(job), completes=True), restart="always")
    await together.clock.until_sleeping(1)
    together.log.clear()
    await together.clock.advance(1)
    await together.until("job")
    await together.clock.until_sleeping(2)
    assert [status.error for status in await together.end()] == [None]


async def test_a_server_that_was_abandoned_is_not_started_beside_itself(together: Together) -> None:
    release = threading.Event()

    def late(context: Context[Any]) -> None:
        together.loop.call_soon_threadsafe(together.note, "start")
        release.wait()

    together.begin(Server(name="b", run=Blocking(late), start_seconds=5, stop_seconds=3), restart="on-failure")
    await together.until("start")
    await together.clock.until_sleeping(5)
    await together.clock.advance(5)
    await together.clock.until_sleeping(3)
    await together.clock.advance(3)
    error = await together.failure()
    release.set()
    assert isinstance(error, ServerNotReady)
    assert together.log == ["start"]


# What servers do for each other.


class Transport:
    pass


async def test_a_server_gets_what_an_earlier_one_provided(together: Together) -> None:
    transport = Transport()

    async def provides(context: Context[Any]) -> None:
        context.provide(Transport, transport)
        context.ready.set()
        await asyncio.Event().wait()

    async def requires(context: Context[Any]) -> None:
        assert context.require(Transport) is transport
        together.note("got it")
        context.ready.set()
        await asyncio.Event().wait()

    together.begin(Server(name="a", run=Coroutine(provides)), Server(name="b", run=Coroutine(requires)))
    await together.until("all ready")
    await together.end()
    assert "got it" in together.log


async def test_requiring_what_nobody_provides_names_the_server(together: Together) -> None:
    async def requires(context: Context[Any]) -> None:
        context.require(Transport)

    together.begin(Server(name="b", run=Coroutine(requires)))
    error = await together.failure()
    assert isinstance(error, NotProvided)
    assert error.server == "b"
    assert "Transport" in str(error)


async def test_what_a_server_provided_goes_with_it(together: Together) -> None:
    crash = asyncio.Event()
    outcome: list[str] = []

    async def provides(context: Context[Any]) -> None:
        context.provide(Transport, Transport())
        context.ready.set()
        await crash.wait()
        raise OSError

    async def requires(context: Context[Any]) -> None:
        context.ready.set()
        await context.clock.sleep(0.5)
        try:
            context.require(Transport)
        except NotProvided:
            outcome.append("gone")
        await asyncio.Event().wait()

    together.begin(
        Server(name="a", run=Coroutine(provides)), Server(name="b", run=Coroutine(requires)), restart="on-failure"
    )
    await together.until("all ready")
    crash.set()
    await together.clock.until_sleeping(1)
    await together.clock.advance(0.6)
    await together.end()
    assert outcome == ["gone"]


async def test_a_spawned_server_runs_beside_and_stops_with_its_spawner(together: Together) -> None:
    helper = together.server("helper")

    async def spawner(context: Context[Any]) -> None:
        spawned = await context.spawn("helper", ("--x",))
        await spawned.ready()
        together.note(f"spawned {spawned.name}")
        context.ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            together.note("stop spawner")

    together.begin(Server(name="spawner", run=Coroutine(spawner)), beside=(helper,))
    await together.until("all ready")
    await together.end()
    assert together.log == ["start helper", "spawned helper", "all ready", "stop spawner", "stop helper"]


async def test_a_spawned_server_can_be_stopped_earlier(together: Together) -> None:
    helper = together.server("helper")

    async def spawner(context: Context[Any]) -> None:
        spawned = await context.spawn("helper")
        await spawned.ready()
        await spawned.stop()
        await spawned.wait()
        together.note("stopped it")
        context.ready.set()
        await asyncio.Event().wait()

    together.begin(Server(name="spawner", run=Coroutine(spawner)), beside=(helper,))
    await together.until("all ready")
    assert together.log == ["start helper", "stop helper", "stopped it", "all ready"]
    await together.end()


async def test_the_spawner_learns_how_the_spawned_server_failed(together: Together) -> None:
    async def crashes(context: Context[Any]) -> None:
        context.ready.set()
        await asyncio.sleep(0)
        raise OSError("gone")

    async def spawner(context: Context[Any]) -> None:
        spawned = await context.spawn("helper")
        with pytest.raises(ServerCrashed, match="gone"):
            await spawned.wait()
        together.note("noticed")
        context.ready.set()
        await asyncio.Event().wait()

    together.begin(
        Server(name="spawner", run=Coroutine(spawner)), beside=(Server(name="helper", run=Coroutine(crashes)),)
    )
    await together.until("all ready")
    assert together.log == ["noticed", "all ready"]
    await together.end()


async def test_spawning_what_is_not_installed_says_so(together: Together) -> None:
    async def spawner(context: Context[Any]) -> None:
        assert context.find_server("nobody") is None
        await context.spawn("nobody")

    together.begin(Server(name="spawner", run=Coroutine(spawner)))
    error = await together.failure()
    assert isinstance(error, ServerNotFound)


async def test_a_stop_while_a_failed_server_ends_what_it_spawned_leaves_none_behind(together: Together) -> None:
    crash, slow = asyncio.Event(), asyncio.Event()

    async def lingering(context: Context[Any]) -> None:
        context.ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            together.note("lingers")
            await slow.wait()
            together.note("stop lingering")

    async def spawner(context: Context[Any]) -> None:
        await (await context.spawn("helper")).ready()
        await (await context.spawn("lingering")).ready()
        context.ready.set()
        await crash.wait()
        raise OSError("gone")

    together.begin(
        Server(name="spawner", run=Coroutine(spawner)),
        beside=(together.server("helper"), Server(name="lingering", run=Coroutine(lingering))),
        restart="on-failure",
    )
    await together.until("all ready")
    crash.set()
    await together.until("lingers")
    together.stop.set()
    await asyncio.sleep(0)
    slow.set()
    await together.end()
    assert together.log == ["start helper", "all ready", "lingers", "stop lingering", "stop helper"]


async def test_a_server_that_has_ended_spawns_nothing_more(together: Together) -> None:
    contexts: list[Context[Any]] = []

    async def job(context: Context[Any]) -> None:
        contexts.append(context)

    together.begin(
        Server(name="job", run=Coroutine(job), completes=True),
        together.server("a"),
        beside=(together.server("helper"),),
    )
    await together.until("all ready")
    with pytest.raises(ServerError, match="cannot spawn 'helper'"):
        await contexts[0].spawn("helper")
    await together.end()


async def test_what_a_server_is_given_is_what_the_contract_says() -> None:
    def conforms(context: RunningContext[int]) -> Context[int]:
        return context  # mypy compares the two

    assert conforms.__annotations__["return"] == "Context[int]"
    assert {name for name in vars(Context) if not name.startswith("_")} <= set(dir(RunningContext))


async def test_ready_may_be_set_from_any_thread() -> None:
    gate = Gate()
    threading.Thread(target=gate.set).start()
    await gate.wait()
    assert gate.is_set()


async def test_the_virtual_clock_wakes_sleepers_in_order() -> None:
    clock = VirtualClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper("a", 3))
        group.create_task(sleeper("b", 1, 1))
        await clock.until_sleeping(3)
        await clock.until_sleeping(1)
        await clock.advance(5)
    assert woken == [("b", 1), ("b", 2), ("a", 3)]
    assert clock.monotonic() == 5
    assert isinstance(SystemClock().monotonic(), float)
