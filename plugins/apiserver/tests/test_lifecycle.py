"""The server's end, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from hyperkube_apiserver.operations.lifecycle import POLL_SECONDS, Lifecycle, Shutdown, shut_down
from hyperkube_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


class Server:
    """What is asked of a server that stops, with the time at which it was."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.lifecycle = Lifecycle()
        self.running = 0
        self.told: list[tuple[str, float, float]] = []

    def _tell(self, what: str) -> Callable[[float], Awaitable[None]]:
        async def tell(seconds: float) -> None:
            self.told.append((what, seconds, self.clock.monotonic()))

        return tell

    def stop(self, how: Shutdown) -> asyncio.Task[None]:
        return asyncio.create_task(
            shut_down(
                self.lifecycle,
                how,
                self.clock,
                running=lambda: self.running,
                end_watches=self._tell("watches"),
                drain=self._tell("drain"),
            )
        )


async def test_without_more_the_listener_closes_and_watches_end_at_once() -> None:
    server = Server()
    await server.stop(Shutdown())
    assert server.told == [("watches", 0, 0), ("drain", 20, 0)]
    assert server.lifecycle.refusing


async def test_during_the_delay_all_is_served_but_readiness() -> None:
    server = Server()
    stopping = server.stop(Shutdown(delay_seconds=10))
    await server.clock.until_sleeping(10)
    await server.clock.advance(9)
    with pytest.raises(RuntimeError, match="shutting down"):
        await server.lifecycle.check()
    assert not server.lifecycle.refusing
    assert not server.told
    await server.clock.advance(1)
    await stopping
    assert server.lifecycle.refusing
    assert server.told[1] == ("drain", 20, 10)


async def test_watches_may_end_over_longer_than_requests_are_waited_for() -> None:
    server = Server()
    await server.stop(Shutdown(watch_grace_seconds=60))
    assert server.told == [("watches", 60, 0), ("drain", 60, 0)]


async def test_with_retry_after_it_listens_until_requests_have_finished() -> None:
    server = Server()
    server.running = 1
    stopping = server.stop(Shutdown(send_retry_after=True))
    await server.clock.until_sleeping(POLL_SECONDS)
    await server.clock.advance(5)
    assert server.told == [("watches", 0, 0)]
    server.running = 0
    await server.clock.advance(1)
    await stopping
    (what, _, when) = server.told[1]
    assert what == "drain"
    assert 5 <= when < 5.1


async def test_a_request_that_never_finishes_is_not_waited_for_for_ever() -> None:
    server = Server()
    server.running = 1
    stopping = server.stop(Shutdown(send_retry_after=True))
    await server.clock.until_sleeping(POLL_SECONDS)
    await server.clock.advance(21)
    await stopping


async def test_a_step_of_the_start_is_unfinished_until_it_is_done() -> None:
    lifecycle = Lifecycle()
    check = lifecycle.step("poststarthook/rbac/bootstrap-roles")
    with pytest.raises(RuntimeError, match="not finished"):
        await check()
    lifecycle.done("poststarthook/rbac/bootstrap-roles")
    await check()
