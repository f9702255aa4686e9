"""When parts are brought in step, and with what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_proxy.changes import Model
from hyperkube_proxy.healthcheck import Health
from hyperkube_proxy.instruments import Instruments
from hyperkube_proxy.model import PortName
from hyperkube_proxy.parts import Routes, SyncError
from hyperkube_proxy.rules import Place
from hyperkube_proxy.syncer import FULL_SYNC_SECONDS, Syncer

pytestmark = pytest.mark.anyio

MIN_SECONDS = 1.0


class Part:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[set[str] | None] = []
        self.routes: Routes = {}
        self.fails = 0
        self.again: float | None = None

    async def sync(self, routes: Routes, changed: Collection[PortName] | None) -> float | None:
        self.asked.append(None if changed is None else {name.service for name in changed})
        self.routes = routes
        if self.fails:
            self.fails -= 1
            raise SyncError("not today")
        again, self.again = self.again, None
        return again


class Bench:
    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.model = Model("n1")
        self.health = Health(clock, timeout_seconds=60)
        self.instruments = Instruments()
        self.syncer = Syncer(
            self.model, clock, self.instruments, self.health, min_seconds=MIN_SECONDS, longest_retry_seconds=30
        )
        self.part = Part()

    def change(self, name: str, port: int = 80) -> None:
        spec = {"clusterIP": "10.0.0.7", "ports": [{"name": "", "port": port, "protocol": "TCP"}]}
        self.model.on_service(None, {"metadata": {"namespace": "ns", "name": name}, "spec": spec})
        self.syncer.queue()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.syncer.use([self.part])
        task = asyncio.create_task(self.syncer.run())
        try:
            await self.clock.advance(0)
            yield
        finally:
            task.cancel()
            await asyncio.wait((task,))


@pytest.fixture
def bench() -> Bench:
    return Bench(VirtualClock())


async def test_the_first_look_is_at_everything_and_the_next_at_what_changed(bench: Bench) -> None:
    bench.change("a")
    async with bench.running():
        assert bench.part.asked == [None]
        assert bench.syncer.synced.is_set()
        await bench.clock.advance(MIN_SECONDS)
        bench.change("b")
        await bench.clock.advance(0)
        assert bench.part.asked == [None, {"b"}]
        assert {name.service for name in bench.part.routes} == {"a", "b"}


async def test_changes_are_gathered_for_the_least_time(bench: Bench) -> None:
    async with bench.running():
        bench.change("a")
        bench.change("b")
        await bench.clock.advance(MIN_SECONDS / 2)
        bench.change("c")
        assert len(bench.part.asked) == 1
        await bench.clock.advance(MIN_SECONDS / 2)
        assert bench.part.asked[1:] == [{"a", "b", "c"}]


async def test_nothing_is_done_while_nothing_changes(bench: Bench) -> None:
    async with bench.running():
        await bench.clock.advance(FULL_SYNC_SECONDS / 2)
        assert len(bench.part.asked) == 1


async def test_now_and_then_everything_is_looked_at(bench: Bench) -> None:
    async with bench.running():
        await bench.clock.advance(FULL_SYNC_SECONDS + 1)
        assert bench.part.asked == [None, None]


async def test_what_fails_is_tried_again_later_and_later_and_looks_at_everything(bench: Bench) -> None:
    bench.part.fails = 4
    times: list[float] = []
    async with bench.running():
        for _ in range(4):
            asked = len(bench.part.asked)
            while len(bench.part.asked) == asked:
                await bench.clock.advance(0.25)
            times.append(bench.clock.monotonic())
        assert bench.part.asked == [None] * 5
        assert bench.syncer.synced.is_set()
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[-1] > 2 * MIN_SECONDS


async def test_a_part_that_fails_does_not_keep_the_others_from_theirs(bench: Bench) -> None:
    other = Part()
    bench.part.fails = 1
    bench.syncer.use([bench.part, other])
    bench.change("a")
    assert not await bench.syncer.sync()
    bench.change("b")
    assert await bench.syncer.sync()
    assert bench.part.asked == [None, None]
    assert other.asked == [None, {"b"}]


async def test_a_part_may_ask_for_another_turn(bench: Bench) -> None:
    bench.part.again = 5
    async with bench.running():
        await bench.clock.advance(4)
        assert bench.part.asked == [None]
        await bench.clock.advance(2)
        assert bench.part.asked == [None, set()]


async def test_a_proxy_that_cannot_keep_up_is_unhealthy(bench: Bench) -> None:
    bench.part.fails = 100
    async with bench.running():
        assert bench.health.healthy
        await bench.clock.advance(61)
        assert not bench.health.healthy
        bench.part.fails = 0
        await bench.clock.advance(31)
        assert bench.health.healthy


async def test_a_node_in_another_zone_leads_elsewhere(bench: Bench) -> None:
    bench.change("web")
    slice_: dict[str, Any] = {
        "metadata": {"namespace": "ns", "name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [f"10.1.0.{number}"], "hints": {"forZones": [{"name": zone}]}}
            for number, zone in ((1, "a"), (2, "b"))
        ],
    }
    bench.model.on_slice(None, slice_)
    bench.syncer.use([bench.part])
    bench.syncer.move(Place("n1", "a"))
    await bench.syncer.sync()
    (route,) = bench.part.routes.values()
    assert [endpoint.ip for endpoint in route.cluster] == ["10.1.0.1"]
    bench.syncer.move(Place("n1", "b"))
    await bench.syncer.sync()
    (route,) = bench.part.routes.values()
    assert [endpoint.ip for endpoint in route.cluster] == ["10.1.0.2"]
    assert bench.part.asked[-1] == {"web"}


async def test_changes_that_were_taken_before_it_was_cancelled_are_not_lost(bench: Bench) -> None:
    gone = {"metadata": {"namespace": "ns", "name": "s0"}}
    async with bench.running():
        bench.change("s0")
        await bench.clock.advance(MIN_SECONDS)
        for number in range(1, 200):
            bench.change(f"s{number}")
        bench.model.on_service(gone, None)
        syncing = asyncio.create_task(bench.syncer.sync())
        await asyncio.sleep(0)  # it has taken what changed, and lets others have their turn
        syncing.cancel()
        await asyncio.wait((syncing,))
    bench.syncer.use([bench.part])
    await bench.syncer.sync()
    assert {name.service for name in bench.part.routes} == {f"s{number}" for number in range(1, 200)}


async def test_a_service_that_is_gone_is_named_once_more(bench: Bench) -> None:
    bench.change("a")
    bench.syncer.use([bench.part])
    await bench.syncer.sync()
    gone = {"metadata": {"namespace": "ns", "name": "a"}}
    bench.model.on_service(gone, None)
    await bench.syncer.sync()
    assert bench.part.asked == [None, {"a"}]
    assert not bench.part.routes


async def test_others_have_their_turn_while_many_services_are_looked_at(bench: Bench) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    for number in range(1000):
        bench.change(f"service-{number}")
    bench.syncer.use([bench.part])
    counting = asyncio.create_task(count())
    await bench.syncer.sync()
    counting.cancel()
    assert len(bench.part.routes) == 1000
    assert turns >= 10
