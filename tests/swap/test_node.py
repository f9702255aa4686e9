"""hk's kubelet on Kubernetes' API server: real containers, and the streams of every kubectl. As root."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import _containerd
import _tools
import pytest
from _clusters import Process, eventually
from _containerd import BUSYBOX, Containerd, containerd_running
from _peers import MixedCluster, open_mixed, program
from _watching import is_ready

from hyperkube_machinery.builtin import NODES, PODS, SERVICE_ACCOUNTS
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio

NODE = "real"
Tree = dict[str, Any]


@pytest.fixture(scope="module")
def containerd() -> Iterator[Containerd]:
    program("apiserver")
    if why := _containerd.missing():
        pytest.skip(why)
    folder = tempfile.TemporaryDirectory(prefix="hk-swap-", dir="/var/tmp")
    with folder, containerd_running(Path(folder.name) / "d") as daemon:
        yield daemon
        assert daemon.leftovers() == []


@pytest.fixture(scope="module")
async def cluster(containerd: Containerd, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MixedCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    async with open_mixed(["apiserver"], folder, lambda: _tools.kubectl()[0]) as cluster:
        await cluster.start_controller_manager(upstream=False)
        await cluster.start_scheduler(upstream=False)
        kubelet = await cluster.start(
            "kubelet",
            f"--hostname-override={NODE}",
            f"--root-dir={folder / 'kubelet'}",
            f"--container-runtime-endpoint={containerd.endpoint}",
            f"--client-ca-file={cluster.data_dir}/pki/ca.crt",
            "--port=0",
            "--healthz-port=0",
            f"--cgroup-root={containerd.groups.path}",
        )
        await eventually(lambda: has(cluster, NODES, NODE, is_ready))
        await eventually(lambda: has(cluster, SERVICE_ACCOUNTS, "default", lambda account: True, "default"))
        yield cluster
        for pod in (await cluster.client.list(PODS, "default")).items:
            await cluster.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=1", "--timeout=60s")
        await eventually(lambda: not containerd.containers())
        assert isinstance(kubelet, Process)
        assert " forbidden" not in kubelet.log


async def has(cluster: MixedCluster, resource: Any, name: str, holds: Any, namespace: str = "") -> Tree | None:
    try:
        found: Tree = await cluster.client.get(resource, name, namespace)
    except APIError:
        return None
    assert holds(found), found.get("status")
    return found


@pytest.fixture(scope="module")
async def pod(cluster: MixedCluster) -> Tree:
    await cluster.kubectl("create", "configmap", "words", "--from-literal=greeting=hello")
    container = {
        "name": "main",
        "image": BUSYBOX,
        "command": ["sh", "-c", "echo began && sleep 3600"],
        "volumeMounts": [{"name": "words", "mountPath": "/words"}],
        "readinessProbe": {"exec": {"command": ["cat", "/words/greeting"]}, "periodSeconds": 1},
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "words", "configMap": {"name": "words"}}],
        "terminationGracePeriodSeconds": 1,
    }
    tree = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}
    await cluster.kubectl("apply", "-f", "-", stdin=json.dumps(tree))
    found: Tree = await eventually(lambda: has(cluster, PODS, "one", is_ready, "default"))
    return found


async def test_it_runs_pods_whose_files_are_the_api_servers(cluster: MixedCluster, pod: Tree) -> None:
    assert await cluster.kubectl("logs", "one") == "began\n"
    files = "cat /words/greeting; ls /var/run/secrets/kubernetes.io/serviceaccount"
    assert await cluster.kubectl("exec", "one", "--", "sh", "-c", files) == "helloca.crt\nnamespace\ntoken\n"


async def test_every_kubectl_reaches_it(cluster: MixedCluster, pod: Tree) -> None:
    for kubectl in _tools.kubectl():
        command = [str(kubectl), f"--kubeconfig={cluster.kubeconfig}", "exec", "-i", "one", "--"]
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, "sh", "-c", "cat; echo bad >&2; exit 3"],
            input=b"through",
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (3, b"through"), (kubectl, done.stderr)
        # kubectl may say besides that it discards the empty message by which a stream begins.
        assert b"bad\n" in done.stderr


async def test_a_container_is_added_to_look_around(cluster: MixedCluster, pod: Tree) -> None:
    await cluster.kubectl("debug", "one", f"--image={BUSYBOX}", "-c", "look", "--", "sh", "-c", "exit 0")

    def ended(pod: Tree) -> bool:
        return any("terminated" in one["state"] for one in pod["status"].get("ephemeralContainerStatuses") or ())

    await eventually(lambda: has(cluster, PODS, "one", ended, "default"))


async def test_a_pod_that_is_deleted_is_gone_there_too(cluster: MixedCluster, containerd: Containerd) -> None:
    await cluster.kubectl("run", "brief", f"--image={BUSYBOX}", "--restart=Never")
    await eventually(lambda: has(cluster, PODS, "brief", is_ready, "default"))
    before = len(containerd.containers())
    await cluster.kubectl("delete", "pod", "brief", "--timeout=60s")
    await eventually(lambda: len(containerd.containers()) < before)
