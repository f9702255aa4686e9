"""Keeps the node's object in the API server: made, corrected, its status told, its lease renewed.

    register ─→ status at once ─→ each `frequency`: look; write if something changed, or every five minutes
             └→ lease: renewed each quarter of its duration, from the first moment on

Source: registerWithAPIServer and syncNodeStatus in k8s.io/kubernetes/pkg/kubelet/kubelet_node_status.go,
k8s.io/component-helpers/apimachinery/lease.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn

from hyperkube_kubelet.node.happenings import Happening, happenings
from hyperkube_kubelet.node.status import NodeView, changed, new_node, node_status
from hyperkube_machinery import meta
from hyperkube_machinery.backoff import Backoff
from hyperkube_machinery.builtin import LEASES, NODES
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.timestamps import format_micro

__all__ = ["NodeKeeper"]

log = logging.getLogger(__name__)

Tree = Mapping[str, Any]

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
REPORT_SECONDS = 300.0
"""How often a status is written in which nothing is new."""
_STATUS_ATTEMPTS = 5


class NodeKeeper:
    """One node's object, status and lease."""

    def __init__(
        self,
        name: str,
        client: Client,
        clock: Clock,
        look: Callable[[], Awaitable[NodeView]],
        *,
        known: Callable[[], Tree | None] = lambda: None,
        frequency_seconds: float = 10.0,
        registers: bool = True,
        taints: Sequence[tuple[str, str, str]] = (),
        provider_id: str = "",
        report_seconds: float = REPORT_SECONDS,
        lease_seconds: int = LEASE_SECONDS,
        tell: Callable[[Happening], None] = lambda happening: None,
        clouded: bool = False,
    ) -> None:
        """`look` tells what the node is now; `known` its object, as far as that was heard of; `tell` makes events.

        `clouded`: whether somebody else, who knows the cloud, gives the node its addresses.
        """
        self._name = name
        self._client = client
        self._clock = clock
        self._look = look
        self._known = known
        self._frequency = frequency_seconds
        self._registers = registers
        self._taints = taints
        self._provider_id = provider_id
        self._report_seconds = report_seconds
        self._lease_seconds = lease_seconds
        self._tell = tell
        self._clouded = clouded
        self._schedulable: bool | None = None  # as it was last told
        self._registered = asyncio.Event()
        self._created = False
        self._reported = 0.0
        self._lease: Tree | None = None

    async def registered(self) -> None:
        """Return once the node is there, and its status was written once."""
        await self._registered.wait()

    async def run(self) -> NoReturn:
        """Keep all three until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_lease(), name=f"lease of {self._name}")
            await self._register()
            while True:
                if await self._report():
                    self._registered.set()
                await self._clock.sleep(self._frequency)
        raise AssertionError("a task group ends only by an error")

    # The object.

    async def _register(self) -> None:
        if not self._registers:
            return
        backoff = Backoff(self._clock, first=0.1, longest=7.0)
        while True:
            try:
                await self._create_or_correct()
                return
            except (APIError, ClientError) as exc:
                log.warning("cannot register node %s: %s", self._name, exc)
                await self._clock.sleep(backoff.next())

    async def _create_or_correct(self) -> None:
        view = await self._look()
        node = new_node(view, taints=self._taints, provider_id=self._provider_id, now=self._clock.now())
        try:
            await self._client.create(NODES, node)
        except APIError as exc:
            if exc.reason != "AlreadyExists":
                raise
            await self._correct(node)
        else:
            self._created = True
        log.info("node %s is registered", self._name)

    async def _correct(self, wanted: Tree) -> None:
        """Give a node that was there before the labels that it must have; its taints are whoever's wrote them."""
        there = await self._client.get(NODES, self._name)
        labels = {
            name: value for name, value in meta.labels_of(wanted).items() if meta.labels_of(there).get(name) != value
        }
        if labels:
            await self._client.patch(NODES, self._name, {"metadata": {"labels": labels}}, kind="strategic")

    # Its status.

    async def _report(self) -> bool:
        """Write the status if it has to be; returns whether it is as it should be."""
        complaint: Exception | None = None
        for attempt in range(_STATUS_ATTEMPTS):
            try:
                # Thousands of nodes that ask for themselves every ten seconds are most of what a server has to do.
                node = self._known() if attempt == 0 else None
                await self._report_once(node or await self._client.get(NODES, self._name))
                return True
            except (APIError, ClientError) as exc:
                complaint = exc
        log.warning("cannot write the status of node %s: %s", self._name, complaint)
        if isinstance(complaint, APIError) and complaint.code == 404:
            await self._register()  # somebody deleted it
        return False

    async def _report_once(self, node: Tree) -> None:
        before, now = node.get("status") or {}, self._clock.now()
        after = node_status(await self._look(), before, now)
        if self._clouded and before.get("addresses"):
            after["addresses"] = before["addresses"]
        due = self._clock.monotonic() - self._reported >= self._report_seconds or not self._registered.is_set()
        if due or changed(before, after):
            await self._client.patch(NODES, self._name, {"status": after}, kind="strategic", subresource="status")
            self._reported = self._clock.monotonic()
        self._tell_of(node, before, after)

    def _tell_of(self, node: Tree, before: Tree, after: Tree) -> None:
        # A new node's first status was written when it was registered.
        told = before if self._registered.is_set() or not self._created else {}
        for happening in happenings(self._name, told, after):
            self._tell(happening)
        schedulable = not (node.get("spec") or {}).get("unschedulable")
        if self._schedulable is not None and schedulable != self._schedulable:
            reason = "NodeSchedulable" if schedulable else "NodeNotSchedulable"
            self._tell(Happening("Normal", reason, f"Node {self._name} status is now: {reason}"))
        self._schedulable = schedulable

    # Its lease.

    async def _keep_lease(self) -> NoReturn:
        backoff = Backoff(self._clock, first=0.1, longest=7.0, jitter=0.1)
        while True:
            try:
                await self._renew()
            except (APIError, ClientError) as exc:
                self._lease = None
                log.debug("cannot renew the lease of node %s: %s", self._name, exc)
                await self._clock.sleep(backoff.next())
                continue
            backoff.reset()
            await self._clock.sleep(self._lease_seconds / 4)

    async def _renew(self) -> None:
        renewed = format_micro(self._clock.now())
        if self._lease is None or not meta.owner_references(self._lease):  # made before its node was
            self._lease = await self._lease_there(renewed)
            return
        spec = {**self._lease["spec"], "renewTime": renewed}
        self._lease = await self._client.replace(LEASES, {**self._lease, "spec": spec})

    async def _lease_there(self, renewed: str) -> Tree:
        """The lease, renewed, made if there is none; it goes with its node."""
        spec = {"holderIdentity": self._name, "leaseDurationSeconds": self._lease_seconds, "renewTime": renewed}
        try:
            there = await self._client.get(LEASES, self._name, LEASE_NAMESPACE)
        except APIError as exc:
            if exc.code != 404:
                raise
            metadata: dict[str, Any] = {"name": self._name, "namespace": LEASE_NAMESPACE}
            if owner := await self._owner():
                metadata["ownerReferences"] = [owner]
            lease = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
            return await self._client.create(LEASES, lease, LEASE_NAMESPACE)
        metadata = dict(there["metadata"])
        if not metadata.get("ownerReferences") and (owner := await self._owner()):
            metadata["ownerReferences"] = [owner]
        return await self._client.replace(LEASES, {**there, "metadata": metadata, "spec": {**there["spec"], **spec}})

    async def _owner(self) -> dict[str, str] | None:
        try:
            node = await self._client.get(NODES, self._name)
        except APIError as exc:
            if exc.code != 404:
                raise
            return None  # it isn't registered yet; the next renewal looks again
        return {"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": meta.uid(node)}
