"""What users see of scheduling: events, and the conditions of pods.

Source: k8s.io/kubernetes/pkg/scheduler/schedule_one.go (handleSchedulingFailure, updatePod), pkg/api/v1/pod.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from hyperkube_machinery import meta
from hyperkube_machinery.builtin import PODS
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import Companions
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.timestamps import format_seconds
from hyperkube_scheduler.framework.interface import Nomination
from hyperkube_scheduler.podinfo import PodInfo

__all__ = ["Recorder", "StatusWriter", "condition_patch", "status_patch"]

log = logging.getLogger(__name__)

Tree = dict[str, Any]


class Recorder(Protocol):
    """A recorder of events.k8s.io."""

    def event(
        self,
        obj: Tree,
        kind: Literal["Normal", "Warning"],
        reason: str,
        note: str,
        *,
        action: str,
        related: Tree | None = None,
    ) -> None: ...


def condition_patch(pod: Mapping[str, Any], condition: Mapping[str, str], now: float) -> Tree | None:
    """`condition` as it is to be written into the pod's status; None if it says so already.

    The time of transition is that of another status: True, False or Unknown.
    """
    known: Mapping[str, Any] = next(
        (one for one in (pod.get("status") or {}).get("conditions") or () if one.get("type") == condition["type"]),
        {},
    )
    if known and all(known.get(field, "") == condition[field] for field in ("status", "reason", "message")):
        return None
    same = known.get("status") == condition["status"] and known.get("lastTransitionTime")
    return {
        **condition,
        "observedGeneration": meta.generation(pod),
        "lastProbeTime": None,
        "lastTransitionTime": known["lastTransitionTime"] if same else format_seconds(now),
    }


def status_patch(
    pod: PodInfo, condition: Mapping[str, str] | None, nomination: Nomination | None, now: float
) -> Tree | None:
    """What is to change in a pod's status, as a strategic merge patch; None if nothing is."""
    status: Tree = {}
    if condition is not None:
        changed = condition_patch(pod.tree, condition, now)
        if changed is not None:
            status["conditions"] = [changed]
    if nomination is not None and nomination.node != pod.nominated:
        status["nominatedNodeName"] = nomination.node or None
    return {"metadata": {"uid": pod.uid}, "status": status} if status else None


class StatusWriter:
    """Writes statuses of pods, each pod's one after the other; of several that wait the last counts."""

    def __init__(self, client: Client, clock: Clock, tasks: Companions) -> None:
        self._client = client
        self._clock = clock
        self._tasks = tasks
        self._waiting: dict[str, tuple[PodInfo, Tree]] = {}
        self._writing: set[str] = set()
        self._free = asyncio.Semaphore(16)

    def write(
        self, pod: PodInfo, condition: Mapping[str, str] | None = None, nomination: Nomination | None = None
    ) -> None:
        """Have it written, without waiting; what can't be written is logged, and seen to by the next attempt."""
        patch = status_patch(pod, condition, nomination, self._clock.now())
        if patch is None:
            return
        waiting = self._waiting.get(pod.uid)
        if waiting is not None:
            patch["status"] = {**waiting[1]["status"], **patch["status"]}
        self._waiting[pod.uid] = (pod, patch)
        if pod.uid not in self._writing:
            self._writing.add(pod.uid)
            self._tasks.start(self._empty(pod.uid), name=f"status of {pod.key}")

    async def _empty(self, uid: str) -> None:
        try:
            while True:
                async with self._free:
                    waiting = self._waiting.pop(uid, None)
                    if waiting is None:
                        return
                    await self._write(*waiting)
        finally:
            self._writing.discard(uid)

    async def _write(self, pod: PodInfo, patch: Tree) -> None:
        try:
            await self._client.patch(PODS, pod.name, patch, pod.namespace, kind="strategic", subresource="status")
        except APIError as exc:
            if exc.code not in (404, 409):  # gone, or another one by now
                log.error("the status of pod %s can't be written: %s", pod.key, exc)
        except ClientError as exc:
            log.warning("the status of pod %s can't be written: %s", pod.key, exc)
