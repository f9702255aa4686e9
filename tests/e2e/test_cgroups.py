"""Control groups of real containers: what the kernel's files say, and what becomes of who wants more."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import _tools
import pytest
from _cgroups import GroupRoot, hierarchies
from _clusters import open_cluster
from _containerd import BUSYBOX, WAIT, Containerd
from _images import write_image
from _nodes import NODE, RealNode, Tree, real_node
from _nodes import pod as pod_of
from _watching import gone, is_ready, until_object

from hyperkube_kubelet.images.source import image_folder
from hyperkube_kubelet.images.store import ImageStore
from hyperkube_machinery.builtin import PODS, RUNTIME_CLASSES, SERVICE_ACCOUNTS
from hyperkube_machinery.quantity import Quantity
from hyperkube_machinery.testing.waiting import until

pytestmark = pytest.mark.anyio

MIB = 1 << 20
PIDS = 40
RESERVED = 200 * MIB
UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers").exists()


@pytest.fixture(scope="module")
async def node(containerd: Containerd, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealNode]:
    flags = (f"--pod-max-pids={PIDS}", "--system-reserved=cpu=100m,memory=200Mi")
    folder = tmp_path_factory.mktemp("cluster")
    async with real_node(containerd, folder, lambda: _tools.kubectl()[0], *flags) as node:
        yield node


def asking(requests: Mapping[str, str] | None = None, **limits: str) -> Tree:
    """A container with such resources."""
    resources = {"requests": dict(requests if requests is not None else limits), "limits": limits}
    return {"name": "main", "image": BUSYBOX, "resources": resources}


def folder_of(node: RealNode, controller: str, path: str) -> Path:
    return folder_in(node.containerd.groups, controller, path)


def folder_in(root: GroupRoot, controller: str, path: str) -> Path:
    top = Path("/sys/fs/cgroup") if UNIFIED else Path("/sys/fs/cgroup") / controller
    return top / root.path.lstrip("/") / path


def path_of(pod: Tree, container: str = "") -> str:
    """The group of a pod, or of a container of it."""
    quality = {"Guaranteed": "", "Burstable": "burstable/", "BestEffort": "besteffort/"}[pod["status"]["qosClass"]]
    path = f"kubepods/{quality}pod{pod['metadata']['uid']}"
    statuses = pod["status"].get("containerStatuses") or ()
    ids = {one["name"]: one.get("containerID", "").rpartition("//")[2] for one in statuses}
    return f"{path}/{ids[container]}" if container else path


def held(node: RealNode, path: str) -> dict[str, int]:
    """What the kernel holds a group to; no limit is 0, shares are those of version 1."""

    def read(controller: str, file: str) -> str:
        return (folder_of(node, controller, path) / file).read_text().strip()

    if UNIFIED:
        quota, period = read("cpu", "cpu.max").split()
        shares = (int(read("cpu", "cpu.weight")) - 1) * 262142 // 9999 + 2
        memory = read("memory", "memory.max")
    else:
        quota, period = read("cpu", "cpu.cfs_quota_us"), read("cpu", "cpu.cfs_period_us")
        shares, memory = int(read("cpu", "cpu.shares")), read("memory", "memory.limit_in_bytes")
    limit = 0 if memory == "max" or int(memory) >= 1 << 60 else int(memory)
    pids = read("pids", "pids.max")
    return {
        "shares": shares,
        "quota": 0 if quota in ("max", "-1") else int(quota) * 100_000 // int(period),
        "memory": limit,
        "pids": 0 if pids == "max" else int(pids),
    }


def oom_score(group: Path) -> int:
    """Of the first process in a group."""
    pid = (group / "cgroup.procs").read_text().split()[0]
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def shares(milli: int) -> Any:
    """As the kernel tells them: in version 2 only about."""
    return pytest.approx(milli * 1024 // 1000, rel=0.1, abs=30) if UNIFIED else milli * 1024 // 1000


async def test_the_node_holds_pods_to_what_it_may_give(node: RealNode) -> None:
    status = (await node.node(is_ready))["status"]
    capacity = int(status["capacity"]["memory"].removesuffix("Ki")) * 1024
    whole = held(node, "kubepods")
    assert whole["memory"] == capacity - RESERVED
    cpus = int(status["capacity"]["cpu"])
    assert whole["shares"] == shares(cpus * 1000 - 100)
    assert status["allocatable"]["cpu"] == f"{cpus * 1000 - 100}m"
    # Hard eviction keeps 100Mi free, which pods may use until then.
    allocatable = int(status["allocatable"]["memory"].removesuffix("Ki")) * 1024
    assert allocatable == capacity - RESERVED - 100 * MIB
    events = await node.kubectl("get", "events", "-o", "json", "--field-selector=involvedObject.kind=Node")
    assert "NodeAllocatableEnforced" in {one["reason"] for one in json.loads(events)["items"]}


async def test_each_quality_has_what_it_asks_for(node: RealNode) -> None:
    await node.create("guaranteed", {"containers": [asking(cpu="100m", memory="32Mi")]})
    await node.create("burstable", {"containers": [asking({"cpu": "50m", "memory": "16Mi"}, memory="64Mi")]})
    await node.create("besteffort")
    guaranteed, burstable, best = [await node.running(one) for one in ("guaranteed", "burstable", "besteffort")]
    everything = {"shares": shares(100), "quota": 10_000, "memory": 32 * MIB}
    assert held(node, path_of(guaranteed)) == {**everything, "pids": PIDS}
    assert held(node, path_of(guaranteed, "main")) == {**everything, "pids": 0}
    some = {"shares": shares(50), "quota": 0, "memory": 64 * MIB}
    assert held(node, path_of(burstable)) == {**some, "pids": PIDS}
    assert held(node, path_of(burstable, "main")) == {**some, "pids": 0}
    assert held(node, path_of(best)) == {"shares": 2, "quota": 0, "memory": 0, "pids": PIDS}
    assert held(node, "kubepods/besteffort")["shares"] == 2
    assert held(node, "kubepods/burstable")["shares"] == shares(50)
    assert oom_score(folder_of(node, "memory", path_of(best, "main"))) == 1000
    await node.delete("guaranteed", "burstable", "besteffort")
    assert node.containerd.groups.pods() == set()
    assert held(node, "kubepods/burstable")["shares"] == 2


async def test_who_uses_more_memory_than_its_limit_is_killed_and_it_is_told(node: RealNode) -> None:
    greedy = {**asking(memory="32Mi"), "command": ["sh", "-c", "tail /dev/zero"]}
    await node.create("greedy", {"containers": [greedy], "restartPolicy": "Never"})
    pod = await node.pod("greedy", lambda found: found["status"].get("phase") == "Failed")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    await node.delete("greedy")


async def test_a_pod_has_no_more_processes_than_it_may(node: RealNode) -> None:
    script = f"i=0; while [ $i -lt {PIDS * 2} ]; do sleep 600 & i=$((i+1)); echo $i; done"
    told = {"command": ["sh", "-c", script], "terminationMessagePolicy": "FallbackToLogsOnError"}
    await node.create("forks", {"containers": [{"name": "main", "image": BUSYBOX, **told}], "restartPolicy": "Never"})
    pod = await node.pod("forks", lambda found: found["status"].get("phase") == "Failed")
    said = pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"]
    assert "can't fork" in said
    started = max(int(line) for line in said.splitlines() if line.isdigit())
    assert PIDS - 5 < started < PIDS, "what holds the sandbox and the shell are of the pod as well"
    await node.delete("forks")


async def resize(node: RealNode, name: str, requests: Mapping[str, str], **limits: str) -> None:
    resources = {"requests": dict(requests), "limits": limits}
    patch = {"spec": {"containers": [{"name": "main", "resources": resources}]}}
    await node.client.patch(PODS, name, patch, "default", kind="strategic", subresource="resize")


def shows(**limits: str) -> Any:
    def holds(pod: Tree) -> bool:
        status = pod["status"]
        shown = status["containerStatuses"][0].get("resources", {}).get("limits")
        resizing = any(one["type"].startswith("PodResize") for one in status["conditions"])
        return (
            bool(shown == limits) and not resizing and status.get("observedGeneration") == pod["metadata"]["generation"]
        )

    return holds


async def test_a_pod_is_resized_as_it_runs(node: RealNode) -> None:
    requests = {"cpu": "50m", "memory": "16Mi"}
    await node.create("sized", {"containers": [asking(requests, cpu="100m", memory="32Mi")]})
    first = await node.running("sized")
    await resize(node, "sized", {"cpu": "80m", "memory": "20Mi"}, cpu="200m", memory="64Mi")
    grown = await node.pod("sized", shows(cpu="200m", memory="64Mi"))
    assert path_of(grown, "main") == path_of(first, "main"), "it was not started anew"
    for path in (path_of(grown), path_of(grown, "main")):
        found = held(node, path)
        assert (found["quota"], found["memory"]) == (20_000, 64 * MIB)
        assert found["shares"] == shares(80)
    assert grown["status"]["resources"]["limits"] == {"cpu": "200m", "memory": "64Mi"}
    await resize(node, "sized", requests, cpu="100m", memory="32Mi")
    shrunk = await node.pod("sized", shows(cpu="100m", memory="32Mi"))
    found = held(node, path_of(shrunk))
    assert (found["quota"], found["memory"], found["shares"]) == (10_000, 32 * MIB, shares(50))
    assert shrunk["status"]["containerStatuses"][0]["restartCount"] == 0
    await node.delete("sized")


async def test_a_resize_that_needs_a_new_start_gets_one(node: RealNode) -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    await node.create("anew", {"containers": [{**asking(memory="32Mi"), "resizePolicy": policy}]})
    await node.running("anew")
    await resize(node, "anew", {"memory": "48Mi"}, memory="48Mi")
    pod = await node.pod("anew", shows(memory="48Mi"))
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 1
    assert held(node, path_of(pod, "main"))["memory"] == held(node, path_of(pod))["memory"] == 48 * MIB
    await node.delete("anew")


async def test_what_the_node_has_not_is_put_off_until_it_has(node: RealNode) -> None:
    capacity = int((await node.node(is_ready))["status"]["capacity"]["cpu"]) * 1000
    most, half = capacity - 200, capacity // 2
    await node.create("small", {"containers": [asking({"cpu": "10m"}, cpu=f"{most}m")]})
    await node.create("half", {"containers": [asking({"cpu": f"{half}m"}, cpu=f"{most}m")]})
    await node.running("small")
    await node.running("half")
    await resize(node, "small", {"cpu": f"{most}m"}, cpu=f"{most}m")

    def pending(pod: Tree) -> bool:
        found = [one for one in pod["status"]["conditions"] if one["type"] == "PodResizePending"]
        return bool(found) and found[0]["reason"] == "Deferred" and "enough resource: cpu" in found[0]["message"]

    put_off = await node.pod("small", pending)
    assert put_off["status"]["containerStatuses"][0]["allocatedResources"]["cpu"] == "10m"
    await node.create("more", {"containers": [asking({"cpu": f"{most}m"}, cpu=f"{most}m")]})
    refused = await node.pod("more", lambda found: found["status"].get("phase") == "Failed")
    assert refused["status"]["reason"] == "OutOfcpu"
    await node.delete("more", "half")

    def resized(pod: Tree) -> bool:
        allocated = pod["status"]["containerStatuses"][0]["allocatedResources"]["cpu"]
        return Quantity.parse(allocated).milli == most and not pending(pod)

    assert held(node, path_of(await node.pod("small", resized)))["shares"] == shares(most)
    await node.delete("small")


async def test_a_pod_as_a_whole_may_be_limited(node: RealNode) -> None:
    containers = [{"name": name, "image": BUSYBOX} for name in ("main", "beside")]
    whole = {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}}
    await node.create("whole", {"containers": containers, "resources": whole})
    pod = await node.running("whole")
    assert pod["status"]["qosClass"] == "Burstable"
    found = held(node, path_of(pod))
    assert (found["shares"], found["quota"], found["memory"]) == (shares(50), 10_000, 64 * MIB)
    assert held(node, path_of(pod, "beside"))["memory"] == 64 * MIB
    await node.delete("whole")


async def test_what_a_runtime_class_takes_itself_is_of_the_pod(node: RealNode) -> None:
    overhead = {"podFixed": {"cpu": "50m", "memory": "16Mi"}}
    await node.client.create(RUNTIME_CLASSES, {"metadata": {"name": "heavy"}, "handler": "runc", "overhead": overhead})
    await node.create("heavy", {"containers": [asking(cpu="100m", memory="32Mi")], "runtimeClassName": "heavy"})
    pod = await node.running("heavy")
    found = held(node, path_of(pod))
    assert (found["shares"], found["quota"], found["memory"]) == (shares(150), 15_000, 48 * MIB)
    assert held(node, path_of(pod, "main"))["memory"] == 32 * MIB
    assert pod["status"]["allocatedResources"] == {"cpu": "150m", "memory": "48Mi"}
    await node.delete("heavy")
    await node.client.delete(RUNTIME_CLASSES, "heavy")


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as running:
        yield running
        running.kill()


async def test_what_else_is_in_a_pods_group_goes_with_it(node: RealNode, stranger: subprocess.Popen[bytes]) -> None:
    await node.create("host")
    pod = await node.running("host")
    (folder_of(node, "pids", path_of(pod)) / "cgroup.procs").write_text(str(stranger.pid))
    await node.delete("host")
    await until(lambda: stranger.poll() is not None)
    assert stranger.returncode == -signal.SIGKILL
    assert node.containerd.groups.pods() == set()


async def test_groups_outlive_a_killed_kubelet_and_orphans_are_found(node: RealNode) -> None:
    await node.create("stays", {"containers": [asking(memory="32Mi")]})
    await node.create("goes")
    stays, goes = await node.running("stays"), await node.running("goes")
    await node.kubelet.end(signal.SIGKILL)
    assert held(node, path_of(stays, "main"))["memory"] == 32 * MIB
    await node.client.delete(PODS, "goes", "default", grace_seconds=0)
    await node.start_kubelet()
    async with asyncio.timeout(60):
        while folder_of(node, "memory", path_of(goes)).exists():  # noqa: ASYNC110 - nothing tells of a folder's end
            await asyncio.sleep(0.1)
    again = await node.running("stays")
    assert path_of(again, "main") == path_of(stays, "main")
    assert held(node, path_of(again, "main"))["memory"] == 32 * MIB
    await node.delete("stays")


async def test_nothing_is_left_but_the_tree(node: RealNode) -> None:
    assert node.containerd.groups.pods() == set()
    tops = [hierarchy / node.containerd.groups.path.lstrip("/") for hierarchy in hierarchies()]
    left = {str(path.relative_to(top)) for top in tops for path in top.rglob("*") if path.is_dir()}
    assert left == {"kubepods", "kubepods/besteffort", "kubepods/burstable"}


@pytest.fixture
def own_root() -> Iterator[GroupRoot]:
    root = GroupRoot(f"hk-test-process-{os.getpid()}")
    root.make()
    yield root
    assert root.pods() == set()
    root.remove()


async def test_the_process_runtime_keeps_the_tree_too(own_root: GroupRoot, tmp_path: Path) -> None:
    archive = write_image(tmp_path / "app.tar", BUSYBOX, busybox=_tools.busybox(), command=WAIT)
    async with open_cluster("process", tmp_path / "cluster", lambda: _tools.kubectl()[0]) as cluster:
        folder = tmp_path / "kubelet"
        ImageStore(image_folder(folder)).load(archive, now=1.0)
        account = {"metadata": {"name": "default"}}
        await cluster.client.create(SERVICE_ACCOUNTS, account, "default")
        await cluster.start_process(
            "kubelet",
            f"--hostname-override={NODE}",
            f"--root-dir={folder}",
            "--port=0",
            "--healthz-port=0",
            f"--cgroup-root={own_root.path}",
            "--pod-max-pids=60",
        )
        spec = {"containers": [asking(cpu="100m", memory="48Mi")], "automountServiceAccountToken": False}
        await cluster.client.create(PODS, pod_of("plain", spec), "default")
        found = await until_object(cluster.client, PODS, "plain", is_ready, "default")
        path = f"kubepods/pod{found['metadata']['uid']}"
        container = found["status"]["containerStatuses"][0]["containerID"].rpartition("//")[2]
        tops = {"memory": "memory.max" if UNIFIED else "memory.limit_in_bytes", "pids": "pids.max"}
        folders = {name: folder_in(own_root, name, path) for name in tops}
        assert (folders["memory"] / tops["memory"]).read_text().strip() == str(48 * MIB)
        assert (folders["pids"] / "pids.max").read_text().strip() == "60"
        assert (folders["memory"] / container / "cgroup.procs").read_text().split()
        await cluster.client.delete(PODS, "plain", "default")
        await gone(cluster.client, PODS, "plain", "default")
    assert own_root.pods() == set()
