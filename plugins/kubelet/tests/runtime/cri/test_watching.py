"""What is told of sandboxes and containers, by a runtime that lists what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hyperkube_kubelet.runtime.cri.messages import MESSAGES
from hyperkube_kubelet.runtime.cri.watching import RELIST_SECONDS, Watcher
from hyperkube_kubelet.runtime.errors import NotFound, RuntimeUnavailable, Unsupported
from hyperkube_kubelet.runtime.values import ContainerState, Event, EventKind
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until

pytestmark = pytest.mark.anyio

CREATED, RUNNING, EXITED = range(3)
READY, NOT_READY = range(2)


class Runtime:
    """Answers calls by what it has, and tells of what the test says."""

    def __init__(self, *, tells: str = "") -> None:
        self.tells = tells  # the kind of its events: cri, containerd or none
        self.sandboxes: dict[str, int] = {"s": READY}
        self.containers: dict[str, int] = {"c": RUNNING}
        self.late = 0  # how many times it still says that what has ended goes on
        self.calls: list[str] = []
        self.lost = False
        self.told: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    async def call(self, name: str, request: dict[str, Any] | None = None, **_: Any) -> dict[str, Any]:
        self.calls.append(name)
        if self.lost:
            raise RuntimeUnavailable("it is gone")
        if name == "ListPodSandbox":
            return {"items": [{"id": one, "state": state} for one, state in self.sandboxes.items()]}
        if name == "ListContainers":
            listed = [{"id": one, "pod_sandbox_id": "s", "state": state} for one, state in self.containers.items()]
            return {"containers": listed}
        assert request is not None
        of = self.containers if name == "ContainerStatus" else self.sandboxes
        (about,) = request.values()
        if about not in of:
            raise NotFound(about)
        if self.late:
            self.late -= 1
            return {"status": {"state": RUNNING if of is self.containers else READY}}
        return {"status": {"state": of[about]}}

    async def stream(self, method: str, request: bytes, answer: str) -> AsyncIterator[dict[str, Any]]:
        kind = "cri" if "GetContainerEvents" in method else "containerd"
        if kind != self.tells:
            raise Unsupported(method)
        while (event := await self.told.get()) is not None:
            yield event


def exit_of(container: str, process: str = "") -> dict[str, Any]:
    """As containerd tells it."""
    ended = {"container_id": container, "id": process or container, "pid": 7, "exit_status": 1}
    return {"event": {"value": MESSAGES.encode("TaskExit", ended)}}


class Hearing:
    """All that a watcher tells, as it comes."""

    def __init__(self, watcher: Watcher) -> None:
        self.events: list[tuple[EventKind, str, str]] = []
        self._task = asyncio.ensure_future(self._listen(watcher))

    async def _listen(self, watcher: Watcher) -> None:
        event: Event
        async for event in watcher.events():
            self.events.append((event.kind, event.sandbox_id, event.container_id))

    async def heard(self, *event: str) -> None:
        await until(lambda: event in self.events)

    async def failure(self) -> BaseException | None:
        await asyncio.wait({self._task})
        return self._task.exception()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


async def begun(runtime: Runtime, clock: VirtualClock) -> tuple[Watcher, Hearing]:
    watcher = Watcher(runtime, clock)  # type: ignore[arg-type]
    hearing = Hearing(watcher)
    await hearing.heard("started", "s", "c")
    return watcher, hearing


@pytest.mark.parametrize("tells", ["", "containerd", "cri"])
async def test_what_is_there_is_told_at_first_and_what_changes_later(tells: str, clock: VirtualClock) -> None:
    runtime = Runtime(tells=tells)
    watcher, hearing = await begun(runtime, clock)
    assert sorted(hearing.events) == [("started", "s", ""), ("started", "s", "c")]
    runtime.containers = {"c": EXITED, "d": CREATED}
    await clock.advance(RELIST_SECONDS)
    await hearing.heard("stopped", "s", "c")
    await hearing.heard("created", "s", "d")
    runtime.containers, runtime.sandboxes = {}, {"s": NOT_READY}
    await clock.advance(RELIST_SECONDS)
    await hearing.heard("deleted", "s", "c")
    await hearing.heard("stopped", "s", "")
    assert len(hearing.events) == len(set(hearing.events)) == 7
    assert watcher.running() == set()
    await hearing.close()


async def test_a_runtime_that_tells_nothing_is_asked_every_second(clock: VirtualClock) -> None:
    runtime = Runtime()
    _, hearing = await begun(runtime, clock)
    runtime.containers["c"] = EXITED
    await clock.advance(1.0)
    await hearing.heard("stopped", "s", "c")
    await hearing.close()


async def test_an_end_that_containerd_tells_is_looked_at_until_it_is_seen(clock: VirtualClock) -> None:
    runtime = Runtime(tells="containerd")
    _, hearing = await begun(runtime, clock)
    runtime.containers["c"], runtime.late = EXITED, 3
    runtime.told.put_nowait(exit_of("c"))
    await until(lambda: runtime.calls.count("ContainerStatus") == 1)
    await clock.advance(0.1)
    await hearing.heard("stopped", "s", "c")
    assert runtime.calls.count("ContainerStatus") == 4
    await hearing.close()


async def test_commands_that_end_in_a_container_are_nobodys_business(clock: VirtualClock) -> None:
    runtime = Runtime(tells="containerd")
    _, hearing = await begun(runtime, clock)
    runtime.told.put_nowait(exit_of("c", "some-command"))
    runtime.sandboxes["s"] = NOT_READY
    runtime.told.put_nowait(exit_of("s"))
    await hearing.heard("stopped", "s", "")
    assert "ContainerStatus" not in runtime.calls
    await hearing.close()


async def test_what_cri_tells_is_known_without_asking(clock: VirtualClock) -> None:
    runtime = Runtime(tells="cri")
    _, hearing = await begun(runtime, clock)
    before = len(runtime.calls)
    event = {"container_id": "c", "container_event_type": 2, "pod_sandbox_status": {"id": "s", "state": READY}}
    runtime.told.put_nowait({**event, "containers_statuses": [{"id": "c", "state": EXITED}]})
    await hearing.heard("stopped", "s", "c")
    gone = {"container_id": "c", "container_event_type": 3, "pod_sandbox_status": None, "containers_statuses": []}
    runtime.told.put_nowait(gone)
    await hearing.heard("deleted", "s", "c")
    assert len(runtime.calls) == before
    await hearing.close()


async def test_a_look_knows_less_than_what_was_done_meanwhile(clock: VirtualClock) -> None:
    runtime = Runtime()
    watcher = Watcher(runtime, clock)  # type: ignore[arg-type]
    await watcher.look_at_all()
    listing = runtime.call

    async def slow(name: str, request: dict[str, Any] | None = None, **_: Any) -> dict[str, Any]:
        answer = await listing(name, request)
        if name == "ListContainers":  # it has answered, and then all of this is done
            watcher.see_container("c", "s", ContainerState.EXITED)
            watcher.see_container("new", "s", ContainerState.RUNNING)
        return answer

    runtime.call = slow  # type: ignore[method-assign]
    await watcher.look_at_all()
    assert watcher.running() == {"new"}
    assert watcher.looked_at == clock.monotonic()


@pytest.mark.parametrize("tells", ["", "containerd", "cri"])
async def test_a_runtime_that_is_lost_ends_it(tells: str, clock: VirtualClock) -> None:
    runtime = Runtime(tells=tells)
    _, hearing = await begun(runtime, clock)
    runtime.lost = True
    runtime.told.put_nowait(None)
    await clock.advance(1.0)
    assert isinstance(await hearing.failure(), RuntimeUnavailable)


async def test_what_ended_while_nobody_listened_is_told_to_the_next(clock: VirtualClock) -> None:
    runtime = Runtime(tells="containerd")
    watcher, hearing = await begun(runtime, clock)
    await hearing.close()
    runtime.containers["c"] = EXITED
    hearing = Hearing(watcher)
    await hearing.heard("stopped", "s", "c")
    assert len(hearing.events) == 1
    await hearing.close()
