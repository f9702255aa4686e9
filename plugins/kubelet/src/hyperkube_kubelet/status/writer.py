"""Writes statuses of pods to the API server, the latest of each, and deletes the pods that have ended.

Source: k8s.io/kubernetes/pkg/kubelet/status/status_manager.go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from hyperkube_kubelet.podspec import Tree, is_mirror, is_terminal, status_of
from hyperkube_kubelet.status.conditions import with_transitions
from hyperkube_kubelet.status.patch import status_patch, to_be_written
from hyperkube_machinery import meta
from hyperkube_machinery.builtin import PODS
from hyperkube_machinery.client import Client
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.timestamps import format_seconds
from hyperkube_machinery.workqueue import WorkQueue

__all__ = ["StatusWriter"]

WRITERS = 8
RETRY_SECONDS = 10.0
"""How late a status may be after an API server that was away is back. Source: syncPeriod."""


@dataclass(slots=True)
class _Entry:
    status: dict[str, Any]
    alive: bool
    finished: bool = False
    written: Tree | None = None  # the object as the latest write left it


class StatusWriter:
    """Keeps the latest status of each pod, and sees to it that the API server has it."""

    def __init__(self, client: Client | None, clock: Clock, find: Callable[[str], Tree | None]) -> None:
        """`find`: the API server's object for a pod's uid, as far as it is known; of a static pod its mirror.

        Without a client statuses are kept and not written.
        """
        self._client = client
        self._clock = clock
        self._find = find
        self._entries: dict[str, _Entry] = {}
        queue = WorkQueue[str](clock, name="pod-status", longest_retry_seconds=RETRY_SECONDS)
        self._controller = Controller("pod-status", self._write, clock=clock, queue=queue, workers=WRITERS)

    def status(self, uid: str) -> Tree | None:
        """The status last made of a pod."""
        entry = self._entries.get(uid)
        return entry.status if entry is not None else None

    def set(self, pod: Tree, status: Tree, *, alive: bool, finished: bool = False) -> Tree:
        """Let `status` be the pod's; returns it with its times.

        `alive`: something of it may still run. `finished`: nothing will be written any more, the pod may be deleted.
        """
        uid = meta.uid(pod)
        entry = self._entries.get(uid)
        previous = entry.status if entry is not None else status_of(self._find(uid) or pod)
        now = format_seconds(self._clock.now())
        timed = dict(status)
        timed["conditions"] = with_transitions(status.get("conditions") or (), previous.get("conditions") or (), now)
        timed["startTime"] = previous.get("startTime") or now
        if entry is None:
            entry = self._entries[uid] = _Entry(timed, alive)
            changed = True
        else:
            changed = entry.status != timed or entry.alive != alive or (finished and not entry.finished)
            entry.status, entry.alive = timed, alive
        entry.finished = entry.finished or finished
        if changed:
            self.check(uid)
        return timed

    def check(self, uid: str) -> None:
        """Look whether the API server has the status: the object has changed."""
        if uid in self._entries:
            self._controller.queue.add(uid)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._entries.pop(uid, None)

    async def run(self) -> NoReturn:
        """Write until cancelled."""
        await self._controller.run()

    async def _write(self, uid: str) -> None:
        entry, client = self._entries.get(uid), self._client
        pod = self._find(uid)
        if entry is None or client is None or pod is None:
            return
        pod = _newer(pod, entry.written)
        finished = entry.finished
        wanted = to_be_written(entry.status, status_of(pod), alive=entry.alive)
        patch = status_patch(status_of(pod), wanted)
        try:
            if patch:
                body = {"metadata": {"uid": meta.uid(pod)}, "status": patch}
                pod = await client.patch(
                    PODS, meta.name(pod), body, meta.namespace(pod), kind="strategic", subresource="status"
                )
                entry.written = pod
            if (
                finished
                and meta.deletion_timestamp(pod) is not None
                and not is_mirror(pod)
                and is_terminal(status_of(pod))
            ):
                await client.delete(PODS, meta.name(pod), meta.namespace(pod), grace_seconds=0, uid=meta.uid(pod))
        except APIError as exc:
            if exc.code not in (404, 409):  # the pod is gone, or another one has its name
                raise


def _newer(known: Tree, written: Tree | None) -> Tree:
    """What was written may be ahead of what was heard of."""
    if written is None or meta.uid(written) != meta.uid(known):
        return known
    return written if int(meta.resource_version(written)) > int(meta.resource_version(known)) else known
