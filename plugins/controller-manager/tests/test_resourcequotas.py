"""The resource quota controller, over an API in memory and a clock that stands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.controllers import resourcequota
from hyperkube_controller_manager.options import Options
from hyperkube_machinery.client import Client
from hyperkube_machinery.companions import companions
from hyperkube_machinery.events import EventRecorder
from hyperkube_machinery.informers import Informers
from hyperkube_machinery.resources import Resource
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.api import MemoryAPI
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until
from hyperkube_machinery.workqueue import WorkQueueMetrics

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

QUOTAS = "/api/v1/namespaces/n/resourcequotas"
PODS = "/api/v1/namespaces/n/pods"
WIDGETS = "/apis/example.com/v1/namespaces/n/widgets"
WIDGET = Resource(
    group="example.com",
    version="v1",
    resource="widgets",
    kind="Widget",
    singular="widget",
    namespaced=True,
    verbs=("create", "delete", "get", "list", "watch"),
)


class World:
    def __init__(self) -> None:
        self.api = MemoryAPI()
        self.clock = VirtualClock()
        self.served: list[Resource] = []

    def quota(self, hard: Tree, status: Tree | None = None, **spec: Any) -> Tree:
        return self.api.put(QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}, "status": status or {}})

    def pod(self, name: str, cpu: str = "100m", *, phase: str = "Running", **spec: Any) -> Tree:
        containers = [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]
        return self.api.put(
            PODS, {"metadata": {"name": name}, "spec": {"containers": containers, **spec}, "status": {"phase": phase}}
        )

    @property
    def status(self) -> Tree:
        found: Tree = next(obj for key, obj in self.api.objects.items() if key[2] == "q")["status"]
        return found

    async def becomes(self, used: Tree, seconds: float = 5.0) -> None:
        """Let time go on until so much is used."""
        for _ in range(int(seconds / 0.1)):
            for _ in range(20):
                await self.clock.advance(0)
            if self.status.get("used") == used:
                return
            await self.clock.advance(0.1)
        assert self.status.get("used") == used

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[None]:
        begun: list[bool] = []
        async with self.api.client(self.clock) as client:
            context = ControllerContext(
                name="test",
                client=client,
                reader=client,
                informers=Informers(client, self.clock),
                recorder=EventRecorder(client, self.clock, component="test"),
                clock=self.clock,
                options=Options(**options),
                metrics=WorkQueueMetrics(Registry(), self.clock),
                root_ca="",
                begun=lambda: begun.append(True),
            )
            async with context.informers.running(), companions(resourcequota.run(context)):
                await until(lambda: begun)
                yield


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()

    async def discover(client: Client) -> Sequence[Resource]:
        return world.served

    monkeypatch.setattr(Client, "discover", discover)
    return world


async def test_a_new_quota_is_told_what_is_there_already(world: World) -> None:
    world.pod("a", "300m")
    world.pod("b")
    world.pod("over", phase="Succeeded")
    world.quota({"pods": "5", "requests.cpu": "1", "count/pods": "9"})
    async with world.running():
        await world.becomes({"count/pods": "3", "pods": "2", "requests.cpu": "400m"})
        assert world.status["hard"] == {"count/pods": "9", "pods": "5", "requests.cpu": "1"}


async def test_what_goes_or_ends_is_given_back_soon(world: World) -> None:
    world.pod("a")
    world.pod("b")
    world.pod("c")
    world.quota({"pods": "5"})
    async with world.running():
        await world.becomes({"pods": "3"})
        world.api.remove(f"{PODS}/a")
        await world.becomes({"pods": "2"}, seconds=1)
        world.pod("b", phase="Failed")
        await world.becomes({"pods": "1"}, seconds=1)


async def test_a_quota_that_changes_is_counted_anew(world: World) -> None:
    world.pod("a", activeDeadlineSeconds=5)
    world.quota({"pods": "5"})
    async with world.running():
        await world.becomes({"pods": "1"})
        world.quota({"requests.cpu": "2"}, world.status)
        await world.becomes({"requests.cpu": "100m"})
        assert world.status["hard"] == {"requests.cpu": "2"}


async def test_scopes_are_kept_to(world: World) -> None:
    world.pod("ends", activeDeadlineSeconds=5)
    world.pod("stays")
    world.pod("stays-too", priorityClassName="high")
    world.quota({"pods": "5"}, scopes=["NotTerminating"])
    async with world.running():
        await world.becomes({"pods": "2"})


async def test_what_was_charged_just_now_is_not_taken_back(world: World) -> None:
    """The API server charges before it stores: what is charged and not there may be there in a moment."""
    hard = {"pods": "5"}
    world.pod("a")
    world.quota(hard, {"hard": hard, "used": {"pods": "1"}})
    async with world.running():
        await world.becomes({"pods": "1"})
        quota = world.quota(hard, {"hard": hard, "used": {"pods": "3"}})  # two are on their way
        world.pod("ended", phase="Running")
        world.pod("ended", phase="Succeeded")  # has it counted
        for _ in range(20):
            await world.clock.advance(0)
        assert world.status["used"] == {"pods": "3"}, quota
        await world.becomes({"pods": "1"}, seconds=1)


async def test_what_is_not_served_is_not_told_of_until_it_is(world: World) -> None:
    world.quota({"pods": "5", "count/widgets.example.com": "2"})
    async with world.running():
        await world.becomes({"pods": "0"})
        world.served.append(WIDGET)
        world.api.put(WIDGETS, {"metadata": {"name": "w"}})
        await world.becomes({"pods": "0", "count/widgets.example.com": "1"}, seconds=120)


async def test_all_is_counted_anew_from_time_to_time(world: World) -> None:
    hard = {"pods": "5"}
    world.quota(hard, {"hard": hard, "used": {"pods": "0"}})
    async with world.running(resource_quota_sync_period=60.0):
        await world.becomes({"pods": "0"})
        world.quota(hard, {"hard": hard, "used": {"pods": "4"}})
        await world.becomes({"pods": "0"}, seconds=70)


async def test_one_that_is_written_by_others_meanwhile_is_counted_again(world: World) -> None:
    from hyperkube_machinery.errors import APIError

    world.pod("a")
    conflict = APIError.of(409, "Conflict", "it has changed", {})
    world.api.refuse(conflict, lambda asked: asked.method == "PUT")
    world.quota({"pods": "5"})
    async with world.running():
        await world.becomes({"pods": "1"})
