"""The figures of a node at work, and how they are asked for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from hyperkube_kubelet.api.figures import FiguresAPI
from hyperkube_kubelet.node.machine import examine
from hyperkube_kubelet.runtime.errors import RuntimeUnavailable
from hyperkube_kubelet.runtime.values import ContainerStats
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.testing.clock import VirtualClock

from ..builders import pod
from ..pods.harness import Bench, ScriptedRuntime, bench

pytestmark = pytest.mark.anyio


class MeasuredRuntime(ScriptedRuntime):
    """Counts how often it was asked."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.asked = 0

    async def stats(self) -> list[ContainerStats]:
        self.asked += 1
        self._may("stats")
        return await super().stats()


@pytest.fixture
async def runtime() -> AsyncIterator[MeasuredRuntime]:
    runtime = MeasuredRuntime(VirtualClock())
    yield runtime
    await runtime.close()


@pytest.fixture
async def node(tmp_path: Path, runtime: MeasuredRuntime) -> AsyncIterator[Bench]:
    async with bench(tmp_path, runtime.clock, runtime) as node:
        node.put(pod(volumes=[{"name": "data", "emptyDir": {}}]))
        await node.until(lambda: node.ready)
        yield node


def request(path: str) -> Request:
    return Request("GET", path, "", {}, b"", cast(Any, None))


async def answered(api: FiguresAPI, path: str) -> bytes:
    answer = await api(request(path))
    assert isinstance(answer, Response)
    assert isinstance(answer.body, bytes)
    return answer.body


async def test_pods_that_run_are_measured(node: Bench) -> None:
    found = await node.keeping.provider.figures()
    (one,) = found.pods
    assert (one.name, [container.name for container in one.containers]) == ("web", ["main"])
    assert one.ephemeral is None  # its disk wasn't looked at yet
    await node.keeping.provider.measure_disks()
    (one,) = (await node.keeping.provider.figures(0.0)).pods
    assert one.ephemeral is not None
    assert [volume.name for volume in one.volumes] == ["data"]


async def test_a_pod_that_is_gone_is_forgotten(node: Bench) -> None:
    await node.keeping.provider.measure_disks()
    node.delete(grace=1)
    node.drop()
    await node.pass_time(5)
    assert (await node.keeping.provider.figures(0.0)).pods == ()


async def test_figures_are_kept_for_who_asks_next(node: Bench, runtime: MeasuredRuntime) -> None:
    provider = node.keeping.provider
    first = await provider.figures()
    assert await provider.figures() is first
    await node.clock.advance(9.0)
    assert await provider.figures() is first
    assert await provider.figures(5.0) is not first
    await node.clock.advance(11.0)
    await provider.figures()
    assert runtime.asked == 3


async def test_a_runtime_that_does_not_answer_is_told_of(node: Bench, runtime: MeasuredRuntime, tmp_path: Path) -> None:
    api = FiguresAPI(node.keeping.provider, examine(tmp_path), "", node.counts)
    runtime.failures["stats"] = RuntimeUnavailable("nobody listens")
    with pytest.raises(APIError, match="Internal Error: nobody listens") as failed:
        await api(request("/stats/summary"))
    assert failed.value.code == 500
    resource = await answered(api, "/metrics/resource")
    assert resource.decode().splitlines()[-1] == "resource_scrape_error 1"
    runtime.failures.clear()
    assert json.loads(await answered(api, "/stats/summary"))["pods"][0]["podRef"]["name"] == "web"


@pytest.mark.parametrize("path", ["/stats", "/stats/container", "/metrics", "/metrics/other", "/pods"])
async def test_other_paths_are_others(node: Bench, tmp_path: Path, path: str) -> None:
    api = FiguresAPI(node.keeping.provider, examine(tmp_path), "", node.counts)
    assert await api(request(path)) is None
