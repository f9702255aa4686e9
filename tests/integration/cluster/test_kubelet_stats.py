"""What a kubelet tells of its pods' usage, and which of them it evicts, beside a real API server."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import _tools
import pytest
from _clusters import Cluster, Mode, open_cluster
from _watching import is_ready

from hyperkube_machinery.builtin import EVENTS, NODES, SERVICE_ACCOUNTS

from .test_kubelet_pods import (
    NODE,
    STAYS,
    container,
    emptied,
    eventually,
    phase_is,
    pod,
    until_event,
    until_pod,
)
from .test_kubelet_pods import started as kubelet_started
from .test_kubelet_streams import authority

__all__ = ["authority"]

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

BUSY = "x=$(head -c 8388608 /dev/zero | tr '\\0' a); echo begun; while :; do i=$((i + 1)); done"
QUICK = ("--volume-stats-agg-period=500ms", "--eviction-pressure-transition-period=1s")


@pytest.fixture(params=["process", "in-process"])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path, authority: Path) -> AsyncIterator[Cluster]:
    """An API server that may ask kubelets, though they are on its own machine's loopback."""
    flags = (
        "--allow-loopback-endpoints",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={authority / 'client.crt'}",
        f"--kubelet-client-key={authority / 'client.key'}",
    )
    async with open_cluster(cast(Mode, request.param), tmp_path, lambda: _tools.kubectl()[0], *flags) as cluster:
        yield cluster


@pytest.fixture
async def account(cluster: Any) -> AsyncIterator[None]:
    """What a controller makes in every namespace; what ran is gone afterwards."""
    account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
    await cluster.client.create(SERVICE_ACCOUNTS, account, "default")
    yield
    await emptied(cluster)


@pytest.fixture
def started(cluster: Any, authority: Path, tmp_path: Path) -> Any:
    """Starts a kubelet that the API server may ask."""
    knows = f"--client-ca-file={authority / 'ca.crt'}"
    return lambda *flags: kubelet_started(cluster, tmp_path / "kubelet", knows, *flags)


async def told(cluster: Any, path: str) -> str:
    """What the kubelet answers, asked through the API server as `kubectl top`'s source is."""
    found: str = await cluster.kubectl("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/{path}")
    return found


def samples(text: str, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The values of a series, by their labels."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)(?: \d+)?", line)
        if match:
            labels = tuple(sorted(re.findall(r'(\w+)="([^"]*)"', match[1] or "")))
            found[labels] = float(match[2])
    return found


def of(found: dict[tuple[tuple[str, str], ...], float], **labels: str) -> float:
    """The only value with these labels."""
    (value,) = [value for key, value in found.items() if labels.items() <= dict(key).items()]
    return value


async def test_usage_is_told_in_every_way(cluster: Any, account: None, started: Any) -> None:
    await started(*QUICK)
    mount = [{"name": "scratch", "mountPath": "/scratch"}]
    filled = f"head -c 3145728 /dev/zero > /scratch/data; {BUSY}"
    busy = pod("busy", container(filled, volumeMounts=mount), volumes=[{"name": "scratch", "emptyDir": {}}])
    await create(cluster, busy)
    await until_pod(cluster, "busy", is_ready)

    async def measured() -> Tree:
        found: Tree = json.loads(await told(cluster, "stats/summary"))
        mine: Tree = next((one for one in found["pods"] if one["podRef"]["name"] == "busy"), {})
        volumes = {one["name"]: one for one in mine.get("volume") or ()}
        used = mine.get("cpu", {}).get("usageCoreNanoSeconds", 0)
        enough = volumes.get("scratch", {}).get("usedBytes", 0) >= 3 << 20 and used > 100_000_000
        return found if enough else {}

    summary = await eventually(measured)
    node, (mine,) = summary["node"], summary["pods"]
    assert node["nodeName"] == NODE
    assert 0 < node["memory"]["workingSetBytes"] < node["memory"]["availableBytes"] + node["memory"]["workingSetBytes"]
    assert node["fs"]["capacityBytes"] > node["fs"]["availableBytes"] > 0
    assert node["rlimit"]["maxpid"] > node["rlimit"]["curproc"] > 0
    assert {one["name"] for one in node["systemContainers"]} == {"kubelet", "pods"}
    (main,) = mine["containers"]
    assert main["name"] == "main"
    assert main["memory"]["workingSetBytes"] >= 8 << 20
    assert main["logs"]["usedBytes"] > 0
    assert mine["memory"]["workingSetBytes"] >= main["memory"]["workingSetBytes"]
    assert mine["ephemeral-storage"]["usedBytes"] >= 3 << 20

    short = json.loads(await told(cluster, "stats/summary?only_cpu_and_memory=true"))
    assert "fs" not in short["node"]
    assert set(short["pods"][0]) >= {"podRef", "startTime", "containers", "cpu", "memory"}
    assert "volume" not in short["pods"][0]

    resource = await told(cluster, "metrics/resource")
    whose = {"container": "main", "pod": "busy", "namespace": "default"}
    assert of(samples(resource, "container_cpu_usage_seconds_total"), **whose) > 0.1
    assert of(samples(resource, "container_memory_working_set_bytes"), **whose) >= 8 << 20
    assert of(samples(resource, "pod_memory_working_set_bytes"), pod="busy", namespace="default") >= 8 << 20
    assert of(samples(resource, "node_cpu_usage_seconds_total")) > 0
    assert of(samples(resource, "node_memory_working_set_bytes")) > 0
    assert of(samples(resource, "resource_scrape_error")) == 0
    assert "# TYPE container_cpu_usage_seconds_total counter" in resource

    cadvisor = await told(cluster, "metrics/cadvisor")
    assert of(samples(cadvisor, "container_memory_working_set_bytes"), **whose) >= 8 << 20
    assert of(samples(cadvisor, "container_cpu_usage_seconds_total"), id="/", cpu="total") > 0
    assert of(samples(cadvisor, "machine_cpu_cores")) >= 1
    assert "probe_total" not in cadvisor


async def create(cluster: Any, found: Tree) -> None:
    await cluster.kubectl("create", "-f", "-", stdin=json.dumps(found))


async def test_probes_are_counted_at_a_place_of_their_own(cluster: Any, account: None, started: Any) -> None:
    await started()
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    await create(cluster, pod("probed", container(readinessProbe=probe)))
    await until_pod(cluster, "probed", is_ready)
    probes = await told(cluster, "metrics/probes")
    counted = samples(probes, "prober_probe_total")
    assert of(counted, probe_type="Readiness", pod="probed", result="successful") >= 1
    main = await told(cluster, "metrics")
    assert "prober_probe_total" not in main
    assert of(samples(main, "kubelet_node_name"), node=NODE) == 1
    assert of(samples(main, "kubelet_pod_start_duration_seconds_count")) >= 1


async def test_a_volume_that_is_over_its_limit_ends_its_pod(cluster: Any, account: None, started: Any) -> None:
    await started(*QUICK)
    mount = [{"name": "scratch", "mountPath": "/scratch"}]
    volumes = [{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}]
    await create(cluster, pod("modest", container()))
    fills = container(f"head -c 3145728 /dev/zero > /scratch/data; {STAYS}", volumeMounts=mount)
    await create(cluster, pod("greedy", fills, volumes=volumes))
    found = await until_pod(cluster, "greedy", phase_is("Failed"))
    message = 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". '
    assert (found["status"]["reason"], found["status"]["message"]) == ("Evicted", message)
    assert (await until_event(cluster, "greedy", "Evicted"))["message"] == message
    assert is_ready(await until_pod(cluster, "modest", is_ready))
    assert of(samples(await told(cluster, "metrics"), "kubelet_evictions"), eviction_signal="emptydirfs.limit") == 1


async def test_memory_that_is_scarce_ends_who_uses_most(cluster: Any, account: None, started: Any) -> None:
    first = await started("--eviction-hard=")
    await create(cluster, pod("vital", container(name="main"), priorityClassName="system-node-critical"))
    await create(cluster, pod("large", container(BUSY)))
    await until_pod(cluster, "large", is_ready)
    memory = json.loads(await told(cluster, "stats/summary"))["node"]["memory"]
    await first.stop()
    # More than there is: whatever goes, it doesn't get better.
    least = memory["availableBytes"] + (memory["workingSetBytes"] // 2)
    await started(f"--eviction-hard=memory.available<{least}", *QUICK)
    found = await until_pod(cluster, "large", phase_is("Failed"))
    assert found["status"]["reason"] == "Evicted"
    assert found["status"]["message"].startswith("The node was low on resource: memory. Threshold quantity: ")
    assert "Container main was using" in found["status"]["message"]
    (ended,) = [one for one in found["status"]["conditions"] if one["type"] == "DisruptionTarget"]
    assert (ended["status"], ended["reason"]) == ("True", "TerminationByKubelet")

    async def pressed() -> bool:
        conditions = (await cluster.client.get(NODES, NODE))["status"]["conditions"]
        return any(one["type"] == "MemoryPressure" and one["status"] == "True" for one in conditions)

    await eventually(pressed)
    await create(cluster, pod("late", container()))
    late = await until_pod(cluster, "late", phase_is("Failed"))
    assert late["status"]["message"] == "Pod was rejected: The node had condition: [MemoryPressure]. "
    assert is_ready(await until_pod(cluster, "vital", is_ready))

    async def heard() -> bool:
        events = (await cluster.client.list(EVENTS, "default")).items
        return {"EvictionThresholdMet", "NodeHasInsufficientMemory"} <= {event["reason"] for event in events}

    await eventually(heard)
