"""Pods on a real containerd: they run, end, outlive kubelets and the runtime's own ends, and leave nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import _tools
import pytest
from _clusters import eventually
from _containerd import BUSYBOX, PAUSE, Containerd, containerd_running
from _nodes import NODE, RealNode, real_node
from _watching import is_ready

from hyperkube_kubelet.runtime.cri.bridge import bridge_name
from hyperkube_machinery.builtin import NODES, PODS

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

SERVE = ["sh", "-c", "mkdir /w; echo served > /w/index.html; httpd -p 8080 -h /w; trap exit TERM; sleep 1000 & wait"]


@pytest.fixture(autouse=True)
async def nothing_left(node: RealNode) -> AsyncIterator[None]:
    """Whatever became of a test's pods, of none anything is left."""
    yield
    await node.emptied()
    await eventually(lambda: node.containerd.leftovers() == [])


def container_ids(pod: Tree) -> list[str]:
    return [status["containerID"] for status in pod["status"]["containerStatuses"]]


def ready(found: Tree) -> Tree:
    return next(one for one in found["status"]["conditions"] if one["type"] == "Ready")


async def test_a_pod_runs(node: RealNode) -> None:
    await node.create("first")
    pod = await node.running("first")
    status = pod["status"]["containerStatuses"][0]
    assert status["containerID"].startswith("containerd://")
    assert status["image"] == "hk.test/busybox:1"
    assert pod["status"]["podIP"].startswith(node.containerd.pod_cidr.rpartition(".")[0])
    assert await node.kubectl("exec", "first", "--", "hostname") == "first\n"
    assert await node.kubectl("logs", "first") == ""


async def test_the_node_says_what_runs_its_containers(node: RealNode) -> None:
    found = await node.node()
    version = found["status"]["nodeInfo"]["containerRuntimeVersion"]
    assert version.startswith("containerd://")
    assert version.removeprefix("containerd://")[0].isdigit()
    names = [name for image in found["status"]["images"] for name in image["names"]]
    assert PAUSE in names


async def test_what_ends_is_seen_at_once_and_started_anew(node: RealNode) -> None:
    script = "[ -f /once/x ] && exec sleep 1000; touch /once/x; exit 4"
    mounts = [{"name": "once", "mountPath": "/once"}]
    container = {"name": "main", "image": BUSYBOX, "command": ["sh", "-c", script], "volumeMounts": mounts}
    await node.create("again", {"containers": [container], "volumes": [{"name": "once", "emptyDir": {}}]})
    pod = await node.pod("again", lambda pod: _restarts(pod) == 1 and is_ready(pod))
    last = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (4, "Error")


def _restarts(pod: Tree) -> int:
    statuses = pod.get("status", {}).get("containerStatuses") or ({"restartCount": 0},)
    return int(statuses[0]["restartCount"])


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL], ids=["asked", "killed"])
async def test_the_next_kubelet_finds_pods_running(node: RealNode, by: signal.Signals) -> None:
    await asyncio.gather(*(node.create(name) for name in ("a", "b", "c")))
    before = [container_ids(await node.running(name)) for name in ("a", "b", "c")]
    await node.restart_kubelet(by)
    await node.node(is_ready)
    await node.create("d")
    await node.running("d")
    after = [await node.running(name) for name in ("a", "b", "c")]
    assert [container_ids(pod) for pod in after] == before
    assert [_restarts(pod) for pod in after] == [0, 0, 0]
    assert len(node.containerd.containers()) == 8


async def test_pods_that_were_deleted_without_a_kubelet_are_gone_with_the_next(node: RealNode) -> None:
    await node.create("gone")
    await node.running("gone")
    await node.kubelet.kill()
    await node.client.delete(PODS, "gone", "default", grace_seconds=0)
    await node.start_kubelet()
    await eventually(lambda: not node.containerd.containers())


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL], ids=["asked", "killed"])
async def test_a_runtime_that_starts_again_has_its_pods(node: RealNode, by: signal.Signals) -> None:
    await node.create("stays")
    before = container_ids(await node.running("stays"))
    node.containerd.stop(by)
    await node.create("waits")
    node.containerd.start()
    await node.running("waits")
    pod = await node.running("stays")
    assert (container_ids(pod), _restarts(pod)) == (before, 0)
    await eventually(lambda: len(node.containerd.containers()) == 4)
    # What ends from now on is heard of again.
    node.containerd.ctr("tasks", "kill", "--signal", "SIGKILL", before[0].removeprefix("containerd://"))
    await node.pod("stays", lambda pod: _restarts(pod) == 1 and is_ready(pod), seconds=10)


async def test_what_ends_while_the_runtime_is_away_is_started_anew(node: RealNode) -> None:
    await node.create("ends")
    (before,) = container_ids(await node.running("ends"))
    pid = node.containerd.ctr("tasks", "ls").split(before.removeprefix("containerd://"))[1].split()[0]
    node.containerd.stop(signal.SIGKILL)
    os.kill(int(pid), signal.SIGKILL)
    node.containerd.start()
    pod = await node.pod("ends", lambda pod: _restarts(pod) == 1 and is_ready(pod))
    assert container_ids(pod) != [before]


async def test_a_node_whose_runtime_is_lost_says_so(node: RealNode) -> None:
    node.containerd.freeze()
    try:
        found = await node.node(lambda node: not is_ready(node))
        assert ready(found)["reason"] == "KubeletNotReady"
        assert "container runtime is down" in ready(found)["message"]
    finally:
        node.containerd.thaw()
    await node.node(is_ready)


async def test_a_node_without_a_network_says_so(node: RealNode) -> None:
    configuration = node.containerd.conf_dir / "10-test.conflist"
    text = configuration.read_text()
    configuration.unlink()
    node.containerd.stop()
    node.containerd.start()
    try:
        found = await node.node(lambda node: not is_ready(node))
        message = ready(found)["message"]
        assert message.startswith(
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
        )
        await node.create("waits")
        await node.create("host", {"hostNetwork": True})
        await node.running("host")
        assert "PodIP" not in (await node.pod("waits"))["status"]
    finally:
        configuration.write_text(text)
    await node.node(is_ready)
    await node.running("waits")


@pytest.fixture
def bare() -> Iterator[Containerd]:
    """A daemon that nobody has given a network."""
    with (
        tempfile.TemporaryDirectory(prefix="hk-e2e-", dir="/var/tmp") as folder,
        containerd_running(Path(folder) / "bare", network=False) as daemon,
    ):
        yield daemon
        assert daemon.leftovers() == []


async def test_a_bridge_is_made_where_no_network_is_configured(bare: Containerd, tmp_path: Path) -> None:
    async with real_node(bare, tmp_path, lambda: _tools.kubectl()[0], waits=False) as node:
        found = await node.node(lambda node: "--pod-cidr" in ready(node)["message"])
        assert "kube-controller-manager" in ready(found)["message"]
        pod_cidr = bare.pod_cidr
        await node.client.patch(NODES, NODE, {"spec": {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr]}})
        await node.node(is_ready)
        await node.create("one", {"containers": [{"name": "main", "image": BUSYBOX, "command": SERVE}]})
        await node.create("two")
        one, _ = await node.running("one"), await node.running("two")
        address = one["status"]["podIP"]
        assert ip_address(address) in ip_network(pod_cidr)
        assert await node.kubectl("exec", "two", "--", "wget", "-qO-", f"http://{address}:8080/") == "served\n"
        await node.emptied()
        removed = await asyncio.create_subprocess_exec("ip", "link", "delete", bridge_name([pod_cidr]))
        assert await removed.wait() == 0


async def test_a_kubelet_may_start_before_its_runtime(node: RealNode) -> None:
    await node.create("stays")
    before = container_ids(await node.running("stays"))
    await node.kubelet.stop()
    node.containerd.stop()
    await node.start_kubelet()
    found = await node.node(lambda node: not is_ready(node))
    assert "container runtime status check may not have completed yet" in ready(found)["message"]
    node.containerd.start()
    await node.node(is_ready)
    pod = await node.running("stays")
    assert (container_ids(pod), _restarts(pod)) == (before, 0)
    assert len(node.containerd.containers()) == 2
