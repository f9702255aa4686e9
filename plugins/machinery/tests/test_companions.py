"""Tasks beside a block, and waiting no longer than so long."""

from __future__ import annotations

import asyncio

import pytest

from hyperkube_machinery.companions import companions
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio


async def test_companions_end_with_the_block() -> None:
    ended = []

    async def work(name: str) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(name)

    async with companions(work("a")) as beside:
        beside.start(work("b"))
        await asyncio.sleep(0)
    assert sorted(ended) == ["a", "b"]


async def test_one_that_fails_ends_the_block_with_its_own_exception() -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        async with companions(fail()):
            await asyncio.get_running_loop().create_future()


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    with pytest.raises(ValueError, match="mine"):
        async with companions(asyncio.sleep(1000)):
            raise ValueError("mine")


async def test_cancelling_comes_through() -> None:
    async def run() -> None:
        async with companions(asyncio.sleep(1000)):
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_in_time_has_its_result_or_its_error() -> None:
    clock = VirtualClock()

    async def work(result: int) -> int:
        await clock.sleep(1)
        if not result:
            raise KeyError("none")
        return result

    for expected in (5, 0):
        task = asyncio.create_task(within(clock, 2, work(expected)))
        await clock.advance(1)
        if expected:
            assert await task == expected
        else:
            with pytest.raises(KeyError):
                await task


async def test_work_that_takes_too_long_is_cancelled() -> None:
    clock = VirtualClock()
    cancelled = []

    async def work() -> None:
        try:
            await clock.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            cancelled.append(True)
            raise

    task = asyncio.create_task(within(clock, 2, work()))
    await clock.advance(3)
    with pytest.raises(TimeoutError, match="longer than 2 seconds"):
        await task
    assert cancelled == [True]


async def test_who_waits_takes_the_work_along_when_it_is_cancelled() -> None:
    clock = VirtualClock()
    cancelled = []

    async def work() -> None:
        try:
            await clock.sleep(10)
        finally:
            cancelled.append(True)

    task = asyncio.create_task(within(clock, 20, work()))
    await clock.advance(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled == [True]
