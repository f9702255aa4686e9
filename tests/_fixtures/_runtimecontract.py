"""What the kubelet relies on in every runtime."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from hyperkube_kubelet.runtime.errors import InvalidImageName, NotFound, NotRunning
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.values import (
    ContainerConfig,
    ContainerState,
    EventKind,
    SandboxConfig,
    SandboxState,
)

POD = SandboxConfig(name="web-0", namespace="shop", uid="0b5e", labels={"app": "web"}, annotations={"a": "b"})
WEB = ContainerConfig(
    name="web",
    image="hk.local/host",
    command=("sleep", "1000"),
    labels={"l": "1"},
    annotations={"x": "y"},
    log_path="web/0.log",
)


async def run(runtime: Runtime, pod: SandboxConfig = POD, config: ContainerConfig = WEB) -> str:
    """A container that runs, by its id."""
    container = await runtime.create_container(await runtime.run_sandbox(pod), config)
    await runtime.start_container(container)
    return container


class RuntimeContract:
    """Every runtime passes all of it, given a fixture `runtime`."""

    async def test_it_is_ready(self, runtime: Runtime) -> None:
        status = await runtime.status()
        assert status.ready
        assert status.network_ready
        assert status.name

    async def test_a_sandbox_is_ready_once_it_is_made_and_keeps_what_it_was_made_of(self, runtime: Runtime) -> None:
        sandbox = await runtime.sandbox(await runtime.run_sandbox(POD))
        assert sandbox.state is SandboxState.READY
        assert len(sandbox.ips) == 1
        assert (sandbox.config.uid, sandbox.config.namespace, sandbox.config.labels, sandbox.config.annotations) == (
            POD.uid,
            POD.namespace,
            POD.labels,
            POD.annotations,
        )

    async def test_a_sandbox_that_is_made_twice_is_one(self, runtime: Runtime) -> None:
        first = await runtime.run_sandbox(POD)
        assert await runtime.run_sandbox(POD) == first
        assert await runtime.run_sandbox(replace(POD, attempt=1)) != first

    async def test_two_sandboxes_have_two_addresses(self, runtime: Runtime) -> None:
        made = [await runtime.run_sandbox(replace(POD, uid=uid)) for uid in ("1", "2")]
        assert len({(await runtime.sandbox(sandbox)).ips for sandbox in made}) == 2

    async def test_a_pod_in_the_nodes_network_has_no_address_of_its_own(self, runtime: Runtime) -> None:
        sandbox = await runtime.sandbox(await runtime.run_sandbox(replace(POD, host_network=True)))
        assert sandbox.ips == ()

    async def test_a_container_goes_through_its_states(self, runtime: Runtime) -> None:
        sandbox = await runtime.run_sandbox(POD)
        container = await runtime.create_container(sandbox, WEB)
        created = await runtime.container(container)
        assert (created.state, created.sandbox_id, created.config.labels) == (
            ContainerState.CREATED,
            sandbox,
            WEB.labels,
        )
        await runtime.start_container(container)
        running = await runtime.container(container)
        assert running.state is ContainerState.RUNNING
        assert running.started_at >= created.created_at > 0
        await runtime.stop_container(container, 0)
        exited = await runtime.container(container)
        assert exited.state is ContainerState.EXITED
        assert exited.exit_code != 0
        assert exited.finished_at >= exited.started_at

    async def test_lists_begin_with_the_newest(self, runtime: Runtime) -> None:
        sandbox = await runtime.run_sandbox(POD)
        made = [await runtime.create_container(sandbox, replace(WEB, attempt=attempt)) for attempt in range(3)]
        assert [container.id for container in await runtime.containers()] == made[::-1]
        other = await runtime.run_sandbox(replace(POD, uid="other"))
        assert [found.id for found in await runtime.sandboxes()] == [other, sandbox]
        assert await runtime.containers(sandbox_id=other) == []
        assert [container.id for container in await runtime.containers(sandbox_id=sandbox)] == made[::-1]

    async def test_stopping_a_sandbox_ends_its_containers(self, runtime: Runtime) -> None:
        container = await run(runtime)
        sandbox = (await runtime.container(container)).sandbox_id
        await runtime.stop_sandbox(sandbox)
        await runtime.stop_sandbox(sandbox)
        assert (await runtime.container(container)).state is ContainerState.EXITED
        assert (await runtime.sandbox(sandbox)).state is SandboxState.NOT_READY

    async def test_removing_a_sandbox_forgets_all_of_it(self, runtime: Runtime) -> None:
        await run(runtime)
        sandbox = (await runtime.sandboxes())[0].id
        await runtime.remove_sandbox(sandbox)
        await runtime.remove_sandbox(sandbox)
        assert await runtime.sandboxes() == []
        assert await runtime.containers() == []
        with pytest.raises(NotFound):
            await runtime.sandbox(sandbox)

    async def test_a_container_that_runs_can_be_removed(self, runtime: Runtime) -> None:
        container = await run(runtime)
        await runtime.remove_container(container)
        await runtime.remove_container(container)
        with pytest.raises(NotFound):
            await runtime.container(container)

    async def test_what_is_gone_is_stopped_already(self, runtime: Runtime) -> None:
        await runtime.stop_container("nothing", 1)
        await runtime.stop_sandbox("nothing")

    async def test_what_is_not_there_can_not_be_used(self, runtime: Runtime) -> None:
        with pytest.raises(NotFound):
            await runtime.create_container("nothing", WEB)
        with pytest.raises(NotFound):
            await runtime.start_container("nothing")
        with pytest.raises(NotFound):
            await runtime.exec_sync("nothing", ["true"])

    async def test_a_command_needs_a_container_that_runs(self, runtime: Runtime) -> None:
        container = await runtime.create_container(await runtime.run_sandbox(POD), WEB)
        with pytest.raises(NotRunning):
            await runtime.exec_sync(container, ["true"])

    async def test_events_tell_of_all_that_happens_to_a_container(self, runtime: Runtime) -> None:
        heard: list[tuple[EventKind, str]] = []

        async def listen() -> None:
            async for event in runtime.events():
                if event.container_id:
                    heard.append((event.kind, event.container_id))
                if event.kind is EventKind.DELETED:
                    return

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0)
        container = await run(runtime)
        await runtime.stop_container(container, 0)
        await runtime.remove_container(container)
        await asyncio.wait_for(listening, 10)
        kinds = (EventKind.CREATED, EventKind.STARTED, EventKind.STOPPED, EventKind.DELETED)
        assert heard == [(kind, container) for kind in kinds]

    async def test_the_machine_itself_is_an_image(self, runtime: Runtime) -> None:
        image = await runtime.image("hk.local/host")
        assert image is not None
        assert await runtime.pull_image("hk.local/host") == image.id
        assert image.id in [found.id for found in await runtime.images()]

    async def test_a_name_that_is_none_is_refused(self, runtime: Runtime) -> None:
        with pytest.raises(InvalidImageName):
            await runtime.pull_image("No Name!")
