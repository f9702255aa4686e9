"""Plays scheduler and kubelets for tests of controllers: pods are bound, become ready and go; nothing is executed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from _clusters import Cluster
from _watching import is_ready

from hyperkube_machinery.builtin import NODES, PODS, SERVICE_ACCOUNTS
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.timestamps import format_seconds

Tree = Mapping[str, Any]


class Stage:
    """Every pod runs at once on one of the nodes, and is ready if `is_ready` says so of it."""

    def __init__(self, client: Client, nodes: Sequence[str], is_ready: Callable[[Tree], bool]) -> None:
        self._client = client
        self._nodes = itertools.cycle(nodes)
        self._addresses = (f"10.244.{number >> 8}.{number & 255}" for number in itertools.count(2))
        self.is_ready = is_ready
        self.lets_go = True  # whether pods that are deleted end
        self.does_its_work: Callable[[Tree], bool] = lambda _: False  # whether a pod that runs soon succeeds

    async def follow(self) -> None:
        while True:
            with suppress(APIError, ClientError):
                async for event in self._client.watch(PODS, initial_events=True):
                    if event.type in ("ADDED", "MODIFIED"):
                        with suppress(APIError):  # changed meanwhile: the change is told of too
                            await self._play(event.object)

    async def _play(self, pod: Tree) -> None:
        meta, status = pod["metadata"], pod.get("status") or {}
        if status.get("phase") in ("Succeeded", "Failed"):
            return
        if meta.get("deletionTimestamp"):
            if self.lets_go:
                await self._client.delete(PODS, meta["name"], meta["namespace"], grace_seconds=0, uid=meta["uid"])
        elif not pod["spec"].get("nodeName"):
            await self._bind(pod)
        elif status.get("phase") != "Running" or is_ready(pod) != self.is_ready(pod):
            await self.show(pod, "Running", ready=self.is_ready(pod))
        elif self.does_its_work(pod):
            await self.show(pod, "Succeeded", exit_code=0)

    async def _bind(self, pod: Tree) -> None:
        meta = pod["metadata"]
        target = {"kind": "Node", "name": _wanted_node(pod) or next(self._nodes)}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]}, "target": target}
        await self._client.create(PODS, binding, meta["namespace"], name=meta["name"], subresource="binding")

    async def show(self, pod: Tree, phase: str, *, ready: bool = False, exit_code: int | None = None) -> None:
        """Let the pod be in this phase; with an exit code its first container has ended."""
        now = format_seconds(SystemClock().now())
        address = (pod.get("status") or {}).get("podIP") or next(self._addresses)
        container = pod["spec"]["containers"][0]
        state: dict[str, Any] = {"running": {"startedAt": now}}
        if exit_code is not None:
            state = {"terminated": {"exitCode": exit_code, "finishedAt": now, "startedAt": now}}
        told = {
            "name": container["name"],
            "ready": ready,
            "restartCount": 0,
            "state": state,
            "image": "",
            "imageID": "",
        }
        status = {
            "phase": phase,
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": now,
            "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": now}],
            "containerStatuses": [told],
        }
        meta = pod["metadata"]
        patch = {"metadata": {"uid": meta["uid"]}, "status": status}
        await self._client.patch(PODS, meta["name"], patch, meta["namespace"], subresource="status")


def _wanted_node(pod: Tree) -> str:
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    fields = [field for term in required.get("nodeSelectorTerms") or () for field in term.get("matchFields") or ()]
    return str(fields[0]["values"][0]) if fields else ""


@asynccontextmanager
async def staged(
    client: Client, *nodes: str, is_ready: Callable[[Tree], bool] = lambda _: True
) -> AsyncIterator[Stage]:
    """Make the nodes (each a zone of its own), and play for the length of the block."""
    for node in nodes:
        labels = {"kubernetes.io/hostname": node, "topology.kubernetes.io/zone": f"zone-{node}"}
        await client.create(NODES, {"metadata": {"name": node, "labels": labels}})
        now = format_seconds(SystemClock().now())
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now}
        await client.patch(NODES, node, {"status": {"conditions": [ready]}}, subresource="status")
        await client.patch(NODES, node, {"spec": {"taints": None}})  # new nodes are tainted until they are ready
    stage = Stage(client, nodes, is_ready)
    playing = asyncio.create_task(stage.follow())
    try:
        yield stage
    finally:
        playing.cancel()
        with suppress(asyncio.CancelledError):
            await playing


@asynccontextmanager
async def workloads(
    cluster: Cluster, *nodes: str, is_ready: Callable[[Tree], bool] = lambda _: True
) -> AsyncIterator[Stage]:
    """A controller manager beside the API server, and nodes that only seem to run pods."""
    await cluster.start("controller-manager", *CONTROLLER_FLAGS)
    await ready_namespace(cluster.client)
    async with staged(cluster.client, *(nodes or ("a", "b", "c")), is_ready=is_ready) as stage:
        yield stage


CONTROLLER_FLAGS = (
    "--use-service-account-credentials",
    "--secure-port=0",
    # Nodes that never send a heartbeat would soon be thought dead.
    "--controllers=*,-node-lifecycle-controller,-taint-eviction-controller",
)


async def ready_namespace(client: Client) -> None:
    """Wait until pods can be made in the default namespace, or see to it."""
    with suppress(APIError):
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, "default")
