"""The command line of a production node starts the kubelet as it is, with its files elsewhere and its ports free.

It is one of 2018: some of its flags act, others do nothing any more, and each of those is told of once.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import _tools
import pytest
import yaml
from _clusters import Cluster, Process, eventually, open_cluster
from _containerd import BUSYBOX, Containerd
from _watching import gone, is_ready, until_object

from hyperkube_machinery import kubeconfig
from hyperkube_machinery.builtin import (
    CERTIFICATE_SIGNING_REQUESTS,
    CLUSTER_ROLE_BINDINGS,
    CONFIG_MAPS,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
)

pytestmark = pytest.mark.anyio

COMMAND_LINE = """
--v=2 --cloud-provider=gce
--experimental-mounter-path=/home/kubernetes/containerized_mounter/mounter
--experimental-check-node-capabilities-before-mount=true --cert-dir=/var/lib/kubelet/pki/
--cni-bin-dir=/home/kubernetes/bin --allow-privileged=true --kubeconfig=/var/lib/kubelet/kubeconfig
--experimental-kernel-memcg-notification=true --max-pods=110 --network-plugin=kubenet
--node-labels=beta.kubernetes.io/fluentd-ds-ready=true,cloud.google.com/gke-nodepool=default-pool,cloud.google.com/gke-os-distribution=cos
--volume-plugin-dir=/home/kubernetes/flexvolume --registry-qps=10 --registry-burst=20
--bootstrap-kubeconfig=/var/lib/kubelet/bootstrap-kubeconfig --node-status-max-images=25
--config /home/kubernetes/kubelet-config.yaml
"""

IDLE = (
    "experimental-mounter-path",
    "experimental-check-node-capabilities-before-mount",
    "cni-bin-dir",
    "experimental-kernel-memcg-notification",
    "network-plugin",
    "volume-plugin-dir",
)
"""What does nothing any more, and is told of."""

HEALTH_MONITOR = """
# As a node's own: what doesn't answer within a while is killed, and whoever watches over it starts it again.
while [ -e "$2" ]; do
  if ! curl --silent --show-error --fail --max-time 2 "http://127.0.0.1:$1/healthz" > /dev/null; then
    kill -KILL "$(cat "$2")" && rm "$2"
  fi
  sleep 0.2
done
"""

TOKEN = "abcdef.0123456789abcdef"
NODE = socket.gethostname().strip().lower()
REQUESTS = "system:certificates.k8s.io:certificatesigningrequests"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class GKENode:
    """A production node, but for where its files are."""

    def __init__(self, cluster: Cluster, containerd: Containerd, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder  # stands for /
        self.state = folder / "var/lib/kubelet"
        self.healthz, self.read_only = free_port(), free_port()
        home = folder / "home/kubernetes"
        for path in (home, self.state, folder / "etc/kubernetes/manifests"):
            path.mkdir(parents=True)
        admin = kubeconfig.read(cluster.kubeconfig)
        joining = kubeconfig.Access(server=admin.server, ca_pem=admin.ca_pem, token=TOKEN)
        kubeconfig.write(self.state / "bootstrap-kubeconfig", joining, cluster="local", user="kubelet")
        (home / "kubelet-config.yaml").write_text(yaml.safe_dump(self._config(containerd)))

    def _config(self, containerd: Containerd) -> dict[str, Any]:
        return {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": str(self.cluster.data_dir / "pki" / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "clusterDNS": ["10.0.0.10"],
            "clusterDomain": "cluster.local",
            "enableDebuggingHandlers": True,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%"},
            "featureGates": {
                "DynamicKubeletConfig": False,
                "ExperimentalCriticalPodAnnotation": True,
                "NodeLease": True,
                "RotateKubeletServerCertificate": True,
            },
            "kubeReserved": {"cpu": "60m", "ephemeral-storage": "1Gi", "memory": "96Mi"},
            "readOnlyPort": self.read_only,
            "serverTLSBootstrap": True,
            "staticPodPath": str(self.folder / "etc/kubernetes/manifests"),
            # Of this test alone: where its containerd is, and which ports and control groups are free.
            "containerRuntimeEndpoint": containerd.endpoint,
            "cgroupRoot": str(containerd.groups.path),
            "port": free_port(),
            "healthzPort": self.healthz,
        }

    @property
    def args(self) -> list[str]:
        return [re.sub(r"(?<=[ =])/|^/", f"{self.folder}/", arg) for arg in shlex.split(COMMAND_LINE)]

    def begin(self) -> Process:
        """Start the kubelet; what upstream has in /var/lib/kubelet unless told is in the folder that stands for it."""
        return self.cluster.begin("kubelet", *self.args, environment={"HK_KUBELET_ROOT_DIR": str(self.state)})


@pytest.fixture
async def gke(containerd: Containerd, tmp_path: Path) -> AsyncIterator[GKENode]:
    flags = ("--enable-bootstrap-token-auth", "--kubelet-preferred-address-types=InternalIP")
    async with open_cluster("process", tmp_path, lambda: _tools.kubectl()[0], *flags) as cluster:
        client, pki = cluster.client, cluster.data_dir / "pki"
        await cluster.start(
            "controller-manager",
            "--secure-port=0",
            "--use-service-account-credentials",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--cluster-signing-cert-file={pki / 'ca.crt'}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
        )
        await cluster.start("scheduler", "--secure-port=0")
        await client.create(SECRETS, _token())
        for name, role, group in (
            ("join", "system:node-bootstrapper", "system:bootstrappers"),
            ("first", f"{REQUESTS}:nodeclient", "system:bootstrappers"),
        ):
            await client.create(CLUSTER_ROLE_BINDINGS, _binding(name, role, group))
        for resource, name in ((SERVICE_ACCOUNTS, "default"), (CONFIG_MAPS, "kube-root-ca.crt")):
            await until_object(client, resource, name, lambda found: True, "default")
        yield GKENode(cluster, containerd, tmp_path / "root")
        await eventually(lambda: not containerd.containers())


def _token() -> dict[str, Any]:
    id_, secret = TOKEN.split(".")
    data = {"token-id": id_, "token-secret": secret, "usage-bootstrap-authentication": "true"}
    metadata = {"name": f"bootstrap-token-{id_}", "namespace": "kube-system"}
    return {"metadata": metadata, "type": "bootstrap.kubernetes.io/token", "stringData": data}


def _binding(name: str, role: str, group: str) -> dict[str, Any]:
    whom = {"kind": "Group", "name": group, "apiGroup": "rbac.authorization.k8s.io"}
    role_ref = {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"}
    return {"metadata": {"name": f"test-{name}"}, "subjects": [whom], "roleRef": role_ref}


def restarts(found: dict[str, Any]) -> list[int]:
    return [one["restartCount"] for one in found["status"]["containerStatuses"]]


async def test_a_production_nodes_kubelet_starts_and_is_watched_over(gke: GKENode) -> None:
    client = gke.cluster.client
    kubelet = gke.begin()
    node = await until_object(client, NODES, NODE, is_ready)

    # What still means something acts.
    labels = node["metadata"]["labels"]
    assert labels["cloud.google.com/gke-nodepool"] == "default-pool"
    assert "beta.kubernetes.io/fluentd-ds-ready" not in labels  # no label of a kubelet's own any more
    assert node["status"]["capacity"]["pods"] == "110"
    assert len(node["status"]["images"]) <= 25
    current = gke.state / "pki" / "kubelet-client-current.pem"
    written = kubeconfig.read(gke.state / "kubeconfig")
    assert (written.certificate_file, written.key_file, written.namespace) == (current, current, "default")
    assert await _asked(gke.read_only, "/healthz") == "ok"
    assert '"kind":"PodList"' in await _asked(gke.read_only, "/pods")

    # What doesn't is told of, once each.
    for flag in IDLE:
        assert kubelet.log.count(f"flag --{flag} has no effect") == 1, flag
    for text in ("--cloud-provider=gce has no effect", "the feature gate DynamicKubeletConfig has no effect"):
        assert kubelet.log.count(text) == 1, text

    # Pods run, and its API has a certificate once somebody approves it.
    await client.create(PODS, _pod("first"))
    pod = await until_object(client, PODS, "first", is_ready, "default")
    for csr in (await client.list(CERTIFICATE_SIGNING_REQUESTS)).items:
        if csr["spec"]["signerName"] == "kubernetes.io/kubelet-serving":
            await gke.cluster.kubectl("certificate", "approve", csr["metadata"]["name"])
    await eventually((gke.state / "pki" / "kubelet-server-current.pem").exists)
    assert pod["spec"]["nodeName"] == NODE

    # A kubelet that hangs is killed by the node's own monitor; the next goes on where it was.
    monitored = gke.folder / "kubelet.pid"
    monitored.write_text(str(kubelet.pid))
    (gke.folder / "health-monitor.sh").write_text(HEALTH_MONITOR)
    monitor = await asyncio.create_subprocess_exec(
        "bash", str(gke.folder / "health-monitor.sh"), str(gke.healthz), str(monitored), stderr=asyncio.subprocess.PIPE
    )
    try:
        os.kill(kubelet.pid, signal.SIGSTOP)
        _, complaint = await asyncio.wait_for(monitor.communicate(), 60)
    finally:
        if monitor.returncode is None:
            monitor.kill()
            await monitor.wait()
    assert b"timed out" in complaint
    assert await kubelet.end(signal.SIGKILL) == -signal.SIGKILL
    gke.begin()
    await eventually(lambda: _asked(gke.healthz, "/healthz"))
    await client.create(PODS, _pod("second"))
    await until_object(client, PODS, "second", is_ready, "default")
    assert restarts(await client.get(PODS, "first", "default")) == [0]
    for name in ("first", "second"):
        await client.delete(PODS, name, "default", grace_seconds=1)
        await gone(client, PODS, name, "default")


def _pod(name: str) -> dict[str, Any]:
    spec = {"terminationGracePeriodSeconds": 1, "containers": [{"name": "main", "image": BUSYBOX}]}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def _asked(port: int, path: str) -> str:
    """What is answered there; "" where nobody listens."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return ""
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n".encode())
        head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
    finally:
        writer.close()
    return body.decode()
