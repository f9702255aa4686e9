"""What is said of a runtime that doesn't answer, or no longer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from hyperkube_kubelet.runtime.errors import RuntimeUnavailable
from hyperkube_kubelet.runtime.hollow import HollowRuntime
from hyperkube_kubelet.runtime.values import Image, RuntimeStatus
from hyperkube_kubelet.runtimestate import RuntimeState
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

PENDING = "container runtime status check may not have completed yet"
DOWN = "container runtime is down"


class Runtime(HollowRuntime):
    """Answers as the test says."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.failure = ""
        self.ready = True
        self.hangs: asyncio.Event | None = None
        self.seen: float | None = None

    @property
    def seen_at(self) -> float | None:
        return self.seen

    async def _answer(self) -> None:
        if self.hangs is not None:
            await self.hangs.wait()
        if self.failure:
            raise RuntimeUnavailable(self.failure)

    async def status(self) -> RuntimeStatus:
        await self._answer()
        return replace(await super().status(), ready=self.ready)

    async def images(self) -> list[Image]:
        await self._answer()
        return [Image(id="i", tags=(), digests=(), size=1)]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def runtime(clock: VirtualClock) -> Runtime:
    return Runtime(clock)


async def test_a_runtime_that_never_answered_is_not_relied_on(runtime: Runtime, clock: VirtualClock) -> None:
    state = RuntimeState(runtime, clock)
    assert state.troubles() == (PENDING,)
    runtime.failure = "no such file"
    await state.look()
    assert state.troubles() == (PENDING,)
    assert state.network_trouble() == "no such file"
    runtime.failure = ""
    await state.look()
    assert (state.troubles(), state.network_trouble()) == ((), "")


async def test_a_node_outlives_a_restart_of_its_runtime(runtime: Runtime, clock: VirtualClock) -> None:
    state = RuntimeState(runtime, clock)
    await state.look()
    runtime.failure = "connection refused"
    await clock.advance(29)
    await state.look()
    assert (state.troubles(), state.shown.ready) == ((), True)
    await clock.advance(1)
    assert state.troubles() == (DOWN,)
    runtime.failure = ""
    await state.look()
    assert state.troubles() == ()


async def test_a_runtime_that_hangs_is_down_as_well(runtime: Runtime, clock: VirtualClock) -> None:
    state = RuntimeState(runtime, clock)
    await state.look()
    assert len(await state.images()) == 1
    runtime.hangs = asyncio.Event()
    looking = asyncio.ensure_future(state.look())
    await clock.advance(31)
    assert state.troubles() == (DOWN,)
    images = asyncio.ensure_future(state.images())
    await clock.advance(5)
    assert len(await images) == 1
    runtime.hangs.set()
    await looking
    assert state.troubles() == ()


async def test_a_kubelet_that_starts_waits_no_longer_than_it_must(runtime: Runtime, clock: VirtualClock) -> None:
    state = RuntimeState(runtime, clock)
    runtime.hangs = asyncio.Event()
    looking = asyncio.ensure_future(state.look_for(10))
    await clock.advance(10)
    await looking
    assert state.network_trouble() == "the runtime has not answered within 10s"


async def test_what_runs_must_have_been_seen_lately(runtime: Runtime, clock: VirtualClock) -> None:
    state = RuntimeState(runtime, clock)
    await state.look()
    runtime.seen = clock.monotonic()
    await clock.advance(180)
    assert state.troubles() == ()
    await clock.advance(5.5)
    text = "PLEG is not healthy: pleg was last seen active 3m5.5s ago; threshold is 3m0s"
    assert state.troubles() == (text,)
    runtime.failure = "gone"
    await state.look()
    assert state.troubles() == (DOWN, text)
