"""Which containers that have ended are removed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hyperkube_kubelet.containers.observed import POD_UID
from hyperkube_kubelet.garbage.containers import ContainerCollector, ContainerRules, superfluous
from hyperkube_kubelet.garbage.errors import GarbageLeft
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.values import Container, Sandbox
from hyperkube_machinery.testing.clock import VirtualClock

from ..builders import run, sandbox

pytestmark = pytest.mark.anyio


def dead(uid: str, name: str = "main", *, attempt: int = 0, sandbox_id: str = "s0") -> Container:
    found = run(name, "exited", attempt=attempt, sandbox_id=sandbox_id)
    return replace(found, id=f"{uid}-{name}-{attempt}", config=replace(found.config, labels={POD_UID: uid}))


def ids(containers: list[Container]) -> list[str]:
    return [container.id for container in containers]


@pytest.mark.parametrize(
    ("most", "gone"),
    [
        (-1, []),
        (4, []),
        (3, ["a-main-0", "a-main-1"]),  # one each, as there is not room for two
        (2, ["a-main-0", "a-main-1"]),
        (1, ["a-main-0", "a-main-1", "b-main-0"]),
        (0, ["a-main-0", "a-main-1", "b-main-0", "a-main-2"]),
    ],
)
def test_each_container_keeps_as_many_of_its_runs(most: int, gone: list[str]) -> None:
    runs = [dead("a", attempt=attempt) for attempt in range(3)] + [dead("b")]
    assert ids(superfluous(runs, lambda uid: False, most)) == gone


def test_all_go_of_pods_that_nothing_runs_of_any_more() -> None:
    runs = [dead("ended"), dead("ended", "side"), dead("alive")]
    assert set(ids(superfluous(runs, lambda uid: uid == "ended", -1))) == {"ended-main-0", "ended-side-0"}


class Shelf:
    def __init__(self, containers: list[Container], sandboxes: list[Sandbox]) -> None:
        self.there = {one.id: one for one in containers}
        self.sandboxes_there = {one.id: one for one in sandboxes}
        self.failing: set[str] = set()

    async def containers(self) -> list[Container]:
        return list(self.there.values())

    async def sandboxes(self) -> list[Sandbox]:
        return list(self.sandboxes_there.values())

    async def remove_container(self, container_id: str) -> None:
        if container_id in self.failing:
            raise RuntimeFailure("busy")
        del self.there[container_id]

    async def remove_sandbox(self, sandbox_id: str) -> None:
        del self.sandboxes_there[sandbox_id]


class Stage:
    def __init__(self, rules: ContainerRules, shelf: Shelf, ended: set[str]) -> None:
        self.clock = VirtualClock()
        self.shelf = shelf
        self.discarded: list[str] = []
        self.collector = ContainerCollector(
            rules,
            shelf,  # type: ignore[arg-type]
            self.clock,
            finished=lambda uid: uid in ended,
            discard=lambda one: self.discarded.append(one.id),
        )


async def test_for_room_all_goes_that_pods_which_ended_have_left() -> None:
    ended = replace(sandbox("s1", ready=False), config=replace(sandbox().config, uid="ended"))
    running = replace(run("main"), id="alive-1", config=replace(run("main").config, labels={POD_UID: "alive"}))
    shelf = Shelf([dead("ended", sandbox_id="s1"), dead("alive"), running], [ended, sandbox("s0", ready=False)])
    stage = Stage(ContainerRules(), shelf, {"ended"})
    await stage.collector.remove_unused()
    assert set(shelf.there) == {"alive-main-0", "alive-1"}
    assert set(shelf.sandboxes_there) == {"s0"}
    assert stage.discarded == []  # its logs are read until its object goes


async def test_a_run_that_goes_for_the_limit_takes_its_log_along() -> None:
    stage = Stage(ContainerRules(most=1), Shelf([dead("a"), dead("a", attempt=1)], []), set())
    await stage.collector.collect()
    assert set(stage.shelf.there) == {"a-main-1"}
    assert stage.discarded == ["a-main-0"]


async def test_what_is_too_young_is_not_counted() -> None:
    stage = Stage(ContainerRules(most=0, least_age=1e12), Shelf([dead("a")], []), set())
    await stage.collector.collect()
    assert set(stage.shelf.there) == {"a-main-0"}


async def test_what_could_not_be_removed_is_told_and_the_rest_goes() -> None:
    shelf = Shelf([dead("a"), dead("b")], [])
    shelf.failing = {"a-main-0"}
    stage = Stage(ContainerRules(most=0), shelf, set())
    with pytest.raises(GarbageLeft, match="a-main-0: busy"):
        await stage.collector.collect()
    assert set(shelf.there) == {"a-main-0"}
