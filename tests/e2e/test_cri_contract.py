"""What the kubelet relies on in every runtime, of containerd."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from _clusters import eventually
from _containerd import BUSYBOX, Containerd
from _runtimecontract import POD, WEB, RuntimeContract, run

from hyperkube_kubelet.images.references import with_tag
from hyperkube_kubelet.runtime.cri.runtime import CRIRuntime, Settings, cri_runtime
from hyperkube_kubelet.runtime.errors import (
    ExecFailed,
    ExecTimeout,
    ImageUnavailable,
    NotFound,
    StartFailed,
)
from hyperkube_kubelet.runtime.values import ContainerState, Limits, SandboxState
from hyperkube_machinery.clock import SystemClock

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def loaded(containerd: Containerd) -> Iterator[Containerd]:
    name = "hk.local/host:latest"
    containerd.load(name)
    yield containerd
    containerd.ctr("images", "rm", "--sync", name)  # one image may have many names, and statuses tell any of them


@pytest.fixture
async def runtime(loaded: Containerd) -> AsyncIterator[CRIRuntime]:
    """A kubelet's connection to the runtime, on which nothing is left behind it."""
    async with cri_runtime(Settings(socket=loaded.socket), with_tag, SystemClock()) as runtime:
        yield runtime
        for sandbox in await runtime.sandboxes():
            await runtime.remove_sandbox(sandbox.id)
        assert loaded.containers() == []


class TestContainerd(RuntimeContract):
    async def test_the_machine_itself_is_an_image(self, runtime: CRIRuntime) -> None:  # type: ignore[override]
        image = await runtime.image("hk.local/host")
        assert image is not None
        assert "hk.local/host:latest" in image.tags
        assert image.id in [found.id for found in await runtime.images()]
        with pytest.raises(ImageUnavailable):
            await runtime.pull_image("127.0.0.1:1/nothing")


async def test_a_runtime_says_what_it_is(runtime: CRIRuntime) -> None:
    status = await runtime.status()
    assert (status.name, status.ready, status.network_ready) == ("containerd", True, True)
    assert status.version[0].isdigit()
    assert {condition.type for condition in status.conditions} >= {"RuntimeReady", "NetworkReady"}


async def test_a_container_ends_as_its_program_does(runtime: CRIRuntime, tmp_path: Path) -> None:
    pod = replace(POD, log_directory=tmp_path / "logs")
    config = replace(WEB, command=("sh", "-c", "echo out; echo err >&2; sleep 0.1; exit 7"))
    sandbox = await runtime.run_sandbox(pod)
    container = await runtime.create_container(sandbox, config, pod=pod)
    events = runtime.events()
    await runtime.start_container(container)
    async for event in events:
        if event.container_id == container and (await runtime.container(container)).state is ContainerState.EXITED:
            break
    await events.aclose()  # type: ignore[attr-defined]
    ended = await runtime.container(container)
    assert (ended.exit_code, ended.reason) == (7, "Error")
    assert ended.finished_at >= ended.started_at > 0
    assert ended.log_path == tmp_path / "logs" / "web" / "0.log"
    wanted = ["stderr F err", "stdout F out"]
    log = ended.log_path
    # It may end before all that it wrote has been written down.
    await eventually(lambda: sorted(line.split(" ", 1)[1] for line in log.read_text().splitlines()) == wanted)


async def test_another_kubelet_finds_all_that_runs(runtime: CRIRuntime, loaded: Containerd) -> None:
    container = await run(runtime)
    async with cri_runtime(Settings(socket=loaded.socket), with_tag, SystemClock()) as other:
        (sandbox,) = await other.sandboxes()
        (found,) = await other.containers(sandbox_id=sandbox.id)
        assert (found.id, found.state) == (container, ContainerState.RUNNING)
        assert (found.config.name, found.config.labels, found.config.annotations) == (
            WEB.name,
            WEB.labels,
            WEB.annotations,
        )
        assert (sandbox.config.uid, sandbox.config.attempt) == (POD.uid, POD.attempt)
        await other.stop_container(container, 0)
        assert (await other.container(container)).state is ContainerState.EXITED


async def test_what_a_broken_off_call_has_left_is_taken_over(runtime: CRIRuntime, loaded: Containerd) -> None:
    sandbox = await runtime.run_sandbox(POD)
    container = await runtime.create_container(sandbox, WEB)
    async with cri_runtime(Settings(socket=loaded.socket), with_tag, SystemClock()) as other:
        assert await other.run_sandbox(POD) == sandbox
        anew = await other.create_container(sandbox, WEB, pod=POD)
        assert [found.id for found in await other.containers(sandbox_id=sandbox)] == [anew]
    assert anew != container


async def test_commands_say_how_they_ended(runtime: CRIRuntime) -> None:
    container = await run(runtime)
    done = await runtime.exec_sync(container, ["sh", "-c", "cat /etc/hostname; echo no >&2; exit 3"], 10)
    assert (done.exit_code, done.stderr) == (3, b"no\n")
    with pytest.raises(ExecTimeout):
        await runtime.exec_sync(container, ["sleep", "100"], 1)
    with pytest.raises(ExecFailed) as failed:
        await runtime.exec_sync(container, ["/nothing"], 10)
    assert failed.value.exit_code == 127


async def test_a_program_that_is_not_there_can_not_be_started(runtime: CRIRuntime) -> None:
    sandbox = await runtime.run_sandbox(POD)
    container = await runtime.create_container(sandbox, replace(WEB, command=("/nothing",)))
    with pytest.raises(StartFailed, match="no such file or directory"):
        await runtime.start_container(container)
    assert (await runtime.container(container)).reason == "StartError"


async def test_a_sandbox_that_dies_is_seen_at_once(runtime: CRIRuntime, loaded: Containerd) -> None:
    sandbox = await runtime.run_sandbox(POD)
    events = runtime.events()
    loaded.ctr("tasks", "kill", "--signal", "SIGKILL", sandbox)
    async for event in events:
        if not event.container_id and event.kind == "stopped":
            break
    await events.aclose()  # type: ignore[attr-defined]
    assert (await runtime.sandbox(sandbox)).state is SandboxState.NOT_READY


async def test_a_log_goes_on_in_a_new_file(runtime: CRIRuntime, tmp_path: Path) -> None:
    pod = replace(POD, log_directory=tmp_path / "logs")
    sandbox = await runtime.run_sandbox(pod)
    talks = replace(WEB, command=("sh", "-c", "while :; do echo x; sleep 0.01; done"))
    container = await runtime.create_container(sandbox, talks, pod=pod)
    await runtime.start_container(container)
    log = tmp_path / "logs" / "web" / "0.log"
    log.rename(log.with_suffix(".old"))
    await runtime.reopen_log(container)
    assert log.exists()


async def test_figures_are_told(runtime: CRIRuntime) -> None:
    container = await run(runtime)
    (stats,) = [stats for stats in await runtime.stats() if stats.container_id == container]
    assert stats.memory_bytes > 0
    usage = await runtime.image_usage()
    assert usage.used_bytes > 0
    assert usage.path.is_dir()


async def test_limits_are_changed_while_a_container_runs(runtime: CRIRuntime) -> None:
    container = await run(runtime, config=replace(WEB, limits=Limits(memory_bytes=1 << 26)))
    await runtime.update_limits(container, replace(WEB, limits=Limits(memory_bytes=1 << 27)))
    limit = ["sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"]
    assert (await runtime.exec_sync(container, limit, 10)).stdout.split() == [b"134217728"]


async def test_what_is_not_there_is_told_by_name(runtime: CRIRuntime) -> None:
    with pytest.raises(NotFound):
        await runtime.container("nothing")
    assert await runtime.image("hk.test/nothing") is None
    await runtime.remove_image("hk.test/nothing")
    assert await runtime.image(BUSYBOX) is not None
