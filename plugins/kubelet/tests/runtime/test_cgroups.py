"""Control groups: where they are, and what is written there."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from _runtimecontract import POD, WEB, run

from hyperkube_kubelet.cgroups.errors import CgroupFailure
from hyperkube_kubelet.cgroups.groups import Groups
from hyperkube_kubelet.cgroups.hierarchies import find_hierarchies
from hyperkube_kubelet.cgroups.settings import Settings
from hyperkube_kubelet.runtime.errors import RuntimeFailure, Unsupported
from hyperkube_kubelet.runtime.process.reaper.cgroups import hierarchies, settings_of
from hyperkube_kubelet.runtime.process.runtime import ProcessRuntime
from hyperkube_kubelet.runtime.values import ContainerState, Limits
from hyperkube_machinery.testing.waiting import until

from .nodes import Node

pytestmark = pytest.mark.anyio

NONE = {"memory_bytes": None, "cpu_shares": None, "cpu_quota": None, "cpu_period": 100_000}


def written(version: int, controller: str, **limits: Any) -> dict[str, str]:
    return {name: value for name, value, _ in settings_of(version, controller, {**NONE, **limits})}


def test_memory() -> None:
    assert written(2, "memory", memory_bytes=100) == {
        "memory.max": "100",
        "memory.swap.max": "0",
        "memory.oom.group": "1",
    }
    assert written(2, "memory")["memory.max"] == "max"
    assert written(1, "memory", memory_bytes=100) == {
        "memory.limit_in_bytes": "100",
        "memory.memsw.limit_in_bytes": "100",
    }
    assert written(1, "memory")["memory.limit_in_bytes"] == "-1"


@pytest.mark.parametrize(("shares", "weight"), [(None, "100"), (2, "1"), (1024, "39"), (262144, "10000")])
def test_shares_are_weights_in_version_2(shares: int | None, weight: str) -> None:
    assert written(2, "cpu", cpu_shares=shares)["cpu.weight"] == weight


def test_processor_time() -> None:
    assert written(2, "cpu", cpu_quota=20_000)["cpu.max"] == "20000 100000"
    assert written(2, "cpu")["cpu.max"] == "max 100000"
    assert written(2, "cpu", cpu_quota=-1)["cpu.max"] == "max 100000"
    assert written(1, "cpu", cpu_quota=20_000, cpu_shares=512) == {
        "cpu.shares": "512",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "20000",
    }
    assert written(1, "cpu")["cpu.cfs_quota_us"] == "-1"


def test_only_limits_that_were_asked_for_must_be_written() -> None:
    def needed(version: int, controller: str, **limits: Any) -> list[str]:
        return [name for name, _, must in settings_of(version, controller, {**NONE, **limits}) if must]

    assert needed(1, "memory") == needed(2, "cpu", cpu_shares=2) == []
    assert needed(2, "memory", memory_bytes=1) == ["memory.max"]
    assert needed(2, "cpu", cpu_quota=1) == ["cpu.max"]


MOUNTS = """\
30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 /docker/c1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
34 30 0:30 /elsewhere /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
"""
OWN = "5:pids:/mine\n4:memory:/docker/c1/deep\n3:cpu,cpuacct:/a/b\n0::/user.slice/x.scope\n"


def test_where_this_processes_groups_are() -> None:
    found = hierarchies(MOUNTS, OWN)
    assert found["cpu"] == ("/sys/fs/cgroup/cpu,cpuacct", "a/b")
    assert found["memory"] == ("/sys/fs/cgroup/memory", "deep")
    assert found[""] == ("/sys/fs/cgroup/unified", "user.slice/x.scope")
    assert "pids" not in found, "another part of the hierarchy is mounted there"


# With groups that this machine lets us have


@pytest.fixture
async def limited(process: ProcessRuntime) -> ProcessRuntime:
    if set(process.node.limits) != {"cpu", "memory"}:
        with pytest.raises(Unsupported):
            await process.update_limits(await run(process), WEB)
        pytest.skip(f"no control groups may be had: {process.node.why}")
    return process


def groups() -> list[Path]:
    return [path for path in Path("/sys/fs/cgroup").glob("*/**/hk-*/*") if path.is_dir() and len(path.name) == 64]


EATER = "import time; x = bytearray(200 << 20); time.sleep(1000)"


async def test_who_takes_too_much_memory_is_killed(limited: ProcessRuntime) -> None:
    config = replace(WEB, command=("python3", "-c", EATER), limits=Limits(memory_bytes=30 << 20))
    container = await run(limited, config=config)
    async with asyncio.timeout(20):
        while True:
            found = await limited.container(container)
            if found.state is ContainerState.EXITED:
                break
            await asyncio.sleep(0.02)
    assert (found.reason, found.exit_code) == ("OOMKilled", 137)


async def test_processor_time_is_limited_until_the_limit_is_changed(limited: ProcessRuntime) -> None:
    config = replace(WEB, command=("sh", "-c", "while :; do :; done"), limits=Limits(cpu_quota=2_000))
    container = await run(limited, config=config)
    groups_of = await limited.exec_sync(container, ["sh", "-c", "cat /proc/self/cgroup"])
    assert groups_of.stdout.count(f"/{container}".encode()) >= 1, "commands are held to it, too"
    await asyncio.sleep(0.5)
    [slow] = await limited.stats()
    assert slow.cpu_nanoseconds < 100_000_000
    changed = replace(config, limits=Limits(cpu_quota=200_000))
    await limited.update_limits(container, changed)
    assert (await limited.container(container)).config.limits == changed.limits
    async with asyncio.timeout(20):
        while (await limited.stats())[0].cpu_nanoseconds < 150_000_000:  # noqa: ASYNC110 - it only grows
            await asyncio.sleep(0.02)


async def until_ready(runtime: ProcessRuntime, container: str, test: str) -> None:
    async with asyncio.timeout(10):
        while True:
            if not (await runtime.exec_sync(container, ["sh", "-c", test])).exit_code:
                return


async def test_one_without_limits_may_get_some(limited: ProcessRuntime) -> None:
    config = replace(WEB, command=("sh", "-c", "sleep 1000 & wait"))
    container = await run(limited, config=config)
    await until_ready(limited, container, "grep -q sleep /proc/[0-9]*/comm")
    assert container not in [path.name for path in groups()]
    await limited.update_limits(container, replace(config, limits=Limits(memory_bytes=1 << 30)))
    if limited.node.isolated:  # else these are other processes
        script = f"for process in /proc/[0-9]*; do grep -q /{container} $process/cgroup || cat $process/comm; done"
        done = await limited.exec_sync(container, ["sh", "-c", script])
        assert done.stdout == b"", "who is in no group"
    assert container in [path.name for path in groups()]


async def test_groups_go_with_their_containers(limited: ProcessRuntime) -> None:
    container = await run(limited, replace(POD, uid="1"), replace(WEB, limits=Limits(memory_bytes=1 << 30)))
    assert [path.name for path in groups()].count(container) >= 1
    await limited.remove_container(container)
    await until(lambda: container not in [path.name for path in groups()])


async def test_the_next_reaper_removes_groups_that_a_killed_one_left(node: Node, limited: ProcessRuntime) -> None:
    container = await run(limited, replace(POD, uid="1"), replace(WEB, limits=Limits(memory_bytes=1 << 30)))
    killed = node.reaper()
    os.kill(killed, signal.SIGKILL)
    async with asyncio.timeout(10):
        while True:
            with suppress(RuntimeFailure):
                await limited.run_sandbox(replace(POD, uid="2"))
                break
            await asyncio.sleep(0.02)
    assert node.reaper() != killed
    await until(lambda: container not in [path.name for path in groups()])


@pytest.fixture
def pod_group(limited: ProcessRuntime) -> Iterator[tuple[str, Groups]]:
    """A group such as the kubelet makes for a pod."""
    groups = Groups(find_hierarchies())
    top = (f"hk-test-{os.getpid()}",)
    try:
        groups.create((*top, "kubepods", "pod1"), Settings(memory_bytes=30 << 20, pids=50))
    except CgroupFailure as exc:
        pytest.skip(f"whoever runs the tests may make no groups of pods: {exc}")
    yield groups.path((*top, "kubepods", "pod1")), groups
    while not groups.remove(top):
        groups.kill(top)


async def test_containers_are_in_the_group_of_their_pod(limited: ProcessRuntime, pod_group: tuple[str, Groups]) -> None:
    parent, groups = pod_group
    pod = replace(POD, uid="of-group", cgroup_parent=parent)
    config = replace(WEB, command=("python3", "-c", EATER))
    container = await run(limited, pod, config)
    async with asyncio.timeout(20):
        while True:
            found = await limited.container(container)
            if found.state is ContainerState.EXITED:
                break
            await asyncio.sleep(0.02)
    assert found.exit_code == 137, "its pod's limit holds it, though it has none of its own"
    await limited.remove_container(container)
    name = tuple(parent.strip("/").split("/"))
    await until(lambda: groups.below(name) == set())
