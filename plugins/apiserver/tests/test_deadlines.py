"""Requests that take too long, and those that don't."""

from __future__ import annotations

import asyncio

import pytest

from hyperkube_apiserver.deadlines import Deadlines, Late
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio


async def test_what_is_done_in_time_gives_its_result() -> None:
    deadlines = Deadlines(VirtualClock(), 60)
    assert await deadlines.keep(asyncio.sleep(0, "done")) == "done"


async def test_each_is_given_up_at_its_own_time() -> None:
    clock = VirtualClock()
    deadlines = Deadlines(clock, 60)
    cancelled = []

    async def never(name: str) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.append(name)

    first = asyncio.ensure_future(deadlines.keep(never("first")))
    await clock.advance(30)
    second = asyncio.ensure_future(deadlines.keep(never("second")))
    await clock.advance(30)
    with pytest.raises(Late):
        await first
    assert cancelled == ["first"]
    assert not second.done()
    await clock.advance(30)
    with pytest.raises(Late):
        await second
    assert cancelled == ["first", "second"]


async def test_one_that_is_slow_to_end_keeps_no_other_from_its_time() -> None:
    clock = VirtualClock()
    deadlines = Deadlines(clock, 60)
    let_go = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await let_go.wait()

    slow = asyncio.ensure_future(deadlines.keep(stubborn()))
    await clock.advance(1)
    other = asyncio.ensure_future(deadlines.keep(asyncio.Event().wait()))
    await clock.advance(60)
    with pytest.raises(Late):
        await other
    let_go.set()
    with pytest.raises(Late):
        await slow


async def test_cancelling_the_request_is_no_lateness() -> None:
    deadlines = Deadlines(VirtualClock(), 60)
    kept = asyncio.ensure_future(deadlines.keep(asyncio.Event().wait()))
    await asyncio.sleep(0)
    kept.cancel()
    with pytest.raises(asyncio.CancelledError):
        await kept


async def test_a_timeout_of_the_work_itself_stays_what_it_is() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise TimeoutError("the disk did not answer")

    with pytest.raises(TimeoutError, match="the disk"):
        await Deadlines(VirtualClock(), 60).keep(fails())


async def test_no_timer_outlives_what_it_is_for() -> None:
    before = asyncio.all_tasks()
    await Deadlines(VirtualClock(), 60).keep(asyncio.sleep(0))
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
