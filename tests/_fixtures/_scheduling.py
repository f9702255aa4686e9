"""Nodes that somebody only says are there, and pods that want to go to them."""

from __future__ import annotations

from typing import Any

from _clusters import Cluster, eventually

from hyperkube_machinery.builtin import NAMESPACES, NODES, PODS, SCHEDULING_EVENTS, SERVICE_ACCOUNTS
from hyperkube_machinery.errors import APIError

Tree = dict[str, Any]

SPACE = "placing"
_ZONE = "topology.kubernetes.io/zone"


class Space:
    """A namespace for pods to be placed from, in a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.client = cluster.client

    async def open(self) -> None:
        await self.client.create(NAMESPACES, {"metadata": {"name": SPACE}})
        account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
        await self.client.create(SERVICE_ACCOUNTS, account, SPACE)

    async def add_node(self, name: str, *, cpu: str = "4", taints: list[Tree] | None = None, zone: str = "") -> None:
        amounts = {"cpu": cpu, "memory": "8Gi", "pods": "10"}
        node = {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **({_ZONE: zone} if zone else {})}},
            "status": {"capacity": amounts, "allocatable": amounts},
        }
        await self.client.create(NODES, node)
        # Admission taints what has not told of itself; here nobody ever will.
        await self.client.patch(NODES, name, {"spec": {"taints": taints}})

    async def add_pod(self, name: str, *, cpu: str = "1", labels: dict[str, str] | None = None, **spec: Any) -> Tree:
        container = {"name": "app", "image": "nowhere/app", "resources": {"requests": {"cpu": cpu}}}
        pod = {"metadata": {"name": name, "labels": labels or {}}, "spec": {"containers": [container], **spec}}
        return await self.client.create(PODS, pod, SPACE)

    async def pod(self, name: str) -> Tree:
        return await self.client.get(PODS, name, SPACE)

    async def node_of(self, name: str) -> str:
        """The node that a pod is bound to; waits for that."""

        async def bound() -> str:
            node: str = (await self.pod(name))["spec"].get("nodeName", "")
            return node

        found: str = await eventually(bound)
        return found

    async def refusal(self, name: str) -> Tree:
        """The condition that says why a pod isn't scheduled; waits for it."""

        async def refused() -> Tree | None:
            found = await self.pod(name)
            conditions: list[Tree] = found["status"].get("conditions") or []
            return next((one for one in conditions if (one["type"], one["status"]) == ("PodScheduled", "False")), None)

        condition: Tree = await eventually(refused)
        return condition

    async def is_gone(self, name: str) -> bool:
        try:
            await self.pod(name)
        except APIError as exc:
            return exc.code == 404
        return False

    async def events(self, name: str, reason: str) -> list[Tree]:
        """Events about a pod; waits for the first."""

        async def told() -> list[Tree]:
            listing = await self.client.list(SCHEDULING_EVENTS, SPACE)
            return [one for one in listing.items if (one["regarding"]["name"], one["reason"]) == (name, reason)]

        found: list[Tree] = await eventually(told)
        return found
