"""Node lifecycle: nodes that fall silent are said to be, and tainted so that pods leave them until they speak again.

    every --node-monitor-period: health of each node ─→ its conditions, its pods' readiness, whom to taint, zones' rates
    every 0.1 s while there are some: the next node that is to be tainted, as fast as its zone allows
    on each change of a node: NoSchedule taints and labels that follow from it

Source: k8s.io/kubernetes/pkg/controller/nodelifecycle.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.nodehealth import (
    Health,
    is_counted,
    missing_labels,
    pod_not_ready,
    ready_of,
    seen,
    silenced,
    zone_of,
)
from hyperkube_controller_manager.podcontrol import FAILURES, together
from hyperkube_controller_manager.podstates import BY_NODE, by_node, node_of
from hyperkube_controller_manager.taints import (
    NO_EXECUTE,
    NO_SCHEDULE,
    NOT_READY,
    UNREACHABLE,
    has_taint,
    scheduling_taints,
    swapped,
)
from hyperkube_controller_manager.zones import Zones
from hyperkube_machinery import meta, timestamps
from hyperkube_machinery.builtin import LEASES, NODES, PODS
from hyperkube_machinery.companions import companions
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.informers import key_of
from hyperkube_machinery.serving.turns import slices

__all__ = ["run"]

log = logging.getLogger(__name__)

Tree = Mapping[str, Any]

_LEASE_NAMESPACE = "kube-node-lease"
_TAINTING_SECONDS = 0.1
_NODES_AT_ONCE = 8
_NODES_A_TURN = 100
"""Looked at before others have their turn on the loop: a millisecond's work."""
_POD_WORKERS = 4
_ATTEMPTS = 5
_OPPOSITE = {NOT_READY: UNREACHABLE, UNREACHABLE: NOT_READY}
_TAINT_OF = {"False": NOT_READY, "Unknown": UNREACHABLE}


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    controller = _Lifecycle(context)
    await context.synced()
    await controller.run()


class _Lifecycle:
    def __init__(self, context: ControllerContext) -> None:
        options = context.options
        self._client = context.client
        self._recorder = context.recorder
        self._clock = context.clock
        self._period = options.node_monitor_period
        self._grace = options.node_monitor_grace_period
        self._startup_grace = options.node_startup_grace_period
        self._zones = Zones(
            normal=options.node_eviction_rate,
            secondary=options.secondary_node_eviction_rate,
            large_zone=options.large_cluster_size_threshold,
            threshold=options.unhealthy_zone_threshold,
            clock=context.clock,
        )
        self._nodes = context.informers.of(NODES)
        self._pods = context.informers.of(PODS, indexes={BY_NODE: by_node})
        self._leases = context.informers.of(LEASES, _LEASE_NAMESPACE)
        self._known: dict[str, Tree] = {}  # nodes, as the last look found them
        self._health: dict[str, Health] = {}
        self._to_mark: set[str] = set()  # nodes whose pods could not all be marked
        self._tainting = asyncio.Event()  # there may be somebody to taint
        self._node_changes = Controller(
            "node_lifecycle_controller",
            self._reconcile_node,
            clock=context.clock,
            workers=_NODES_AT_ONCE,
            metrics=context.metrics,
        )
        self._pod_changes = Controller(
            "node_lifecycle_controller_pods",
            self._reconcile_pod,
            clock=context.clock,
            workers=_POD_WORKERS,
            metrics=context.metrics,
        )
        self._nodes.on_change(self._on_node)
        self._pods.on_change(self._on_pod)

    async def run(self) -> NoReturn:
        async with companions(self._node_changes.run(), self._pod_changes.run(), self._taint_in_turn()):
            while True:
                await self._monitor()
                await self._clock.sleep(self._period)

    def _on_node(self, _: Tree | None, new: Tree | None) -> None:
        if new is not None:
            self._node_changes.queue.add(meta.name(new))

    def _on_pod(self, old: Tree | None, new: Tree | None) -> None:
        if new is not None and node_of(new) and (old is None or node_of(old) != node_of(new)):
            self._pod_changes.queue.add(key_of(new))

    # What follows from a node, or a pod's coming to it, at once.

    async def _reconcile_node(self, name: str) -> None:
        node = self._nodes.get(name)
        if node is None:
            return
        add, remove = scheduling_taints(node)
        if add or remove:
            await self._swap_taints(node, NO_SCHEDULE, add=add, remove=remove)
        if labels := missing_labels(node):
            await self._client.patch(NODES, name, {"metadata": {"labels": labels}}, kind="strategic")

    async def _reconcile_pod(self, key: str) -> None:
        pod = self._pods.get(key)
        node = self._nodes.get(node_of(pod)) if pod is not None else None
        ready = ready_of(node) if node is not None else None
        if pod is not None and ready is not None and ready.get("status") != "True":
            await self._mark(pod)

    # The regular look.

    async def _monitor(self) -> None:
        known = {meta.name(node): node for node in self._nodes.list()}
        self._compare(known)
        nodes = await self._each(list(known.values()), self._is_well, self._look)
        zones: dict[str, list[bool]] = {}
        async for some in slices(nodes, _NODES_A_TURN):
            for node in some:
                if is_counted(node):
                    zones.setdefault(zone_of(node), []).append(_is_ready(node))
        # Before anybody is tainted: where all are lost at once, nobody must be.
        change = self._zones.update(zones)
        if change.all_lost:
            log.warning("no node is ready: none loses its pods until one is")
            await self._each(nodes, lambda node: not _may_be_left(node), self._untaint)
        if change.some_found:
            log.info("a node is ready again: silence is counted anew")
            now = self._clock.monotonic()
            self._health = {name: replace(health, heard=now) for name, health in self._health.items()}
        await self._each(nodes, self._is_in_line, self._follow)

    async def _each(
        self, nodes: Sequence[Tree], is_fine: Callable[[Tree], bool], work: Callable[[Tree], Awaitable[Tree]]
    ) -> list[Tree]:
        """Do `work` for each node that is not fine, some at a time; all that are fine, and those that it went well for.

        Most are fine most of the time, and a cluster may have thousands.
        """
        done: list[Tree] = []
        busy: list[Tree] = []
        async for some in slices(nodes, _NODES_A_TURN):
            for node in some:
                (done if is_fine(node) else busy).append(node)
        at_once = asyncio.Semaphore(_NODES_AT_ONCE)

        async def one(node: Tree) -> None:
            async with at_once:
                try:
                    done.append(await work(node))
                except FAILURES as exc:
                    log.warning("cannot update what is said of the node %s: %s", meta.name(node), exc)

        (await together(one, busy)).check()
        return done

    def _compare(self, nodes: Mapping[str, Tree]) -> None:
        for name, node in nodes.items():
            if name not in self._known:
                self._tell(node, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        for name, node in self._known.items():
            if name not in nodes:
                self._tell(node, "RemovingNode", f"Node {name} event: Removing Node {name} from Controller")
                self._health.pop(name, None)
                self._to_mark.discard(name)
        self._known = dict(nodes)

    def _is_well(self, node: Tree) -> bool:
        """Whether nothing needs to be said of the node or its pods, as far as was heard of it."""
        return self._silent_conditions(node) is None and meta.name(node) not in self._to_mark

    async def _look(self, node: Tree) -> Tree:
        """Bring up to date what is said of `node` and its pods; returns it as it is by then."""
        name, was_ready = meta.name(node), _is_ready(node)
        node = await self._update_health(node)
        if _is_ready(node):
            self._to_mark.discard(name)
        elif was_ready:
            self._tell(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
            self._to_mark.add(name)
        if name in self._to_mark:
            await self._mark_all(name)
        return node

    async def _update_health(self, node: Tree) -> Tree:
        """Say that the node is silent if it is; returns it as it is by then."""
        for attempt in range(_ATTEMPTS):
            silent = self._silent_conditions(node)
            if silent is None:
                break
            silence = self._clock.monotonic() - self._health[meta.name(node)].heard
            log.warning("the node %s has not been heard of for %.0f s", meta.name(node), silence)
            changed = {**node, "status": {**(node.get("status") or {}), "conditions": silent}}
            try:
                return await self._client.replace(NODES, changed, subresource="status")
            except APIError as exc:
                if exc.code != 409 or attempt == _ATTEMPTS - 1:
                    raise
            node = await self._client.get(NODES, meta.name(node))
        return node

    def _silent_conditions(self, node: Tree) -> list[Tree] | None:
        name, now = meta.name(node), self._clock.monotonic()
        lease = self._leases.get(f"{_LEASE_NAMESPACE}/{name}")
        health = self._health[name] = seen(self._health.get(name), node, lease, now=now, wall=self._clock.now())
        grace = self._grace if ready_of(node) is not None else self._startup_grace
        return silenced(node, self._timestamp()) if now > health.heard + grace else None

    def _is_in_line(self, node: Tree) -> bool:
        """Whether the node's NoExecute taints follow from whether it is ready, or will when its turn comes."""
        name, wanted = meta.name(node), _wanted_taint(node)
        if _is_ready(node):
            self._zones.forget(name)
            return not _may_be_left(node)
        if wanted is None:
            return True
        if not has_taint(node, _OPPOSITE[wanted], NO_EXECUTE):
            if not has_taint(node, wanted, NO_EXECUTE):
                self._zones.await_turn(name, zone_of(node))
                self._tainting.set()
            return True
        return False

    async def _follow(self, node: Tree) -> Tree:
        """Have them follow."""
        wanted = _wanted_taint(node)
        if wanted is None:
            return await self._untaint(node)
        await self._swap_taints(node, NO_EXECUTE, add=[wanted], remove=[_OPPOSITE[wanted]])
        return node

    async def _untaint(self, node: Tree) -> Tree:
        await self._swap_taints(node, NO_EXECUTE, add=(), remove=tuple(_OPPOSITE))
        return node

    # Tainting, as fast as the zones allow.

    async def _taint_in_turn(self) -> NoReturn:
        while True:
            await self._tainting.wait()
            for name in self._zones.next_turns():
                try:
                    await self._taint(name)
                except FAILURES as exc:
                    log.warning("cannot taint the node %s: %s", name, exc)  # the next look has it wait again
            if not self._zones.are_waiting():
                self._tainting.clear()
            await self._clock.sleep(_TAINTING_SECONDS)

    async def _taint(self, name: str) -> None:
        node = await self._client.get(NODES, name)  # the cache may not show yet what was written a moment ago
        wanted = _wanted_taint(node)
        if wanted is not None:
            await self._swap_taints(node, NO_EXECUTE, add=[wanted], remove=[_OPPOSITE[wanted]])

    # Writes.

    async def _swap_taints(self, node: Tree, effect: str, *, add: Iterable[str], remove: Iterable[str]) -> None:
        name = meta.name(node)
        for attempt in range(_ATTEMPTS):
            taints = swapped(node, effect, add=add, remove=remove, now=self._timestamp())
            if taints is None:
                return
            about = {"resourceVersion": meta.resource_version(node)}
            try:
                await self._client.patch(NODES, name, {"metadata": about, "spec": {"taints": taints}})
            except APIError as exc:
                if exc.code == 404:
                    return
                if exc.code != 409 or attempt == _ATTEMPTS - 1:
                    raise
            else:
                return
            node = await self._client.get(NODES, name)

    async def _mark_all(self, name: str) -> None:
        """Say of all the node's pods that they are not ready; tried again at the next look if that fails."""
        outcome = await together(self._mark, self._pods.by(BY_NODE, name))
        if outcome.failures:
            log.warning("cannot mark all pods of the node %s as not ready: %s", name, outcome.failures[0])
        else:
            self._to_mark.discard(name)

    async def _mark(self, pod: Tree) -> None:
        conditions = pod_not_ready(pod, self._timestamp())
        if conditions is None:
            return
        status = {**pod["status"], "conditions": conditions}
        try:
            await self._client.replace(PODS, {**pod, "status": status}, subresource="status")
        except APIError as exc:
            if exc.code == 404:
                return
            raise
        self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    def _tell(self, node: Tree, reason: str, message: str) -> None:
        self._recorder.event(node, "Normal", reason, message)

    def _timestamp(self) -> str:
        return timestamps.format_seconds(self._clock.now())


def _is_ready(node: Tree) -> bool:
    ready = ready_of(node)
    return ready is not None and ready.get("status") == "True"


def _wanted_taint(node: Tree) -> str | None:
    """The key of the NoExecute taint that the node's condition calls for."""
    return _TAINT_OF.get((ready_of(node) or {}).get("status", ""))


def _may_be_left(node: Tree) -> bool:
    """Whether pods have to leave the node because it was not ready."""
    return any(has_taint(node, key, NO_EXECUTE) for key in _OPPOSITE)
