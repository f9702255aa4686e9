"""Kubelets that are killed at any moment: the next one goes on, and nothing runs twice or is left over."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from _watching import is_ready

from hyperkube_machinery.builtin import PODS, SERVICE_ACCOUNTS

pytestmark = pytest.mark.anyio

NODE = "node-1"
PODS_AT_ONCE = 6
ROUNDS = 8
PATIENCE_SECONDS = 120.0
T = TypeVar("T")


def pod(name: str, folder: Path) -> dict[str, Any]:
    """One that holds a file of its name as long as it runs, so that a second run of it is noticed."""
    script = (
        f"exec 9> /shared/{name}.lock; flock -n 9 || echo {name} >> /shared/twice;"
        " trap 'exit 0' TERM; while :; do sleep 0.05; done"
    )
    container = {
        "name": "main",
        "image": "hk.local/host",
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", script],
        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
    }
    spec = {
        "nodeName": NODE,
        "terminationGracePeriodSeconds": 2,
        "containers": [container],
        "volumes": [{"name": "shared", "hostPath": {"path": str(folder)}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


async def eventually(holds: Callable[[], Awaitable[T]]) -> T:
    """What `holds` comes to, once that is something."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := await holds()):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
    return found


async def test_a_killed_kubelet_loses_and_doubles_nothing(processes: Any, tmp_path: Path) -> None:
    account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
    await processes.client.create(SERVICE_ACCOUNTS, account, "default")
    shared = tmp_path / "shared"
    shared.mkdir()
    flags = (
        f"--hostname-override={NODE}",
        f"--root-dir={tmp_path / 'kubelet'}",
        "--port=0",
        "--healthz-port=0",
        "--orphan-grace-period=10s",
    )
    chance = random.Random(4)

    async def pods() -> list[dict[str, Any]]:
        return list((await processes.client.list(PODS, "default")).items)

    async def all_ready() -> bool:
        found = await pods()
        return len(found) == PODS_AT_ONCE and all(is_ready(one) for one in found)

    async def all_gone() -> bool:
        return not await pods()

    for turn in range(ROUNDS):
        kubelet = await processes.start_process("kubelet", *flags)
        for number in range(PODS_AT_ONCE):
            await processes.client.create(PODS, pod(f"p{turn}-{number}", shared), "default")
        await asyncio.sleep(chance.random() * 0.6)
        await kubelet.kill()
        kubelet = await processes.start_process("kubelet", *flags)
        await eventually(all_ready)
        await processes.client.delete_collection(PODS, "default")
        await asyncio.sleep(chance.random() * 0.4)
        await kubelet.kill()
        kubelet = await processes.start_process("kubelet", *flags)
        await eventually(all_gone)
        await kubelet.stop()
    assert not (shared / "twice").exists()
    await processes.start_process("kubelet", *flags)

    def left() -> list[str]:
        folders = (tmp_path / "kubelet" / "pods", tmp_path / "kubelet" / "logs" / "pods")
        return [str(entry) for folder in folders for entry in folder.iterdir()]

    async def nothing_left() -> bool:
        return not await asyncio.to_thread(left)

    await eventually(nothing_left)


async def test_pods_come_back_when_all_that_ran_was_killed(processes: Any, tmp_path: Path) -> None:
    account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
    await processes.client.create(SERVICE_ACCOUNTS, account, "default")
    shared = tmp_path / "shared"
    shared.mkdir()
    root = tmp_path / "kubelet"
    flags = (f"--hostname-override={NODE}", f"--root-dir={root}", "--port=0", "--healthz-port=0")
    kubelet = await processes.start_process("kubelet", *flags, "--orphan-grace-period=5s")
    once = pod("once", shared)
    once["spec"]["restartPolicy"] = "Never"
    for made in (pod("web", shared), once):
        await processes.client.create(PODS, made, "default")

    async def found(name: str) -> dict[str, Any]:
        return dict(await processes.client.get(PODS, name, "default"))

    async def both_ready() -> bool:
        return is_ready(await found("web")) and is_ready(await found("once"))

    await eventually(both_ready)
    for pid in reapers(root):
        os.kill(pid, signal.SIGKILL)

    async def came_back() -> bool:
        web = await found("web")
        return is_ready(web) and bool(web["status"]["containerStatuses"][0]["restartCount"] == 1)

    async def failed() -> bool:
        return bool((await found("once"))["status"]["phase"] == "Failed")

    await eventually(came_back)
    await eventually(failed)
    ended = (await found("once"))["status"]["containerStatuses"][0]
    told = ended["state"].get("terminated") or ended["lastState"]["terminated"]
    assert told["exitCode"] == 137
    await kubelet.stop()


def reapers(root: Path) -> list[int]:
    """The processes that have the pods of a kubelet."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:  # it has ended meanwhile
                continue
            if b"process.reaper" in command and str(root).encode() in command:
                found.append(int(entry.name))
    return found
