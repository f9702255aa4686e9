"""Taint eviction: pods leave nodes whose NoExecute taints they do not tolerate, or no longer.

How long a taint has been tolerated is counted from when this server first saw it, as upstream counts.
Source: k8s.io/kubernetes/pkg/controller/tainteviction.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.disruption import disruption_patch
from hyperkube_controller_manager.podstates import BY_NODE, by_node, node_of
from hyperkube_controller_manager.taints import no_execute, seconds_tolerated
from hyperkube_machinery import meta, timestamps
from hyperkube_machinery.builtin import NODES, PODS
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.informers import key_of, split_key

__all__ = ["run"]

log = logging.getLogger(__name__)

Tree = Mapping[str, Any]

_WORKERS = 8


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    controller = _Evictions(context)
    await context.synced()
    await controller.run()


@dataclass(frozen=True, slots=True)
class _Planned:
    """A pod that is to leave."""

    uid: str
    since: float  # when it was first seen that it must, on the monotonic clock
    seconds: float  # after which it does


class _Evictions:
    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._clock = context.clock
        self._pods = context.informers.of(PODS, indexes={BY_NODE: by_node})
        self._nodes = context.informers.of(NODES)
        self._planned: dict[str, _Planned] = {}
        self._controller = Controller(
            context.name, self._reconcile, clock=context.clock, workers=_WORKERS, metrics=context.metrics
        )
        self._nodes.on_change(self._on_node)
        self._pods.on_change(self._on_pod)

    async def run(self) -> None:
        await self._controller.run()

    def _on_node(self, old: Tree | None, new: Tree | None) -> None:
        taints = [no_execute(node) if node is not None else [] for node in (old, new)]
        if new is not None and taints[0] != taints[1]:
            for pod in self._pods.by(BY_NODE, meta.name(new)):
                self._controller.queue.add(key_of(pod))

    def _on_pod(self, old: Tree | None, new: Tree | None) -> None:
        if (known := new or old) is None:
            return
        same = old is not None and new is not None and _relevant(old) == _relevant(new)
        if not same and (node_of(known) or key_of(known) in self._planned):
            self._controller.queue.add(key_of(known))

    async def _reconcile(self, key: str) -> float | None:
        pod = self._pods.get(key)
        planned = self._planned.get(key)
        if planned is not None and (pod is None or meta.uid(pod) != planned.uid):
            self._cancel(key)
            planned = None
        if pod is None:
            return None
        node = self._nodes.get(node_of(pod))
        if node is None:
            return None  # whoever finds that it is gone clears its pods away
        seconds = seconds_tolerated(no_execute(node), (pod.get("spec") or {}).get("tolerations") or ())
        if seconds is None:
            self._cancel(key)
            return None
        if meta.deletion_timestamp(pod) is not None:
            self._planned.pop(key, None)
            return None
        now = self._clock.monotonic()
        since = planned.since if planned is not None else now
        self._planned[key] = _Planned(meta.uid(pod), since, seconds)
        left = since + seconds - now
        if left > 0:
            return left
        await self._evict(key, pod)
        self._planned.pop(key, None)
        return None

    def _cancel(self, key: str) -> None:
        if self._planned.pop(key, None) is not None:
            self._tell(key, f"Cancelling deletion of Pod {key}")

    async def _evict(self, key: str, pod: Tree) -> None:
        namespace, name = split_key(key)
        log.info("deleting the pod %s: it does not tolerate the taints of its node", key)
        self._tell(key, f"Marking for deletion Pod {key}")
        patch = disruption_patch(
            pod,
            reason="DeletionByTaintManager",
            message="Taint manager: deleting due to NoExecute taint",
            now=timestamps.format_seconds(self._clock.now()),
        )
        try:
            await self._client.patch(PODS, name, patch, namespace, kind="strategic", subresource="status")
            await self._client.delete(PODS, name, namespace, uid=meta.uid(pod))
        except APIError as exc:
            if exc.code != 404:
                raise

    def _tell(self, key: str, message: str) -> None:
        namespace, name = split_key(key)
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name}}
        self._recorder.event(pod, "Normal", "TaintManagerEviction", message)


def _relevant(pod: Tree) -> Any:
    return meta.uid(pod), node_of(pod), (pod.get("spec") or {}).get("tolerations")
