"""Work queues, and the controllers at them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hyperkube_machinery.backoff import Backoff
from hyperkube_machinery.client import Unreachable
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.ratelimit import TokenBucket
from hyperkube_machinery.serving.exposition import exposition
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.workqueue import WorkQueue, WorkQueueMetrics

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def queue(clock: VirtualClock) -> WorkQueue[str]:
    return WorkQueue(clock)


async def ready(queue: WorkQueue[str]) -> list[str]:
    """What can be got without waiting, all of it done."""
    found: list[str] = []
    while True:
        getting = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        if not getting.done():
            getting.cancel()
            return found
        found.append(getting.result())
        queue.done(getting.result())


async def test_keys_come_in_order_and_once(queue: WorkQueue[str]) -> None:
    for key in ("b", "a", "b", "c", "a"):
        queue.add(key)
    assert len(queue) == 3
    assert await ready(queue) == ["b", "a", "c"]


async def test_a_key_is_one_workers_and_comes_again_if_it_was_added_meanwhile(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await ready(queue) == ["a"]
    queue.done("a")
    assert await ready(queue) == []


async def test_what_is_added_for_later_comes_in_its_time(queue: WorkQueue[str], clock: VirtualClock) -> None:
    queue.add_after("late", 2)
    queue.add_after("soon", 1)
    queue.add_after("now", 0)
    queue.add_after("late", 3)  # it is to come sooner
    assert await ready(queue) == ["now"]
    await clock.advance(1)
    assert await ready(queue) == ["soon"]
    queue.add_after("late", 0.5)  # which is sooner
    await clock.advance(0.5)
    assert await ready(queue) == ["late"]
    await clock.advance(5)
    assert await ready(queue) == []


async def test_who_waits_is_woken_when_something_is_due(queue: WorkQueue[str], clock: VirtualClock) -> None:
    getting = [asyncio.create_task(queue.get()) for _ in range(3)]
    await clock.advance(0)
    queue.add_after("b", 2)
    queue.add_after("a", 1)  # sooner than what is being waited for
    await clock.advance(1)
    assert [task.result() for task in getting if task.done()] == ["a"]
    await clock.advance(1)
    assert sorted(task.result() for task in getting if task.done()) == ["a", "b"]
    queue.add("c")
    await clock.advance(0)
    assert sorted(task.result() for task in getting) == ["a", "b", "c"]


async def test_many_that_are_due_at_once_wake_as_many(queue: WorkQueue[str], clock: VirtualClock) -> None:
    getting = [asyncio.create_task(queue.get()) for _ in range(3)]
    await clock.advance(0)
    for key in ("a", "b", "c"):
        queue.add_after(key, 1)
    await clock.advance(1)
    assert sorted(task.result() for task in getting) == ["a", "b", "c"]


async def test_who_is_cancelled_hands_on_what_it_was_woken_for(queue: WorkQueue[str], clock: VirtualClock) -> None:
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await clock.advance(0)
    queue.add("a")
    first.cancel()
    await clock.advance(0)
    assert second.result() == "a"


async def test_who_is_cancelled_hands_on_the_clock(queue: WorkQueue[str], clock: VirtualClock) -> None:
    queue.add_after("a", 1)
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await clock.advance(0)
    first.cancel()
    await clock.advance(1)
    assert second.result() == "a"


async def test_failures_come_back_later_each_time(queue: WorkQueue[str], clock: VirtualClock) -> None:
    waited = []
    for _ in range(20):
        queue.add_rate_limited("a")
        began, getting = clock.monotonic(), asyncio.create_task(queue.get())
        await clock.advance(0)
        while not getting.done():
            await clock.advance(0.005)
            if clock.monotonic() - began > 4:
                await clock.advance(1000)
        waited.append(clock.monotonic() - began)
        queue.done("a")
    assert waited[:9] == pytest.approx([0.005 * 2**power for power in range(9)], abs=0.006)
    assert max(waited) <= 1006
    assert queue.retries("a") == 20
    queue.forget("a")
    assert queue.retries("a") == 0
    queue.add_rate_limited("a")
    await clock.advance(0.006)
    assert await ready(queue) == ["a"]


async def test_retries_of_all_keys_together_are_bounded(queue: WorkQueue[str], clock: VirtualClock) -> None:
    for number in range(150):
        queue.add_rate_limited(f"{number}")
    await clock.advance(0.006)
    assert len(await ready(queue)) == 100
    await clock.advance(1)
    assert len(await ready(queue)) == 10


@asynccontextmanager
async def running(controller: Controller) -> AsyncIterator[None]:
    task = asyncio.create_task(controller.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_controller_reconciles_what_is_added(clock: VirtualClock) -> None:
    seen: list[str] = []

    async def reconcile(key: str) -> float | None:
        seen.append(key)
        return 10 if seen == ["a"] else None

    controller = Controller("test", reconcile, clock=clock)
    controller.queue.add("a")
    async with running(controller):
        await clock.advance(9)
        assert seen == ["a"]
        await clock.advance(1)
        assert seen == ["a", "a"]
        await clock.advance(100)
        assert seen == ["a", "a"]


@pytest.mark.parametrize(
    ("exc", "level"),
    [
        (ValueError("a bug"), "ERROR"),
        (Unreachable("nobody"), "WARNING"),
        (APIError.of(403, "Forbidden", "no"), "WARNING"),
        (APIError.of(409, "Conflict", "changed"), "INFO"),
    ],
)
async def test_a_controller_tries_again_after_failures(
    exc: Exception, level: str, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    async def reconcile(key: str) -> None:
        nonlocal calls
        calls += 1
        if calls < 4:
            raise exc

    controller = Controller("test", reconcile, clock=clock)
    controller.queue.add("a")
    with caplog.at_level("INFO", "hyperkube_machinery.controller"):
        async with running(controller):
            await clock.advance(1)
    assert calls == 4
    assert controller.queue.retries("a") == 0
    assert [record.levelname for record in caplog.records] == [level] * 3
    assert "test: a" in caplog.text


async def test_a_controller_works_at_so_many_keys_at_once_but_never_twice_at_one(clock: VirtualClock) -> None:
    working: list[str] = []
    most = 0

    async def reconcile(key: str) -> None:
        nonlocal most
        assert key not in working
        working.append(key)
        most = max(most, len(working))
        controller.queue.add(key) if clock.monotonic() < 3 else None
        await clock.sleep(1)
        working.remove(key)

    controller = Controller("test", reconcile, clock=clock, workers=2)
    for key in ("a", "b", "c"):
        controller.queue.add(key)
    async with running(controller):
        await clock.advance(20)
    assert (most, working) == (2, [])


async def test_queues_tell_how_they_are_in_upstreams_names(clock: VirtualClock) -> None:
    registry = Registry()
    queue: WorkQueue[str] = WorkQueue(clock, name="deployment", metrics=WorkQueueMetrics(registry, clock))
    for key in ("a", "b", "c"):
        queue.add(key)
    await clock.advance(2)
    assert await queue.get() == "a"
    await clock.advance(3)
    queue.done("a")
    queue.add_rate_limited("a")
    assert await queue.get() == "b"
    await clock.advance(4)
    text = b"".join([piece async for piece in exposition(registry)]).decode()
    for line in (
        'workqueue_adds_total{name="deployment"} 3',
        'workqueue_depth{name="deployment"} 1',
        'workqueue_retries_total{name="deployment"} 1',
        'workqueue_queue_duration_seconds_sum{name="deployment"} 7',
        'workqueue_work_duration_seconds_sum{name="deployment"} 3',
        'workqueue_unfinished_work_seconds{name="deployment"} 4',
        'workqueue_longest_running_processor_seconds{name="deployment"} 4',
    ):
        assert line in text


async def test_a_bucket_gives_a_burst_then_drops(clock: VirtualClock) -> None:
    bucket = TokenBucket(2, 3, clock)
    assert [bucket.accept() for _ in range(4)] == [True, True, True, False]
    await clock.advance(0.5)
    assert [bucket.accept(), bucket.accept()] == [True, False]
    await clock.advance(100)
    assert [bucket.reserve() for _ in range(5)] == [0, 0, 0, 0.5, 1]
    assert [TokenBucket(0, 0, clock).reserve() for _ in range(2)] == [0, 0]


async def test_who_gives_up_waiting_gives_back_its_turn(clock: VirtualClock) -> None:
    bucket = TokenBucket(1, 1, clock)
    assert await bucket.wait() == 0
    waiting = asyncio.create_task(bucket.wait())
    await clock.advance(0)
    waiting.cancel()
    await clock.advance(0)
    assert bucket.reserve() == 1


async def test_pauses_grow_to_a_bound_and_begin_anew_after_a_while(clock: VirtualClock) -> None:
    backoff = Backoff(clock, first=1, longest=5, jitter=0.5, reset_seconds=60, chance=lambda: 1)
    assert [backoff.next() for _ in range(4)] == [1.5, 3, 6, 7.5]
    await clock.advance(61)
    assert backoff.next() == 1.5
    backoff.reset()
    assert backoff.next() == 1.5
