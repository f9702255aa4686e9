"""A runtime in which nothing runs, and pods fare by rule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from hyperkube_kubelet.runtime.errors import CreateFailed, NotRunning
from hyperkube_kubelet.runtime.hollow import HollowRuntime
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.values import (
    CONTAINER_KIND,
    ContainerConfig,
    ContainerState,
    EventKind,
    SandboxConfig,
    SandboxState,
)
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

POD = SandboxConfig(name="p", namespace="ns", uid="u")
WEB = ContainerConfig(name="web", image="web:1")
JOB = replace(POD, labels={"batch.kubernetes.io/job-name": "j"})
RUNS_3 = replace(POD, annotations={"hollow.hyperkube.io/run-seconds": "3", "hollow.hyperkube.io/exit-code.web": "7"})
INIT = replace(WEB, annotations={CONTAINER_KIND: "init"})


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def runtime(clock: VirtualClock) -> AsyncIterator[HollowRuntime]:
    runtime = HollowRuntime(clock, pod_cidr="10.9.0.0/29")
    yield runtime
    await runtime.close()


async def run(runtime: Runtime, pod: SandboxConfig = POD, config: ContainerConfig = WEB) -> str:
    container = await runtime.create_container(await runtime.run_sandbox(pod), config)
    await runtime.start_container(container)
    return container


async def test_a_container_runs_until_it_is_stopped(runtime: HollowRuntime, clock: VirtualClock) -> None:
    container = await run(runtime)
    await clock.advance(1e6)
    assert (await runtime.container(container)).state is ContainerState.RUNNING
    await runtime.stop_container(container, 30)
    ended = await runtime.container(container)
    assert (ended.state, ended.exit_code, ended.reason) == (ContainerState.EXITED, 143, "Error")
    with pytest.raises(NotRunning):
        await runtime.exec_sync(container, ["true"])


@pytest.mark.parametrize(
    ("pod", "config", "seconds", "code"), [(POD, INIT, 0.0, 0), (JOB, WEB, 1.0, 0), (RUNS_3, WEB, 3.0, 7)]
)
async def test_a_container_ends_by_rule(
    runtime: HollowRuntime,
    clock: VirtualClock,
    pod: SandboxConfig,
    config: ContainerConfig,
    seconds: float,
    code: int,
) -> None:
    container = await run(runtime, pod, config)
    if seconds:
        await clock.advance(seconds - 0.1)
        assert (await runtime.container(container)).state is ContainerState.RUNNING
    await clock.advance(0.2)
    ended = await runtime.container(container)
    assert (ended.state, ended.exit_code) == (ContainerState.EXITED, code)


async def test_a_rule_that_is_no_number_is_told(runtime: HollowRuntime) -> None:
    wrong = replace(POD, annotations={"hollow.hyperkube.io/run-seconds": "soon"})
    with pytest.raises(CreateFailed, match="soon"):
        await run(runtime, wrong)


async def test_sandboxes_have_addresses_of_their_own_and_give_them_back(runtime: HollowRuntime) -> None:
    made = [await runtime.run_sandbox(replace(POD, uid=str(number))) for number in range(5)]
    found = [(await runtime.sandbox(each)).ips[0] for each in made]
    assert found == [f"10.9.0.{number}" for number in range(2, 7)]
    with pytest.raises(CreateFailed, match="all addresses"):
        await runtime.run_sandbox(replace(POD, uid="one more"))
    await runtime.remove_sandbox(made[2])
    again = await runtime.sandbox(await runtime.run_sandbox(replace(POD, uid="one more")))
    assert again.ips == ("10.9.0.4",)


async def test_a_sandbox_in_the_nodes_network_has_none(runtime: HollowRuntime) -> None:
    sandbox = await runtime.sandbox(await runtime.run_sandbox(replace(POD, host_network=True)))
    assert sandbox.ips == ()


async def test_a_sandbox_that_is_stopped_ends_what_runs_in_it(runtime: HollowRuntime) -> None:
    container = await run(runtime)
    (sandbox,) = await runtime.sandboxes()
    await runtime.stop_sandbox(sandbox.id)
    assert (await runtime.sandbox(sandbox.id)).state is SandboxState.NOT_READY
    assert (await runtime.container(container)).exit_code == 137
    await runtime.remove_sandbox(sandbox.id)
    assert await runtime.containers() == []
    assert await runtime.sandboxes() == []


async def test_calls_that_come_again_change_nothing(runtime: HollowRuntime) -> None:
    assert await runtime.run_sandbox(POD) == await runtime.run_sandbox(POD)
    container = await run(runtime)
    for _ in range(2):
        await runtime.stop_container(container, 0)
        await runtime.remove_container(container)
    (sandbox,) = await runtime.sandboxes()
    for _ in range(2):
        await runtime.stop_sandbox(sandbox.id)
        await runtime.remove_sandbox(sandbox.id)


async def test_what_happens_is_told(runtime: HollowRuntime) -> None:
    events = runtime.events()
    first = anext(events)  # listens from now on
    waiting = asyncio.ensure_future(first)
    await asyncio.sleep(0)
    container = await run(runtime)
    await runtime.remove_container(container)
    seen = [await waiting] + [await anext(events) for _ in range(4)]
    assert [(event.kind, bool(event.container_id)) for event in seen] == [
        (EventKind.STARTED, False),
        (EventKind.CREATED, True),
        (EventKind.STARTED, True),
        (EventKind.STOPPED, True),
        (EventKind.DELETED, True),
    ]
