"""The workers of all pods: begun once for each, and one after the other for pods of one name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from hyperkube_kubelet.pods.tools import Tools
from hyperkube_kubelet.pods.worker import PodWorker, Stage
from hyperkube_kubelet.podspec import Tree, full_name, is_static
from hyperkube_machinery import meta
from hyperkube_machinery.companions import Companions, companions

__all__ = ["Roster"]


class Roster:
    """Has the worker of each pod, also of those that are finished, until they are forgotten."""

    def __init__(self, tools: Tools, finished: Callable[[str], None]) -> None:
        """`finished`: called with the uid of a pod whose worker has ended."""
        self._tools = tools
        self._finished = finished
        self._workers: dict[str, PodWorker] = {}
        self._queued: dict[str, Tree] = {}  # static pods that wait for another one of their name to end, by uid
        self._beside: Companions | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let workers work for the length of the block; what they have started goes on after it."""
        async with companions() as self._beside:
            yield

    def get(self, uid: str) -> PodWorker | None:
        return self._workers.get(uid)

    def workers(self) -> Iterator[PodWorker]:
        return iter(list(self._workers.values()))

    def active(self) -> list[Tree]:
        """The pods that take, or may still take, something of the node by what is declared.

        Not what still stops though its object is gone, by force: the scheduler counts it no more either. Were others
        refused for its sake, their replica set would make pods as fast as they fail. Source: GetActivePods.
        """
        workers = self._workers.values()
        return [worker.pod for worker in workers if worker.stage < Stage.TERMINATED and not worker.ended]

    def begin(self, pod: Tree) -> None:
        """Start the pod's worker, once a static pod of that name is out of the way."""
        if is_static(pod) and any(self._stands_in_the_way(worker, pod) for worker in self._workers.values()):
            self._queued[meta.uid(pod)] = pod
            return
        assert self._beside is not None, "the roster does not run"
        worker = self._workers[meta.uid(pod)] = PodWorker(pod, self._tools)
        task = self._beside.start(worker.run(), name=f"pod {full_name(pod)}")
        task.add_done_callback(lambda done: self._ended(meta.uid(pod), done))

    @staticmethod
    def _stands_in_the_way(worker: PodWorker, pod: Tree) -> bool:
        return not worker.finished and is_static(worker.pod) and full_name(worker.pod) == full_name(pod)

    def unqueue(self, uid: str) -> None:
        self._queued.pop(uid, None)

    def forget(self, uid: str) -> None:
        """Forget a finished worker."""
        self._workers.pop(uid, None)

    def _ended(self, uid: str, done: asyncio.Task[None]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        self._finished(uid)
        queued, self._queued = self._queued, {}
        for pod in queued.values():
            self.begin(pod)
