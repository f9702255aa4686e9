"""Node IPAM: each node gets a range of pod addresses.

Source: k8s.io/kubernetes/pkg/controller/nodeipam.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.cidrs import CIDRSet, Network, NoneLeft, OutOfRange, parse
from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.options import Options
from hyperkube_core import SettingsError
from hyperkube_machinery import meta
from hyperkube_machinery.builtin import NODES
from hyperkube_machinery.client import ClientError
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.events import EventRecorder

__all__ = ["ranges_of", "run"]

log = logging.getLogger(__name__)

Tree = Mapping[str, Any]

_WORKERS = 30
_MASKS = {4: 24, 6: 64}


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    if not context.options.allocate_node_cidrs:
        log.info("nodes are given no ranges: --allocate-node-cidrs is false")
        await context.synced()
        await asyncio.get_running_loop().create_future()
    controller = _Ranges(context, ranges_of(context.options))
    await context.synced()
    controller.begin()
    await controller.run()


def ranges_of(options: Options) -> list[CIDRSet]:
    """The sets that nodes' ranges are from, one for each range of the cluster. Raises SettingsError."""
    services = [parse(one) for one in options.service_cluster_ip_range]
    sets = []
    for text in options.cluster_cidr:
        cluster = parse(text)
        try:
            ranges = CIDRSet(cluster, _mask(options, cluster))
        except ValueError as exc:
            raise SettingsError("cluster-cidr", "flag --cluster-cidr", str(exc)) from exc
        for service in services:
            if service.version == cluster.version and service.overlaps(cluster):
                ranges.occupy(service)
        sets.append(ranges)
    return sets


def _mask(options: Options, cluster: Network) -> int:
    own = options.node_cidr_mask_size_ipv4 if cluster.version == 4 else options.node_cidr_mask_size_ipv6
    return own or options.node_cidr_mask_size or _MASKS[cluster.version]


class _Ranges:
    def __init__(self, context: ControllerContext, sets: Sequence[CIDRSet]) -> None:
        self._client = context.client
        self._recorder: EventRecorder = context.recorder
        self._sets = sets
        self._given: set[str] = set()  # UIDs of nodes whose range the cache may not show yet
        self._nodes = context.informers.of(NODES)
        self._controller = Controller(
            "cidrallocator_node", self._reconcile, clock=context.clock, workers=_WORKERS, metrics=context.metrics
        )

    def begin(self) -> None:
        """Know what nodes have before any is given something."""
        for node in self._nodes.list():
            self._occupy(node)
        self._nodes.on_change(self._on_change)

    async def run(self) -> None:
        await self._controller.run()

    def _on_change(self, old: Tree | None, new: Tree | None) -> None:
        if old is not None and (new is None or meta.uid(old) != meta.uid(new)):
            self._given.discard(meta.uid(old))
            self._release(old)
        if new is not None:
            self._controller.queue.add(meta.name(new))

    async def _reconcile(self, name: str) -> None:
        node = self._nodes.get(name)
        if node is None or meta.deletion_timestamp(node) is not None:
            return
        if _cidrs(node):
            self._given.discard(meta.uid(node))
            self._occupy(node)
            return
        if meta.uid(node) in self._given:
            return
        taken = self._take(node)
        try:
            cidrs = [str(one) for one in taken]
            patch = {"metadata": {"uid": meta.uid(node)}, "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs}}
            await self._client.patch(NODES, name, patch, kind="strategic")
            self._given.add(meta.uid(node))
        except APIError:
            self._give_back(taken)
            self._tell(node, "CIDRAssignmentFailed")
            raise
        except ClientError:
            # It may have been written all the same; if not, the range comes back at the next start.
            self._tell(node, "CIDRAssignmentFailed")
            raise
        log.info("the node %s has the range %s", name, ", ".join(cidrs))

    def _take(self, node: Tree) -> list[Network]:
        taken: list[Network] = []
        try:
            for ranges in self._sets:
                taken.append(ranges.take())
        except NoneLeft as exc:
            self._give_back(taken)
            self._tell(node, "CIDRNotAvailable")
            raise ClientError(str(exc)) from exc
        return taken

    def _give_back(self, taken: Sequence[Network]) -> None:
        for ranges, cidr in zip(self._sets, taken, strict=False):
            ranges.release(cidr)

    def _occupy(self, node: Tree) -> None:
        try:
            for ranges, cidr in self._paired(node):
                ranges.occupy(cidr)
        except ValueError as exc:
            # Upstream does not start then; that would keep every other controller from working, too.
            log.error("the node %s has a range that is none of those of --cluster-cidr: %s", meta.name(node), exc)

    def _release(self, node: Tree) -> None:
        try:
            for ranges, cidr in self._paired(node):
                ranges.release(cidr)
        except ValueError as exc:
            log.warning("cannot release the range of the node %s: %s", meta.name(node), exc)

    def _paired(self, node: Tree) -> list[tuple[CIDRSet, Network]]:
        cidrs = [parse(one) for one in _cidrs(node)]
        if len(cidrs) > len(self._sets):
            raise OutOfRange(f"it has {len(cidrs)} ranges, and --cluster-cidr is {len(self._sets)}")
        return list(zip(self._sets, cidrs, strict=False))

    def _tell(self, node: Tree, status: str) -> None:
        self._recorder.event(node, "Normal", status, f"Node {meta.name(node)} status is now: {status}")


def _cidrs(node: Tree) -> Sequence[str]:
    return (node.get("spec") or {}).get("podCIDRs") or ()
