"""Requests that take too long, and those that don't."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hyperkube_apiserver.deadlines import Deadlines, Late, in_time
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def deadlines(clock: VirtualClock) -> AsyncIterator[Deadlines]:
    """Of a minute."""
    made = Deadlines(clock, 60)
    expiring = asyncio.create_task(made.expire())
    await asyncio.sleep(0)
    yield made
    expiring.cancel()
    await asyncio.gather(expiring, return_exceptions=True)


async def test_what_is_done_in_time_gives_its_result(deadlines: Deadlines) -> None:
    assert await deadlines.keep(asyncio.sleep(0, "done")) == "done"


async def test_each_is_given_up_at_its_own_time(deadlines: Deadlines, clock: VirtualClock) -> None:
    cancelled = []

    async def never(name: str) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.append(name)

    await clock.advance(10)  # the timer has run before anybody waits
    first = asyncio.ensure_future(deadlines.keep(never("first")))
    await clock.advance(30)
    second = asyncio.ensure_future(deadlines.keep(never("second")))
    await clock.advance(29)
    assert not first.done()
    await clock.advance(1)
    with pytest.raises(Late):
        await first
    assert cancelled == ["first"]
    assert not second.done()
    await clock.advance(30)
    with pytest.raises(Late):
        await second
    assert cancelled == ["first", "second"]


async def stubborn(let_go: asyncio.Event) -> None:
    """Ends, once it is cancelled, when it is let go."""
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await let_go.wait()


async def test_one_that_is_slow_to_end_keeps_no_other_from_its_time(deadlines: Deadlines, clock: VirtualClock) -> None:
    let_go = asyncio.Event()
    slow = asyncio.ensure_future(deadlines.keep(stubborn(let_go)))
    await clock.advance(1)
    other = asyncio.ensure_future(deadlines.keep(asyncio.Event().wait()))
    await clock.advance(60)
    with pytest.raises(Late):
        await other
    assert not slow.done()
    let_go.set()
    with pytest.raises(Late):
        await slow


async def test_cancelling_the_request_is_no_lateness(deadlines: Deadlines) -> None:
    kept = asyncio.ensure_future(deadlines.keep(asyncio.Event().wait()))
    await asyncio.sleep(0)
    kept.cancel()
    with pytest.raises(asyncio.CancelledError):
        await kept


async def test_who_is_cancelled_while_late_ends_as_cancelled(deadlines: Deadlines, clock: VirtualClock) -> None:
    let_go = asyncio.Event()
    kept = asyncio.ensure_future(deadlines.keep(stubborn(let_go)))
    await clock.advance(61)
    kept.cancel()
    with pytest.raises(asyncio.CancelledError):
        await kept


async def test_who_was_late_can_wait_for_something_else_afterwards(deadlines: Deadlines, clock: VirtualClock) -> None:
    async def caller() -> tuple[str, int]:
        with pytest.raises(Late):
            await deadlines.keep(asyncio.Event().wait())
        task = asyncio.current_task()
        assert task is not None
        return await asyncio.sleep(0, "goes on"), task.cancelling()

    called = asyncio.ensure_future(caller())
    await clock.advance(61)
    assert await called == ("goes on", 0)


async def test_a_timeout_of_the_work_itself_stays_what_it_is(deadlines: Deadlines) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise TimeoutError("the disk did not answer")

    with pytest.raises(TimeoutError, match="the disk"):
        await deadlines.keep(fails())


async def test_one_can_have_a_time_of_its_own(clock: VirtualClock) -> None:
    kept = asyncio.ensure_future(in_time(clock, 5, asyncio.Event().wait()))
    await clock.advance(4)
    assert not kept.done()
    await clock.advance(1)
    with pytest.raises(Late):
        await kept


async def test_no_timer_outlives_what_it_is_for() -> None:
    before = asyncio.all_tasks()
    await in_time(VirtualClock(), 60, asyncio.sleep(0))
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
