"""What is learnt of the cluster, brought to the cache and the queue: at once, or once the running attempt is over.

An attempt must see one and the same cluster from its beginning to its end, though others have the loop in between. So
while it runs (`held`), changes wait in line.

Source of what follows from what: k8s.io/kubernetes/pkg/scheduler/eventhandlers.go.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from hyperkube_machinery import meta
from hyperkube_scheduler.cache import Cache
from hyperkube_scheduler.framework.events import Action, Event, Kind, node_events, pod_events
from hyperkube_scheduler.nodeinfo import NodeFacts
from hyperkube_scheduler.podinfo import PodInfo, read_pod
from hyperkube_scheduler.queue import SchedulingQueue
from hyperkube_scheduler.slices import Slices

__all__ = ["Changes"]

log = logging.getLogger(__name__)

Tree = dict[str, Any]
_A_SLICE = 20


class Changes:
    """Handlers for informers of pods, nodes and namespaces."""

    def __init__(self, cache: Cache, queue: SchedulingQueue, responsible: Callable[[str], bool]) -> None:
        """`responsible`: whether pods of a scheduler's name are ours."""
        self._cache = cache
        self._queue = queue
        self._responsible = responsible
        self.pending: dict[str, PodInfo] = {}
        """Pods without a node that are ours, as they were last seen, by their uid."""
        self._is_held = False
        self._waiting: deque[Callable[[], None]] = deque()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nothing change until the end of the block, nor before `catch_up`."""
        self._is_held = True
        yield

    def do(self, change: Callable[[], None]) -> None:
        """Change something that attempts look at, now or as soon as may be."""
        if self._is_held:
            self._waiting.append(change)
        else:
            change()

    def catch_up(self) -> Slices[None]:
        """Let go, after all that waits has happened, in its order."""
        number = 0
        while self._waiting:
            change = self._waiting.popleft()
            try:
                change()
            except Exception:  # as where an informer makes it at once
                log.exception("a change of the cluster can't be followed")
            number += 1
            if number % _A_SLICE == 0:
                yield
        self._is_held = False

    # Told by informers

    def on_pod(self, old: Tree | None, new: Tree | None) -> None:
        # Of two objects that had one name after the other, the first is gone.
        if old is not None and (new is None or meta.uid(old) != meta.uid(new)):
            self.do(partial(self._pod_gone, meta.uid(old)))
        if new is not None:
            self.do(partial(self._pod_seen, read_pod(new)))

    def on_node(self, old: Tree | None, new: Tree | None) -> None:
        if new is not None:
            self.do(partial(self._node_seen, NodeFacts(new)))
        elif old is not None:
            self.do(partial(self._node_gone, meta.name(old)))

    def on_namespace(self, old: Tree | None, new: Tree | None) -> None:
        if new is not None:
            self.do(partial(self._cache.set_namespace, meta.name(new), meta.labels_of(new)))
        elif old is not None:
            self.do(partial(self._cache.remove_namespace, meta.name(old)))

    # Pods

    def _pod_seen(self, pod: PodInfo) -> None:
        if pod.node_name:
            self._placed(pod)
        elif self._responsible(pod.template.scheduler_name):
            self._unplaced(pod)

    def _placed(self, pod: PodInfo) -> None:
        """It has a node: by us, or by somebody else."""
        if self.pending.pop(pod.uid, None) is not None:
            self._queue.delete(pod.uid)
        is_new = self._cache.is_assumed(pod.uid)
        before = self._cache.pod(pod.uid)
        self._cache.set_pod(pod)
        if before is None or is_new:
            self._queue.move(Event(Kind.POD, Action.ADD, new=pod))
            return
        for event in pod_events(before, pod):
            self._queue.move(event)

    def _unplaced(self, pod: PodInfo) -> None:
        before = self.pending.get(pod.uid)
        self.pending[pod.uid] = pod
        if before is None:
            self._queue.add(pod)
            return
        if meta.resource_version(before.tree) == meta.resource_version(pod.tree):
            return
        if self._cache.is_assumed(pod.uid):
            if pod.terminating and not before.terminating:
                self._give_up(pod.uid)
            return
        self._queue.update(before, pod)
        if before.nominated and before.nominated != pod.nominated:
            self._free_promise(before)

    def _pod_gone(self, uid: str) -> None:
        pending = self.pending.pop(uid, None)
        if pending is not None:
            self._queue.delete(uid)
            if self._cache.is_assumed(uid):
                self._give_up(uid)
            elif pending.nominated:
                self._free_promise(pending)
            return
        pod = self._cache.pod(uid)
        if pod is not None:
            self._cache.remove_pod(uid)
            self._queue.move(_left(pod))

    def _give_up(self, uid: str) -> None:
        """An assumed pod is being deleted: its binding will fail, or come to nothing."""
        pod = self._cache.pod(uid)
        if pod is not None:
            self._cache.forget(uid)
            self._queue.move(_left(pod))

    def _free_promise(self, pod: PodInfo) -> None:
        """The node that was promised to a pod is as good as left, for pods that don't go before it."""
        self._queue.move(_left(pod), lambda other: other.priority <= pod.priority)

    # Nodes

    def _node_seen(self, facts: NodeFacts) -> None:
        known = self._cache.node(facts.name)
        before = known.facts if known is not None else None
        self._cache.set_node(facts)
        if before is None:
            self._queue.move(Event(Kind.NODE, Action.ADD, new=facts))
            return
        for event in node_events(before, facts):
            self._queue.move(event)

    def _node_gone(self, name: str) -> None:
        node = self._cache.node(name)
        if node is not None:
            self._queue.move(Event(Kind.NODE, Action.DELETE, old=node.facts))
            self._cache.remove_node(name)


def _left(pod: PodInfo) -> Event:
    return Event(Kind.POD, Action.DELETE, old=pod)
