"""Pods that ask for other resources while they run."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.cgroups.policy import Policy
from hyperkube_kubelet.cgroups.settings import Held, Settings
from hyperkube_kubelet.cgroups.tree import NoGroups
from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.values import ContainerConfig, ContainerStats, Limits
from hyperkube_machinery.testing.clock import VirtualClock

from ..builders import UID, container, pod
from .harness import Bench, ScriptedRuntime, bench

pytestmark = pytest.mark.anyio

MIB = 1 << 20


class Groups(NoGroups):
    """One pod's group, in memory; what it is held to in turn is written down among what containers are."""

    def __init__(self, done: list[str]) -> None:
        super().__init__()
        self.done = done
        self.now = Held(2, 0, 100_000, 0)
        self.usage = 0
        self.removed: list[str] = []
        self._there = False

    def exists(self, pod: Tree) -> bool:
        return self._there

    async def ensure(self, pod: Tree) -> None:
        self._there = True
        self._set(Policy().pod(pod))

    def wanted(self, pod: Tree) -> Settings | None:
        return Policy().pod(pod)

    async def hold(self, pod: Tree, settings: Settings) -> None:
        self.done.append("pod memory" if settings.memory_bytes else "pod quota" if settings.cpu_quota else "pod shares")
        self._set(settings)

    def held(self, pod: Tree) -> Held | None:
        return self.now

    async def memory_usage(self, pod: Tree) -> int | None:
        return self.usage

    async def remove(self, uid: str) -> None:
        self.removed.append(uid)

    @asynccontextmanager
    async def running(self, pods: Callable[[], Iterable[Tree]]) -> AsyncIterator[None]:
        yield

    def _set(self, settings: Settings) -> None:
        now = self.now
        self.now = Held(
            settings.cpu_shares or now.cpu_shares,
            now.cpu_quota if settings.cpu_quota is None else settings.cpu_quota,
            settings.cpu_period or now.cpu_period,
            now.memory_bytes if settings.memory_bytes is None else settings.memory_bytes,
        )


class Runtime(ScriptedRuntime):
    """Writes down what containers are held to."""

    def __init__(self, clock: VirtualClock, done: list[str]) -> None:
        super().__init__(clock)
        self.done = done
        self.limits: dict[str, Limits] = {}
        self.refuses = ""
        self.usage = 0

    async def update_limits(self, container_id: str, config: ContainerConfig) -> None:
        if self.refuses:
            raise RuntimeFailure(self.refuses)
        self.limits[config.name] = config.limits
        self.done.append(config.name)
        await super().update_limits(container_id, config)

    async def stats(self) -> list[ContainerStats]:
        found = await super().stats()
        return [replace(one, memory_bytes=self.usage) for one in found]


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
async def runtime(done: list[str]) -> AsyncIterator[Runtime]:
    runtime = Runtime(VirtualClock(), done)
    yield runtime
    await runtime.close()


@pytest.fixture
def groups(done: list[str]) -> Groups:
    return Groups(done)


@pytest.fixture
async def node(tmp_path: Path, runtime: Runtime, groups: Groups) -> AsyncIterator[Bench]:
    async with bench(tmp_path, runtime.clock, runtime, groups) as node:
        yield node


def asking(cpu: str, memory: str = "64Mi", name: str = "main", **fields: Any) -> dict[str, Any]:
    amounts = {"cpu": cpu, "memory": memory}
    return container(name, resources={"requests": amounts, "limits": amounts}, **fields)


def conditions(node: Bench) -> dict[str, dict[str, Any]]:
    return {one["type"]: one for one in node.status().get("conditions") or () if one["type"].startswith("PodResize")}


async def begun(node: Bench, made: dict[str, Any]) -> None:
    node.put(made)
    await node.until(lambda: node.ready)


async def test_a_pod_that_grows_has_more_first_and_its_containers_then(
    node: Bench, runtime: Runtime, groups: Groups, done: list[str]
) -> None:
    await begun(node, pod(asking("1")))
    first = runtime.running()
    node.put(pod(asking("2", "128Mi"), meta_generation=2))
    await node.until(lambda: "ResizeCompleted" in node.heard.reasons)
    assert runtime.running() == first, "it goes on"
    assert done == ["pod memory", "main", "pod quota", "pod shares", "main"]
    assert (groups.now.cpu_quota, groups.now.cpu_shares, groups.now.memory_bytes) == (200_000, 2048, 128 * MIB)
    assert (runtime.limits["main"].cpu_quota, runtime.limits["main"].memory_bytes) == (200_000, 128 * MIB)
    assert node.heard.reasons[-2:] == ["ResizeStarted", "ResizeCompleted"]
    summary = json.loads(node.heard.message("ResizeCompleted").removeprefix("Pod resize completed: "))
    assert summary == {
        "containers": [{"name": "main", "resources": asking("2", "128Mi")["resources"]}],
        "generation": 2,
    }
    await node.until(lambda: not conditions(node))
    shown = node.container()
    assert shown["resources"]["limits"] == {"cpu": "2", "memory": "128Mi"}
    assert shown["allocatedResources"] == {"cpu": "2", "memory": "128Mi"}
    assert node.status()["allocatedResources"] == {"cpu": "2", "memory": "128Mi"}
    assert node.status()["resources"]["limits"] == {"cpu": "2", "memory": "128Mi"}


async def test_a_pod_that_shrinks_has_less_after_its_containers(node: Bench, runtime: Runtime, done: list[str]) -> None:
    await begun(node, pod(asking("2", "128Mi")))
    node.put(pod(asking("1", "64Mi"), meta_generation=2))
    await node.until(lambda: "ResizeCompleted" in node.heard.reasons)
    assert done == ["main", "pod memory", "main", "pod shares", "pod quota"]


async def test_who_shrinks_makes_room_for_who_grows(node: Bench, done: list[str]) -> None:
    await begun(node, pod(asking("1", name="main"), asking("2", name="b")))
    node.put(pod(asking("2", name="main"), asking("1", name="b"), meta_generation=2))
    await node.until(lambda: "ResizeCompleted" in node.heard.reasons)
    assert done == ["b", "main"]


async def test_a_container_that_must_be_started_anew_is(node: Bench, runtime: Runtime, done: list[str]) -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    await begun(node, pod(asking("1", resizePolicy=policy)))
    first = runtime.running()
    node.put(pod(asking("1", "128Mi", resizePolicy=policy), meta_generation=2))
    await node.until(lambda: runtime.running() not in ("", first))
    assert node.heard.message("Killing") == "Container main resize requires restart"
    assert "main" not in done, "it is started with what it is to have"
    assert (await runtime.container(runtime.running())).config.limits.memory_bytes == 128 * MIB
    await node.until(lambda: "ResizeCompleted" in node.heard.reasons)


async def test_what_the_node_does_not_have_is_put_off_until_it_does(node: Bench, runtime: Runtime) -> None:
    await begun(node, pod(asking("1")))
    node.put(pod(asking("3"), uid="other", name="other"))
    await node.until(lambda: node.status("other").get("phase") == "Running")
    node.put(pod(asking("3"), meta_generation=2))
    await node.until(lambda: "PodResizePending" in conditions(node))
    told = conditions(node)["PodResizePending"]
    assert (told["status"], told["reason"], told["observedGeneration"]) == ("True", "Deferred", 2)
    assert told["message"] == "Node didn't have enough resource: cpu, requested: 3000, used: 3000, capacity: 4000"
    assert node.container()["allocatedResources"]["cpu"] == "1"
    assert runtime.limits == {}
    node.delete("other", grace=0)
    node.drop("other")
    await node.until(lambda: runtime.limits)
    assert runtime.limits["main"].cpu_quota == 300_000
    await node.until(lambda: not conditions(node))
    reasons = [reason for reason in node.heard.reasons if reason.startswith("Resize")]
    assert reasons == ["ResizeDeferred", "ResizeStarted", "ResizeCompleted"]


async def test_a_wish_that_is_taken_back_is_forgotten(node: Bench, runtime: Runtime) -> None:
    await begun(node, pod(asking("1")))
    node.put(pod(asking("9"), meta_generation=2))
    await node.until(lambda: "PodResizePending" in conditions(node))
    node.put(pod(asking("1"), meta_generation=3))
    await node.until(lambda: not conditions(node))
    assert runtime.limits == {}


async def test_what_could_not_be_changed_is_told_and_tried_again(node: Bench, runtime: Runtime) -> None:
    await begun(node, pod(asking("1")))
    runtime.refuses = "no way"
    node.put(pod(asking("2"), meta_generation=2))
    await node.until(lambda: conditions(node).get("PodResizeInProgress", {}).get("reason") == "Error")
    assert conditions(node)["PodResizeInProgress"]["message"] == "no way"
    assert '"error":"no way"' in node.heard.message("ResizeError")
    runtime.refuses = ""
    await node.pass_time(20)
    await node.until(lambda: not conditions(node))
    assert runtime.limits["main"].cpu_quota == 200_000


async def test_memory_in_use_is_not_taken_away(node: Bench, runtime: Runtime, groups: Groups) -> None:
    await begun(node, pod(asking("1", "128Mi")))
    groups.usage = runtime.usage = 100 * MIB
    node.put(pod(asking("1", "64Mi"), meta_generation=2))
    await node.until(lambda: conditions(node).get("PodResizeInProgress", {}).get("reason") == "Error")
    used, limit = 100 * MIB, 64 * MIB
    assert conditions(node)["PodResizeInProgress"]["message"] == (
        f"cannot decrease memory limits: [attempting to set pod memory limit ({limit}) below current usage ({used}),"
        f' attempting to set container "main" memory limit ({limit}) below current usage ({used})]'
    )
    assert groups.now.memory_bytes == 128 * MIB


async def test_the_next_kubelet_knows_what_was_given(
    tmp_path: Path, runtime: Runtime, groups: Groups, done: list[str]
) -> None:
    async with bench(tmp_path, runtime.clock, runtime, groups) as node:
        await begun(node, pod(asking("1")))
        node.put(pod(asking("2"), meta_generation=2))
        await node.until(lambda: "ResizeCompleted" in node.heard.reasons)
        node.put(pod(asking("9"), meta_generation=3))
        await node.until(lambda: "PodResizePending" in conditions(node))
        kept = tmp_path / "resources.json"
        await node.until(lambda: kept.exists() and json.loads(kept.read_bytes())["pods"][UID]["actuated"])
    before = list(done)
    async with bench(tmp_path, runtime.clock, runtime, groups) as node:
        node.put(pod(asking("9"), meta_generation=3))
        await node.until(lambda: node.container()["state"].get("running"))
        assert node.container()["resources"]["limits"]["cpu"] == "2"
        assert node.container()["allocatedResources"]["cpu"] == "2"
        assert conditions(node)["PodResizePending"]["reason"] == "Deferred"
    assert done == before


async def test_a_pods_group_goes_with_it(node: Bench, groups: Groups) -> None:
    await begun(node, pod(asking("1")))
    node.delete(grace=1)
    await node.until(lambda: UID in groups.removed)
