"""Pods on a real containerd: they run, end, are found again, and nothing of them is left."""

from __future__ import annotations

import pytest
from _clusters import eventually
from _nodes import RealNode

pytestmark = pytest.mark.anyio


async def test_a_pod_runs(node: RealNode) -> None:
    await node.create("first")
    pod = await node.running("first")
    status = pod["status"]["containerStatuses"][0]
    assert status["containerID"].startswith("containerd://")
    assert status["image"] == "hk.test/busybox:1"
    assert pod["status"]["podIP"].startswith(node.containerd.pod_cidr.rpartition(".")[0])
    await node.delete("first")
    await eventually(lambda: node.containerd.leftovers() == [])
