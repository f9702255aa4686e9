"""The pod garbage collector: pods that have ended and are too many, or that no kubelet will ever end.

Source: k8s.io/kubernetes/pkg/controller/podgc.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.disruption import disruption_patch
from hyperkube_controller_manager.podcontrol import FAILURES
from hyperkube_controller_manager.podstates import is_terminal, node_of
from hyperkube_controller_manager.spentpods import has_ended, in_excess, orphans, out_of_service, unscheduled
from hyperkube_machinery import meta, timestamps
from hyperkube_machinery.builtin import NODES, PODS
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.turns import slices

__all__ = ["run"]

log = logging.getLogger(__name__)

Tree = Mapping[str, Any]

_PERIOD_SECONDS = 20.0
_PODS_A_TURN = 250
"""Looked at before others have their turn on the loop."""
_QUARANTINE_SECONDS = 40.0
"""How long a node has to be missing before its pods are given up: caches may be behind."""

_NODE_GONE = "PodGC: node no longer exists"


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    collector = _Collector(context)
    await context.synced()
    while True:
        await collector.collect()
        await context.clock.sleep(_PERIOD_SECONDS)


class _Collector:
    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._clock = context.clock
        self._threshold = context.options.terminated_pod_gc_threshold
        self._pods = context.informers.of(PODS)
        self._nodes = context.informers.of(NODES)
        self._missing: dict[str, float] = {}  # nodes, and when they were missed first

    async def collect(self) -> None:
        """One look at all pods."""
        nodes = {meta.name(node): node for node in self._nodes.list()}
        ended: list[Tree] = []
        lost: list[Tree] = []
        orphaned: list[Tree] = []
        unplaced: list[Tree] = []
        async for pods in slices(self._pods.list(), _PODS_A_TURN):
            ended += [pod for pod in pods if has_ended(pod)]
            lost += out_of_service(pods, nodes)
            orphaned += orphans(pods, nodes)
            unplaced += unscheduled(pods)
        await self._delete(in_excess(ended, self._threshold), "it ended, and too many have")
        await self._delete(lost, "its node is out of service")
        gone = await self._gone({node_of(pod) for pod in orphaned})
        await self._delete([pod for pod in orphaned if node_of(pod) in gone], "its node is gone", _NODE_GONE)
        await self._delete(unplaced, "it is being deleted, and no node has it")

    async def _gone(self, missing: set[str]) -> set[str]:
        """Those of the nodes that have been missing for long, and are so still."""
        now = self._clock.monotonic()
        self._missing = {name: self._missing.get(name, now) for name in missing}
        return {
            name
            for name, since in self._missing.items()
            if now - since >= _QUARANTINE_SECONDS and await self._is_gone(name)
        }

    async def _is_gone(self, node: str) -> bool:
        try:
            await self._client.get(NODES, node)
        except APIError as exc:
            if exc.code == 404:
                return True
            log.warning("cannot tell whether the node %s is there: %s", node, exc)
        except FAILURES as exc:
            log.warning("cannot tell whether the node %s is there: %s", node, exc)
        return False

    async def _delete(self, pods: Sequence[Tree], why: str, message: str = "") -> None:
        for pod in pods:
            where, name = meta.namespace(pod), meta.name(pod)
            log.info("deleting the pod %s/%s: %s", where, name, why)
            try:
                if not is_terminal(pod):
                    await self._fail(pod, message)
                await self._client.delete(PODS, name, where, grace_seconds=0)
            except APIError as exc:
                if exc.code != 404:
                    log.warning("cannot delete the pod %s/%s: %s", where, name, exc)
            except FAILURES as exc:
                log.warning("cannot delete the pod %s/%s: %s", where, name, exc)

    async def _fail(self, pod: Tree, message: str) -> None:
        """Whoever waits for the pod to end is to see that it did; nobody else will say so."""
        patch: dict[str, Any] = {"metadata": {"uid": meta.uid(pod)}, "status": {}}
        if message:
            now = timestamps.format_seconds(self._clock.now())
            patch = disruption_patch(pod, reason="DeletionByPodGC", message=message, now=now)
        patch["status"] |= {"phase": "Failed", "observedGeneration": meta.generation(pod)}
        await self._client.patch(
            PODS, meta.name(pod), patch, meta.namespace(pod), kind="strategic", subresource="status"
        )
