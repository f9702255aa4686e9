"""Many nodes in one process, on which nothing runs: for clusters that only have to look large.

A hollow pod goes through its states by the rules of `runtime.hollow`. Of its spec nothing is done: no volumes are
mounted, no probe is tried, no hook is run, no token is asked for. One watch tells of the pods of all nodes.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from hyperkube_kubelet.equipment import Upkeep
from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.nodes import Cluster, Node, PodSource, node_running
from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.runtime.hollow import HollowRuntime
from hyperkube_kubelet.runtimestate import RuntimeState
from hyperkube_kubelet.telling import Recorder
from hyperkube_machinery.builtin import NODES, PODS
from hyperkube_machinery.client import Client
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.informers import Handler, Informers, drop_managed_fields

__all__ = ["Fleet", "hollow_node_running", "hollowed", "node_ranges"]

log = logging.getLogger(__name__)

_LEFT_OUT = ("env", "envFrom", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe", "volumeMounts")
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_RANGE = "10.128.0.0/9"
"""Of all hollow pods; each node has a 24th of it, as far as they go."""


def hollowed(pod: dict[str, Any]) -> dict[str, Any]:
    """`pod` without what a hollow node doesn't do; the tree is changed."""
    drop_managed_fields(pod)
    spec: dict[str, Any] = pod["spec"]
    spec.pop("volumes", None)
    for field in _CONTAINERS:
        for container in spec.get(field) or ():
            for part in _LEFT_OUT:
                container.pop(part, None)
    return pod


def node_ranges(count: int) -> Sequence[str]:
    """The range of pods' addresses for each of so many nodes. Raises ValueError for more than there are."""
    ranges = ipaddress.ip_network(_RANGE).subnets(new_prefix=24)
    found = [str(each) for each, _ in zip(ranges, range(count), strict=False)]
    if len(found) < count:
        raise ValueError(f"there are addresses for {len(found)} nodes only")
    return found


class Fleet(Cluster):
    """The API server for many nodes: what one of them asks is read for all."""

    def __init__(self, client: Client, informers: Informers) -> None:
        super().__init__(client, informers)
        self._pods = informers.of(
            PODS, keep=hollowed, indexes={"node": lambda pod: [pod["spec"].get("nodeName") or ""]}
        )
        self._nodes = informers.of(NODES)
        self._handlers: dict[str, Handler] = {}
        self._pods.on_change(self._pass_on)

    def pods(self, node: str) -> PodSource:
        return _Share(self, node)

    def node(self, name: str) -> Callable[[], Tree | None]:
        return lambda: self._nodes.get(name)

    def services(self) -> Callable[[], Iterable[Tree] | None]:
        return lambda: ()

    @property
    def synced(self) -> bool:
        return self._pods.synced

    def hand_over(self, node: str, handler: Handler) -> None:
        """Tell `handler` of the pods of one node, of those that are known at once."""
        self._handlers[node] = handler
        for pod in self._pods.by("node", node):
            handler(None, pod)

    def _pass_on(self, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        before, after = _node_of(old), _node_of(new)
        if before == after:
            if handler := self._handlers.get(after):
                handler(old, new)
            return
        if handler := self._handlers.get(before):
            handler(old, None)
        if handler := self._handlers.get(after):
            handler(None, new)


def _node_of(pod: Tree | None) -> str:
    return (pod["spec"].get("nodeName") or "") if pod is not None else ""


class _Share:
    """One node's pods of a fleet's."""

    def __init__(self, fleet: Fleet, node: str) -> None:
        self._fleet = fleet
        self._node = node

    @property
    def synced(self) -> bool:
        return self._fleet.synced

    def on_change(self, handler: Handler, /) -> None:
        self._fleet.hand_over(self._node, handler)


@asynccontextmanager
async def hollow_node_running(
    facts: NodeFacts, pod_cidr: str, upkeep: Upkeep, *, cluster: Cluster | None, recorder: Recorder, clock: Clock
) -> AsyncIterator[Node]:
    """Look after the pods of one hollow node for the length of the block."""
    async with AsyncExitStack() as stack:
        runtime = HollowRuntime(clock, pod_cidr=pod_cidr)
        stack.push_async_callback(runtime.close)
        state = RuntimeState(runtime, clock)
        await state.look()
        yield await stack.enter_async_context(
            node_running(
                facts,
                runtime,
                state,
                replace(upkeep, own_files=False, root=upkeep.root / facts.name),
                cluster=cluster,
                recorder=recorder,
                clock=clock,
            )
        )
