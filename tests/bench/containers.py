"""How soon pods run on a containerd, and what a kubelet takes that looks after them.

    python -m tests.bench.containers [--kubelet PROGRAM]

As root, on Linux: a containerd of the bench's own, hk's API server, controller manager and scheduler, and hk's kubelet;
then, with `--kubelet`, Kubernetes' own in its place, in the same run. The image is there. Seconds are from the request
that creates the first pod to the event that shows the last one running.
"""

from __future__ import annotations

import argparse
import asyncio
import compileall
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "_fixtures"))

import _tools
from _containerd import BUSYBOX, Containerd, containerd_running, missing
from _nodes import NODE, RealNode, real_cluster
from _watching import is_ready

from hyperkube_machinery.builtin import PODS
from hyperkube_machinery.client import Client
from tests.bench.cluster import Figure
from tests.bench.figures import report

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_SECONDS = 180
_IDLE_PODS = 50
_SETTLED_SECONDS = 5.0
_IDLE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Found:
    """What one kubelet took."""

    one: float  # seconds until a pod ran, with none beside it
    twenty: float
    many: float  # 110, which is as many as a node takes
    processor: float  # of one core, in percent, with 50 pods that nothing happens to
    memory: float  # megabytes of the kubelet's own then (PSS)


def main() -> int:
    """Measure; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubelet", type=Path, metavar="PROGRAM", help="Kubernetes' own, to compare with")
    peer = parser.parse_args().kubelet
    if why := missing():
        parser.error(why)
    for source in (_ROOT / "hyperkube_core", *(_ROOT / "plugins").glob("*/src")):
        compileall.compile_dir(source, quiet=1)
    with (
        tempfile.TemporaryDirectory(prefix="hk-bench-", dir="/var/tmp") as name,
        containerd_running(Path(name) / "d") as containerd,
    ):
        found = asyncio.run(_measure(containerd, _made(Path(name) / "hk"), _own))
        theirs = asyncio.run(_measure(containerd, _made(Path(name) / "peer"), _peer(peer))) if peer else None
    for line in _compared(found, theirs):
        print(line)
    return report(
        [
            Figure("a pod running after its creation", found.one, 0.7, "s"),
            Figure("20 pods running", found.twenty, 4.0, "s"),
            Figure("110 pods running", found.many, 20.0, "s"),
            Figure(f"kubelet's processor, {_IDLE_PODS} pods, idle", found.processor, 3.0, "%"),
            Figure(f"kubelet's memory, {_IDLE_PODS} pods", found.memory, 90.0, "MB"),
        ]
    )


def _compared(found: Found, theirs: Found | None) -> list[str]:
    if theirs is None:
        return []
    rows = []
    for name in Found.__slots__:
        ours, other = getattr(found, name), getattr(theirs, name)
        rows.append(f"{name:<12} {ours:8.2f}   Kubernetes' own {other:8.2f}   {other / ours:5.1f} x")
    return rows


Start = Callable[[RealNode, AsyncExitStack], Awaitable[int]]
"""Starts a kubelet for a node and returns its pid."""


async def _own(node: RealNode, stack: AsyncExitStack) -> int:
    return (await node.start_kubelet()).pid


def _peer(program: Path) -> Start:
    async def start(node: RealNode, stack: AsyncExitStack) -> int:
        node.folder.mkdir(parents=True, exist_ok=True)
        config = node.folder / "config.json"
        config.write_text(json.dumps(_peer_configuration(node)))
        identity = node.cluster.identity(f"system:node:{NODE}", "system:nodes")
        log = (node.folder / "kubelet.log").open("wb")
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config={config}",
            f"--kubeconfig={identity}",
            f"--hostname-override={NODE}",
            f"--root-dir={node.folder}",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

        async def end() -> None:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            log.close()
            _unmount(node.folder)

        stack.push_async_callback(end)
        return process.pid

    return start


def _peer_configuration(node: RealNode) -> dict[str, Any]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent; it takes no loopback address for a node's
        address = probe.getsockname()[0]
    with socket.socket() as free:
        free.bind((address, 0))
        port = free.getsockname()[1]
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": node.containerd.endpoint,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": node.containerd.groups.path,
        "failSwapOn": False,
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "makeIPTablesUtilChains": False,
        "address": address,
        "port": port,
        "healthzPort": 0,
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}},
        "authorization": {"mode": "Webhook"},
        "evictionHard": dict.fromkeys(("memory.available", "nodefs.available", "imagefs.available"), "0%"),
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": str(node.folder / "logs"),
    }


def _unmount(folder: Path) -> None:
    """What a kubelet leaves mounted when it ends: its own folder, for one."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in reversed([point for point in points if Path(point).is_relative_to(folder)]):
        subprocess.run(["umount", "--lazy", point], check=True)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def _measure(containerd: Containerd, folder: Path, start: Start) -> Found:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(real_cluster(folder, lambda: _tools.kubectl()[0]))
        node = RealNode(cluster, containerd, folder / "kubelet")
        pid = await start(node, stack)
        await node.node(is_ready)
        client = cluster.client
        one = [await _emptied(client, await _until_running(client, 1)) for _ in range(5)]
        twenty = await _emptied(client, await _until_running(client, 20))
        many = await _emptied(client, await _until_running(client, 110))
        await _until_running(client, _IDLE_PODS)
        await asyncio.sleep(_SETTLED_SECONDS)
        before = _processor_seconds(pid)
        began = time.perf_counter()
        await asyncio.sleep(_IDLE_SECONDS)
        processor = (_processor_seconds(pid) - before) / (time.perf_counter() - began) * 100
        memory = _memory(pid)
        await _emptied(client, 0)
        await node.emptied()
        return Found(median(one), twenty, many, processor, memory)


async def _until_running(client: Client, count: int) -> float:
    """Create pods; the seconds until all ran."""
    listed = await client.list(PODS, "default")
    names = {f"p-{number}" for number in range(count)}
    watch = client.watch(PODS, "default", resource_version=listed.resource_version)
    began = time.perf_counter()
    async with asyncio.timeout(_PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(client.create(PODS, _pod(name), "default"))
        running: set[str] = set()
        async for event in watch:
            if event.object.get("status", {}).get("phase") == "Running":
                running.add(event.object["metadata"]["name"])
                if running == names:
                    break
    return time.perf_counter() - began


async def _emptied(client: Client, took: float) -> float:
    """`took`, once no pod is left."""
    listed = await client.list(PODS, "default")
    left = {pod["metadata"]["name"] for pod in listed.items}
    watch = client.watch(PODS, "default", resource_version=listed.resource_version)
    await client.delete_collection(PODS, "default")
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while left:
            event = await anext(watch)
            if event.type == "DELETED":
                left.discard(event.object["metadata"]["name"])
    return took


def _pod(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 2, "containers": [{"name": "main", "image": BUSYBOX}]},
    }


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


if __name__ == "__main__":
    sys.exit(main())
