"""A node whose containers are real: hk's servers, each a process of its own, and a kubelet on a containerd."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from _clusters import Cluster, Process, eventually, open_cluster
from _containerd import BUSYBOX, Containerd
from _watching import gone, is_ready, until_object

from hyperkube_machinery import tls
from hyperkube_machinery.builtin import CONFIG_MAPS, NODES, PODS, SERVICE_ACCOUNTS
from hyperkube_machinery.client import Client
from hyperkube_machinery.clock import SystemClock

NODE = "node-1"

Tree = dict[str, Any]


class RealNode:
    """A cluster of one node, whose kubelet may be stopped, killed and started again."""

    def __init__(self, cluster: Cluster, containerd: Containerd, folder: Path, flags: Sequence[str] = ()) -> None:
        self.cluster = cluster
        self.containerd = containerd
        self.folder = folder  # the kubelet's
        self.flags = (
            f"--hostname-override={NODE}",
            f"--root-dir={folder}",
            f"--container-runtime-endpoint={containerd.endpoint}",
            f"--cgroup-root={containerd.groups.path}",
            "--port=0",
            "--healthz-port=0",
            *flags,
        )
        self.kubelet: Process

    @property
    def client(self) -> Client:
        """The administrator's."""
        return self.cluster.client

    async def kubectl(self, *args: str, stdin: str = "", namespace: str = "default") -> str:
        """What kubectl prints, as the administrator; a failure fails the test."""
        return await self.cluster.kubectl(*args, stdin=stdin, namespace=namespace)

    async def start_kubelet(self, *flags: str) -> Process:
        """Start it, with what was asked for at first and `flags`; it finds what an earlier one has left."""
        self.kubelet = await self.cluster.start_process("kubelet", *self.flags, *flags)
        return self.kubelet

    async def restart_kubelet(self, by: signal.Signals = signal.SIGTERM) -> Process:
        await self.kubelet.end(by)
        return await self.start_kubelet()

    async def node(self, holds: Callable[[Tree], object] = lambda node: True) -> Tree:
        """The node's object, once `holds` is true of it."""
        return await until_object(self.client, NODES, NODE, holds)

    async def create(self, name: str, spec: Mapping[str, Any] | None = None, **metadata: Any) -> Tree:
        """A pod of one BusyBox, or of what `spec` says, on this node."""
        return await self.client.create(PODS, pod(name, spec, **metadata), "default")

    async def pod(self, name: str, holds: Callable[[Tree], object] = lambda pod: True, *, seconds: float = 60) -> Tree:
        """A pod, once `holds` is true of it."""
        return await until_object(self.client, PODS, name, holds, "default", seconds=seconds)

    async def running(self, name: str, *, seconds: float = 60) -> Tree:
        """A pod, once it is ready."""
        return await self.pod(name, is_ready, seconds=seconds)

    async def delete(self, *names: str, grace_seconds: int | None = None) -> None:
        """Delete pods and return once they are gone."""
        for name in names:
            await self.client.delete(PODS, name, "default", grace_seconds=grace_seconds)
        for name in names:
            await gone(self.client, PODS, name, "default")

    async def emptied(self) -> None:
        """Let no pod go on, and nothing be left of any."""
        for found in (await self.client.list(PODS, "default")).items:
            await self.delete(found["metadata"]["name"], grace_seconds=1)
        await eventually(lambda: not self.containerd.containers())


def pod(name: str, spec: Mapping[str, Any] | None = None, **metadata: Any) -> Tree:
    """A pod bound to the node."""
    given: Tree = {"containers": [{"name": "main", "image": BUSYBOX}], **(spec or {})}
    return {
        "metadata": {"name": name, **metadata},
        "spec": {"nodeName": NODE, "terminationGracePeriodSeconds": 5, **given},
    }


def _kubelet_keys(folder: Path) -> Path:
    """A folder with what the API server shows to kubelets, and what they know it by."""
    now = SystemClock().now()
    folder.mkdir()
    authority = tls.create_ca("kubelets", now=now)
    tls.save(authority, folder / "ca.crt", folder / "ca.key")
    client = tls.issue_client_certificate(authority, "kube-apiserver-kubelet-client", ["system:masters"], now=now)
    tls.save(client, folder / "client.crt", folder / "client.key")
    return folder


@asynccontextmanager
async def real_cluster(
    folder: Path, kubectl: Callable[[], Path], *flags: str, beside: Sequence[str] = ()
) -> AsyncIterator[Cluster]:
    """A cluster without a node, whose default namespace has all that pods ask for; `flags` are its API server's."""
    async with open_cluster("process", folder, kubectl, *flags) as cluster:
        authority = cluster.data_dir / "pki" / "ca.crt"
        await asyncio.gather(
            cluster.start(
                "controller-manager",
                "--secure-port=0",
                "--use-service-account-credentials",
                f"--root-ca-file={authority}",
            ),
            cluster.start("scheduler", "--secure-port=0"),
            *(cluster.start(name) for name in beside),
        )
        for resource, name in ((SERVICE_ACCOUNTS, "default"), (CONFIG_MAPS, "kube-root-ca.crt")):
            await until_object(cluster.client, resource, name, lambda found: True, "default")
        yield cluster


@asynccontextmanager
async def real_node(
    containerd: Containerd,
    folder: Path,
    kubectl: Callable[[], Path],
    *flags: str,
    beside: Sequence[str] = (),
    waits: bool = True,
) -> AsyncIterator[RealNode]:
    """A node that is ready if `waits`, in a cluster with a scheduler and a controller-manager.

    `flags` are its kubelet's.

    No pod of it is left after the block. `beside`: servers more, such as the proxy.
    """
    keys = _kubelet_keys(folder / "kubelets")
    to_kubelets = (
        "--kubelet-preferred-address-types=InternalIP",  # the name of the node is no host's
        f"--kubelet-client-certificate={keys / 'client.crt'}",
        f"--kubelet-client-key={keys / 'client.key'}",
    )
    flags = (f"--client-ca-file={keys / 'ca.crt'}", *flags)
    async with real_cluster(folder, kubectl, *to_kubelets, beside=beside) as cluster:
        node = RealNode(cluster, containerd, folder / "kubelet", flags)
        await node.start_kubelet()
        if waits:
            await node.node(is_ready)
        try:
            yield node
        finally:
            await node.emptied()
