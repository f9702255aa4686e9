"""Kubernetes' kubelet on hk's API server, with hk's scheduler and controller manager: it joins by itself and runs pods.

As root, on a containerd of the tests' own.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import _containerd
import _tools
import pytest
import yaml
from _clusters import eventually
from _containerd import BUSYBOX, Containerd, containerd_running
from _peers import MixedCluster, open_mixed, program
from _watching import is_ready

from hyperkube_machinery.builtin import CERTIFICATE_SIGNING_REQUESTS, NODES, PODS
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio

NODE = "upstream"
TOKEN_ID, TOKEN_SECRET = "abcdef", "0123456789abcdef"
CGROUPS = Path("/sys/fs/cgroup")
ITS_FOLDER = Path("/var/lib/kubelet")
"""Where it has the sockets of device plugins, whatever folder it is told."""
ASIDE = f"""
mount --make-private "$(findmnt --noheadings --output TARGET --target {ITS_FOLDER} | tail -1)" &&
mount -t tmpfs kubelet {ITS_FOLDER} && exec "$@"
"""

# What it says of a machine such as this, and before it has a certificate.
EXPECTED = (
    r"system:anonymous",
    r'"up.*not found|node \\?"upstream\\?" not found|nodes \\?"upstream\\?" not found',
    r"rlimit|oom score|Unimplemented|checkpoint|imagefs|filesystem|Image garbage collection",
    r"PLEG|mirror pod|summary stats|nodeIP|cgroup|systemd|swap|kmsg|watchdog|iptables|sysctl|conntrack|Deprecated",
    r"CPU|memory|topology|cAdvisor|cadvisor|[Ss]erving cert|container runtime|hugetlb|pids|PodSandbox|ContainerStatus",
    r"websocket: close|use of closed network|connection reset|EOF",
)

Tree = dict[str, Any]


@pytest.fixture(scope="module")
def containerd() -> Iterator[Containerd]:
    program("kubelet")
    if why := _containerd.missing():
        pytest.skip(why)
    folder = tempfile.TemporaryDirectory(prefix="hk-swap-", dir="/var/tmp")
    with folder, containerd_running(Path(folder.name) / "d") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def kubelet_root() -> Iterator[Path]:
    """A folder that it may mount what it likes below, and on; containerd is to see that, wherever it is mounted."""
    with tempfile.TemporaryDirectory(prefix="hk-swap-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        for how in (("--bind", folder, folder), ("--make-shared", folder)):
            subprocess.run(["mount", *how], check=True, capture_output=True)
        yield Path(folder)
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        for point in reversed([line.split()[4] for line in lines]):
            if point.startswith(folder):
                subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)


@pytest.fixture(scope="module")
def aside() -> Iterator[list[str]]:
    """What begins its command line: mounts of its own, in which the machine's own kubelet has nothing."""
    made = not ITS_FOLDER.exists()
    ITS_FOLDER.mkdir(exist_ok=True)
    yield ["unshare", "--mount", "--propagation=unchanged", "sh", "-c", ASIDE, "sh"]
    if made:
        ITS_FOLDER.rmdir()


@pytest.fixture(scope="module")
def cgroup_root() -> Iterator[str]:
    """A control group of its own in every hierarchy."""
    name = f"hk-swap-{os.getpid()}"
    hierarchies = [CGROUPS, *(path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink())]
    made = [path / name for path in hierarchies if (path / "cgroup.procs").exists()]
    for path in made:
        path.mkdir(exist_ok=True)
    yield f"/{name}"
    for path in made:
        for folder, _, _ in os.walk(path, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)


@pytest.fixture(scope="module")
async def cluster(
    containerd: Containerd,
    kubelet_root: Path,
    cgroup_root: str,
    aside: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[MixedCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    async with open_mixed(["kubelet"], folder, lambda: _tools.kubectl()[0]) as cluster:
        await cluster.start_controller_manager(upstream=False)
        await cluster.start_scheduler(upstream=False)
        await cluster.kubectl("apply", "-f", "-", stdin=json.dumps(bootstrap_objects()), namespace="kube-system")
        write_configuration(cluster, containerd, kubelet_root, cgroup_root)
        cluster.run_peer(
            "kubelet",
            f"--config={folder}/kubelet.yaml",
            f"--bootstrap-kubeconfig={folder}/bootstrap.kubeconfig",
            f"--kubeconfig={folder}/kubelet.kubeconfig",
            f"--cert-dir={folder}/certificates",
            f"--root-dir={kubelet_root}",
            f"--hostname-override={NODE}",
            f"--node-ip={_address()}",
            before=aside,
        )
        yield cluster
        for pod in (await cluster.client.list(PODS, "default")).items:
            await cluster.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=1", "--timeout=60s")


def bootstrap_objects() -> Tree:
    """A bootstrap token, and what lets nodes be certified as kubeadm has it."""
    rbac = "rbac.authorization.k8s.io"
    bindings = {
        "swap-bootstrap": ("system:node-bootstrapper", "system:bootstrappers"),
        "swap-approve": (
            "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
            "system:bootstrappers",
        ),
    }
    data = {
        "token-id": TOKEN_ID,
        "token-secret": TOKEN_SECRET,
        "usage-bootstrap-authentication": "true",
    }
    metadata = {"name": f"bootstrap-token-{TOKEN_ID}", "namespace": "kube-system"}
    items: list[Tree] = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "bootstrap.kubernetes.io/token",
            "metadata": metadata,
            "stringData": data,
        }
    ]
    items += [
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "Group", "apiGroup": rbac, "name": group}],
        }
        for name, (role, group) in bindings.items()
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def write_configuration(cluster: MixedCluster, containerd: Containerd, root: Path, cgroups: str) -> None:
    ca = cluster.data_dir / "pki" / "ca.crt"
    server = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    bootstrap = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": "u", "user": {"token": f"{TOKEN_ID}.{TOKEN_SECRET}"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    never = dict.fromkeys(("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%")
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": _address(),
        "port": _free_port(),
        "healthzPort": 0,
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(ca)}},
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups,
        "containerRuntimeEndpoint": containerd.endpoint,
        "enforceNodeAllocatable": [],
        "evictionHard": never,
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": False,
        "podLogsDir": str(root / "logs"),
        "rotateCertificates": True,
        "serverTLSBootstrap": True,
        "volumePluginDir": str(root / "flex"),
    }
    (cluster.folder / "bootstrap.kubeconfig").write_text(yaml.safe_dump(bootstrap))
    (cluster.folder / "kubelet.yaml").write_text(yaml.safe_dump(kubelet))


def _address() -> str:
    """One of this machine's that is not loopback, which the kubelet takes for none."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((_address(), 0))
        return int(probe.getsockname()[1])


async def until_running(cluster: MixedCluster, name: str) -> Tree:
    async def found() -> Tree | None:
        pod = await cluster.client.get(PODS, name, "default")
        return pod if is_ready(pod) else None

    pod: Tree = await eventually(found)
    return pod


@pytest.fixture(scope="module")
async def pod(cluster: MixedCluster) -> Tree:
    """A pod that runs, with files of several origins."""
    await test_it_joins_by_a_bootstrap_token_and_is_certified(cluster)
    await cluster.kubectl("create", "configmap", "words", "--from-literal=greeting=hello")
    await cluster.kubectl("create", "secret", "generic", "quiet", "--from-literal=word=hush")
    volumes = [{"name": "words", "configMap": {"name": "words"}}, {"name": "quiet", "secret": {"secretName": "quiet"}}]
    container = {
        "name": "main",
        "image": BUSYBOX,
        "command": ["sh", "-c", "echo began; mkdir /www; echo page >/www/i; httpd -p 8080 -h /www; sleep 3600"],
        "volumeMounts": [{"name": one["name"], "mountPath": f"/{one['name']}"} for one in volumes],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}},
        "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
    }
    spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1}
    tree = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}
    await cluster.kubectl("apply", "-f", "-", stdin=json.dumps(tree))
    return await until_running(cluster, "one")


async def test_it_joins_by_a_bootstrap_token_and_is_certified(cluster: MixedCluster) -> None:
    async def node() -> bool:
        cluster.peers["kubelet"].check()
        try:
            return is_ready(await cluster.client.get(NODES, NODE))
        except APIError:
            return False

    await eventually(node)

    async def serving() -> str:
        requests = (await cluster.client.list(CERTIFICATE_SIGNING_REQUESTS)).items
        found = [one for one in requests if one["spec"]["signerName"] == "kubernetes.io/kubelet-serving"]
        return str(found[0]["metadata"]["name"]) if found else ""

    await cluster.kubectl("certificate", "approve", await eventually(serving))
    certificates = cluster.folder / "certificates"
    await eventually(lambda: (certificates / "kubelet-server-current.pem").exists())


async def test_it_runs_pods_whose_files_are_the_api_servers(cluster: MixedCluster, pod: Tree) -> None:
    assert pod["spec"]["nodeName"] == NODE
    assert pod["status"]["qosClass"] == "Burstable"
    assert await cluster.kubectl("logs", "one") == "began\n"
    files = "cat /words/greeting /quiet/word; ls /var/run/secrets/kubernetes.io/serviceaccount"
    told = await cluster.kubectl("exec", "one", "--", "sh", "-c", files)
    assert told == "hellohushca.crt\nnamespace\ntoken\n"


async def test_streams_reach_it(cluster: MixedCluster, pod: Tree) -> None:
    for kubectl in _tools.kubectl():
        base = [str(kubectl), f"--kubeconfig={cluster.kubeconfig}"]
        echo = await asyncio.to_thread(
            subprocess.run,
            [*base, "exec", "-i", "one", "--", "sh", "-c", "cat; echo bad >&2; exit 3"],
            input=b"through",
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (echo.returncode, echo.stdout) == (3, b"through"), (kubectl, echo.stderr)
        # kubectl may say besides that it discards the empty message by which a stream begins.
        assert b"bad\n" in echo.stderr


async def test_containers_are_added_and_resized_while_it_runs(cluster: MixedCluster, pod: Tree) -> None:
    await cluster.kubectl("debug", "one", f"--image={BUSYBOX}", "-c", "look", "--", "sh", "-c", "exit 0")

    async def ended() -> bool:
        status = (await cluster.client.get(PODS, "one", "default"))["status"]
        return any("terminated" in one["state"] for one in status.get("ephemeralContainerStatuses") or ())

    await eventually(ended)
    resources = {"name": "main", "resources": {"requests": {"cpu": "20m"}, "limits": {"cpu": "300m"}}}
    patch = json.dumps({"spec": {"containers": [resources]}})
    await cluster.kubectl("patch", "pod", "one", "--subresource=resize", "-p", patch)

    async def resized() -> bool:
        status = (await cluster.client.get(PODS, "one", "default"))["status"]["containerStatuses"][0]
        return bool(status["resources"]["limits"]["cpu"] == "300m" and status["restartCount"] == 0)

    await eventually(resized)


async def test_a_pod_that_is_deleted_is_gone_there_too(cluster: MixedCluster, containerd: Containerd) -> None:
    await cluster.kubectl("run", "brief", f"--image={BUSYBOX}", "--restart=Never")
    await until_running(cluster, "brief")
    before = len(containerd.containers())
    await cluster.kubectl("delete", "pod", "brief", "--timeout=60s")
    await eventually(lambda: len(containerd.containers()) < before)


async def test_it_has_nothing_to_complain_of(cluster: MixedCluster) -> None:
    assert cluster.peers["kubelet"].complaints(EXPECTED) == []
