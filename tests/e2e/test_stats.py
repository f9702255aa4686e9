"""What a kubelet tells of real containers' usage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import _tools
import pytest
from _clusters import eventually
from _containerd import BUSYBOX, Containerd
from _kubeletapi import OPEN, of, samples, summary, told
from _nodes import RealNode, real_node

pytestmark = pytest.mark.anyio

MI = 1 << 20
SCRIPT = "head -c 4194304 /dev/zero > /data/file; head -c 2097152 /dev/zero > /own; echo begun; x=$(head -c 8388608 \
/dev/zero | tr '\\0' a); trap 'exit 0' TERM; while :; do i=$((i + 1)); done"


@pytest.fixture
async def node(containerd: Containerd, tmp_path: Path) -> AsyncIterator[RealNode]:
    flags = (*OPEN, "--volume-stats-agg-period=500ms", "--eviction-hard=")
    async with real_node(containerd, tmp_path, lambda: _tools.kubectl()[0], *flags) as node:
        yield node


async def test_usage_of_real_containers(node: RealNode) -> None:
    main = {
        "name": "main",
        "image": BUSYBOX,
        "command": ["sh", "-c", SCRIPT],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
    }
    await node.create("busy", {"containers": [main], "volumes": [{"name": "data", "emptyDir": {}}]})
    await node.running("busy")
    kubelet = await node.node()

    async def measured() -> object:
        found = await summary(kubelet)
        pod = next((one for one in found["pods"] if one["podRef"]["name"] == "busy"), None)
        if pod is None or "usageNanoCores" not in pod["cpu"]:
            return None
        volumes = {one["name"]: one["usedBytes"] for one in pod.get("volume") or ()}
        (container,) = pod["containers"]
        enough = volumes.get("data", 0) >= 4 * MI and container["rootfs"]["usedBytes"] >= 2 * MI
        return pod if enough and pod["cpu"]["usageNanoCores"] > 50_000_000 else None

    pod = await eventually(measured)
    (container,) = pod["containers"]
    assert 8 * MI <= container["memory"]["workingSetBytes"] <= pod["memory"]["workingSetBytes"] < 64 * MI
    assert container["memory"]["availableBytes"] == 64 * MI - container["memory"]["workingSetBytes"]
    assert pod["cpu"]["usageNanoCores"] < 700_000_000  # it is held to half a processor
    assert pod["network"]["name"] == "eth0"
    assert container["logs"]["usedBytes"] > 0
    assert container["rootfs"]["inodesUsed"] > 0
    assert pod["ephemeral-storage"]["usedBytes"] >= 6 * MI
    assert pod["process_stats"]["process_count"] >= 1
    whole = await summary(kubelet)
    systems = {one["name"]: one for one in whole["node"]["systemContainers"]}
    assert systems["pods"]["memory"]["workingSetBytes"] >= pod["memory"]["workingSetBytes"]
    assert whole["node"]["runtime"]["imageFs"]["usedBytes"] > 0

    resource = await told(kubelet, "/metrics/resource")
    whose = {"container": "main", "pod": "busy", "namespace": "default"}
    assert of(samples(resource, "container_cpu_usage_seconds_total"), **whose) > 0.05
    assert of(samples(resource, "container_memory_working_set_bytes"), **whose) >= 8 * MI

    cadvisor = await told(kubelet, "/metrics/cadvisor")
    status = (await node.pod("busy"))["status"]["containerStatuses"][0]
    runs = status["containerID"].removeprefix("containerd://")
    throttled = samples(cadvisor, "container_cpu_cfs_throttled_periods_total")
    assert of(throttled, name=runs, **whose) > 0
    assert of(samples(cadvisor, "container_spec_memory_limit_bytes"), **whose) == 64 * MI
    assert of(samples(cadvisor, "container_fs_usage_bytes"), **whose) >= 2 * MI
    received = samples(cadvisor, "container_network_receive_bytes_total")
    assert of(received, pod="busy", container="", interface="eth0") >= 0
    (group,) = {dict(labels)["id"] for labels in throttled if dict(labels)["container"] == "main"}
    assert group.startswith(f"{node.containerd.groups.path}/kubepods/")
    assert group.endswith(runs)

    metrics = await told(kubelet, "/metrics")
    assert of(samples(metrics, "kubelet_runtime_operations_total"), operation_type="run_podsandbox") >= 1
    assert of(samples(metrics, "kubelet_runtime_operations_duration_seconds_count"), operation_type="version") >= 1
    assert of(samples(metrics, "kubelet_running_pods")) == 1
