"""Pods end before their node runs out, on real containers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import _tools
import pytest
from _clusters import eventually
from _containerd import BUSYBOX, PAUSE, Containerd
from _kubeletapi import OPEN, of, samples, summary, told
from _nodes import RealNode, real_node

from hyperkube_machinery.builtin import EVENTS

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]
MI = 1 << 20
QUICK = ("--volume-stats-agg-period=500ms", "--eviction-pressure-transition-period=1s")
HOLDS = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"


def container(script: str = HOLDS, **fields: Any) -> Tree:
    return {"name": "main", "image": BUSYBOX, "command": ["sh", "-c", script], **fields}


def filling(size: int, where: str = "/data/file") -> str:
    return f"head -c {size} /dev/zero > {where}; {HOLDS}"


DATA: Tree = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB of the test's own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=755", "hk-test", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@asynccontextmanager
async def node_on(containerd: Containerd, folder: Path, *flags: str) -> AsyncIterator[RealNode]:
    async with real_node(containerd, folder, lambda: _tools.kubectl()[0], *OPEN, *QUICK, *flags) as node:
        yield node


def is_evicted(found: Tree) -> bool:
    return (found["status"].get("phase"), found["status"].get("reason")) == ("Failed", "Evicted")


async def condition(node: RealNode, kind: str, status: str) -> None:
    def holds(found: Tree) -> bool:
        conditions = {one["type"]: one["status"] for one in found["status"]["conditions"]}
        return conditions.get(kind) == status

    await node.node(holds)


# The larger is more than there is: then the kubelet can't write either.
@pytest.mark.parametrize("size", [50 * MI, 100 * MI])
async def test_a_full_disk_ends_who_fills_it_and_then_the_node_is_well_again(
    containerd: Containerd, tmp_path: Path, disk: Path, size: int
) -> None:
    flags = (f"--root-dir={disk}", "--eviction-hard=nodefs.available<20Mi", "--image-gc-high-threshold=100")
    async with node_on(containerd, tmp_path, *flags) as node:
        volumes = [{"name": "data", "emptyDir": {}}]
        await node.create("modest", {"containers": [container(filling(MI), **DATA)], "volumes": volumes})
        await node.running("modest")
        await node.create("greedy", {"containers": [container(filling(size), **DATA)], "volumes": volumes})
        found = await node.pod("greedy", is_evicted)
        message = found["status"]["message"]
        assert message.startswith(
            "The node was low on resource: ephemeral-storage. Threshold quantity: 20Mi, available: "
        )
        (ended,) = [one for one in found["status"]["conditions"] if one["type"] == "DisruptionTarget"]
        assert (ended["status"], ended["reason"], ended["message"]) == ("True", "TerminationByKubelet", message)
        await condition(node, "DiskPressure", "False")
        assert (await node.pod("modest"))["status"]["phase"] == "Running"
        metrics = await told(await node.node(), "/metrics")
        assert of(samples(metrics, "kubelet_evictions"), eviction_signal="nodefs.available") == 1

        async def heard() -> bool:
            reasons = {event["reason"] for event in (await node.client.list(EVENTS, "default")).items}
            return {"Evicted", "EvictionThresholdMet", "NodeHasDiskPressure", "NodeHasNoDiskPressure"} <= reasons

        await eventually(heard)


async def test_limits_of_the_disk_are_held_to_each(containerd: Containerd, tmp_path: Path) -> None:
    async with node_on(containerd, tmp_path, "--eviction-hard=") as node:
        limited = {"resources": {"limits": {"ephemeral-storage": "2Mi"}}}
        sized = [{"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}]
        await node.create("volume", {"containers": [container(filling(3 * MI), **DATA)], "volumes": sized})
        await node.create("layer", {"containers": [container(filling(4 * MI, "/file"), **limited)]})
        await node.create("within", {"containers": [container(filling(1 * MI, "/file"), **limited)]})
        volume = await node.pod("volume", is_evicted)
        assert volume["status"]["message"] == 'Usage of EmptyDir volume "data" exceeds the limit "1Mi". '
        layer = await node.pod("layer", is_evicted)
        assert (
            layer["status"]["message"]
            == "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "
        )
        await node.running("within")


async def test_memory_that_gets_scarce_ends_who_uses_most(containerd: Containerd, tmp_path: Path) -> None:
    async with node_on(containerd, tmp_path, "--eviction-hard=") as node:
        hoards = f"x=$(head -c {48 * MI} /dev/zero | tr '\\0' a); {HOLDS}"
        await node.create("modest", {"containers": [container(resources={"requests": {"memory": "16Mi"}})]})
        await node.create("hoarder", {"containers": [container(hoards)]})
        await node.running("modest")
        await node.running("hoarder")

        async def grown() -> Tree | None:
            found = await summary(await node.node())
            used = {one["podRef"]["name"]: one["memory"]["workingSetBytes"] for one in found["pods"]}
            return found if used.get("hoarder", 0) >= 48 * MI else None

        memory = (await eventually(grown))["node"]["memory"]
        await node.kubelet.stop()
        least = memory["availableBytes"] + memory["workingSetBytes"] // 2  # it doesn't get better, whoever goes
        await node.start_kubelet(f"--eviction-hard=memory.available<{least}")
        found = await node.pod("hoarder", is_evicted)
        assert "Container main was using" in found["status"]["message"]
        assert json.dumps(found["status"]["containerStatuses"][0]["state"]).count("exitCode") == 1
        await condition(node, "MemoryPressure", "True")
        await node.create("late")
        late = await node.pod("late", is_evicted)
        assert late["status"]["message"] == "Pod was rejected: The node had condition: [MemoryPressure]. "


async def test_images_that_nobody_uses_make_room(containerd: Containerd, tmp_path: Path) -> None:
    containerd.load("hk.test/idle:1", command=("sh", "-c", "exit 7"))  # else it is the same as the others
    # Less than what is used of the disk, whatever that is.
    flags = ("--image-gc-high-threshold=1", "--image-gc-low-threshold=0", "--minimum-image-ttl-duration=0s")
    async with node_on(containerd, tmp_path, "--eviction-hard=", *flags) as node:

        def only_used(found: Tree) -> bool:
            names = {name for image in found["status"].get("images") or () for name in image["names"] or ()}
            return "hk.test/idle:1" not in names

        await node.node(only_used)
        left = containerd.ctr("images", "list", "--quiet")
        assert "hk.test/idle:1" not in left
        assert PAUSE in left  # without it there are no more pods
        events = (await node.client.list(EVENTS, "default")).items
        assert any(event["reason"] == "FreeDiskSpaceFailed" for event in events)
    containerd.load(BUSYBOX)  # which nobody used either
