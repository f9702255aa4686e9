"""Passes on what is heard: of pods from their sources, of containers from the runtime, of probes.

    API server ─┐                          ┌─▶ worker of a pod ─▶ runtime, volumes, status
    files ──────┼─▶ SyncLoop ─▶ admission ─┤
    runtime ────┘      └─▶ housekeeping    └─▶ worker of another
Source: k8s.io/kubernetes/pkg/kubelet (syncLoop, HandlePodAdditions and the like).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn

from hyperkube_kubelet.admission import Rejection
from hyperkube_kubelet.containers.observed import Observed
from hyperkube_kubelet.eviction.evictor import Eviction
from hyperkube_kubelet.housekeeping import Housekeeper
from hyperkube_kubelet.judging import Judge
from hyperkube_kubelet.pods.directory import PodDirectory
from hyperkube_kubelet.pods.roster import Roster
from hyperkube_kubelet.pods.tools import Tools
from hyperkube_kubelet.podspec import Tree, is_mirror, is_static, is_terminal, status_of
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.sources.mirrors import Mirrors
from hyperkube_machinery import meta
from hyperkube_machinery.companions import Companions, companions
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.serving.metrics import Registry, Sample

__all__ = ["SyncLoop"]

log = logging.getLogger(__name__)

HOUSEKEEPING_SECONDS = 30.0
_LEAST_HANGING_SECONDS = 300.0
"""After which a loop that does not go round is taken to hang, however seldom pods are looked at."""
RUNTIME_SECONDS = 1.0
FIRST_LOOK_SECONDS = 10.0
"""How long a kubelet that starts waits for its runtime before it goes on without pods."""


class SyncLoop:
    """Has all pods of this node, and hears of all that happens to them."""

    def __init__(
        self,
        tools: Tools,
        directory: PodDirectory,
        mirrors: Mirrors,
        housekeeper: Housekeeper,
        *,
        node: Callable[[], Tree],
        fetch_node: Callable[[], Awaitable[Tree]] | None,
        sources_ready: Callable[[], bool],
        refuses: Callable[[Tree], Rejection | None] = lambda pod: None,
    ) -> None:
        """`node`: its object as far as it is known; `fetch_node` asks the API server for it.

        `sources_ready`: whether every source has told of all its pods. `refuses`: why a pod is not taken whatever the
        node has, for it is short of something.
        """
        self._tools = tools
        self._directory = directory
        self._mirrors = mirrors
        self._housekeeper = housekeeper
        self._sources_ready = sources_ready
        self._roster = Roster(tools, self._finished)
        self._judge = Judge(tools, directory, self._roster, self._do, node=node, fetch_node=fetch_node, refuses=refuses)
        self._beside: Companions | None = None
        self.found = asyncio.Event()  # whether it is known what runs already
        self._clearing: set[str] = set()
        self._went_round = tools.clock.monotonic()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look after pods for the length of the block; what runs goes on after it.

        Pods are to come once `found` is set: before that it isn't known what runs of them already.
        """
        with suppress(TimeoutError, RuntimeFailure):
            await within(self._tools.clock, FIRST_LOOK_SECONDS, self._look_around())
        async with self._roster.running(), companions() as self._beside:
            self._beside.start(self._follow_runtime(), name="runtime events")
            self._beside.start(self._keep_house(), name="housekeeping")
            self._beside.start(self._tools.allocations.run(self._judge.retry_resizes), name="resizes")
            yield

    # What sources tell.

    def changed(self, old: Tree | None, new: Tree | None) -> None:
        """A pod of a source has come, changed or gone."""
        if old is not None and (new is None or meta.uid(old) != meta.uid(new)):
            self._gone(old)
        if new is not None:
            self._seen(new)

    def _seen(self, pod: Tree) -> None:
        if is_mirror(pod):
            self._mirror_seen(pod)
            return
        uid = meta.uid(pod)
        self._directory.put(pod)
        if uid in self._clearing:
            return  # it was here before, and comes back once what is left of it is gone
        worker = self._roster.get(uid)
        if worker is not None:
            worker.update(pod)
            self._judge.resize(pod)
        else:
            self._judge.judge(pod)
        self._tools.writer.check(uid)

    def _mirror_seen(self, mirror: Tree) -> None:
        self._directory.put_mirror(mirror)
        pod = self._directory.static_of(mirror)
        if pod is None:
            if self._sources_ready():
                self._do(self._mirrors.remove(mirror))
            return
        self._wake(meta.uid(pod))
        self._tools.writer.check(meta.uid(pod))

    def _gone(self, pod: Tree) -> None:
        if is_mirror(pod):
            self._directory.drop_mirror(pod)
            shown = self._directory.static_of(pod)
            if shown is not None:
                self._wake(meta.uid(shown))  # which makes it anew
            return
        uid = meta.uid(pod)
        if is_static(pod) and (mirror := self._directory.mirror_of(pod)) is not None:
            self._do(self._mirrors.remove(mirror))
        self._directory.drop(uid)
        self._roster.unqueue(uid)
        worker = self._roster.get(uid)
        if worker is None or worker.finished:
            self._clear(uid)
        else:
            worker.end()

    # What the runtime and probes tell.

    def wake(self, uid: str) -> None:
        """A probe of the pod has come to another verdict."""
        self._wake(uid)

    def show_static(self) -> None:
        """The node's object is there, which mirrors of static pods belong to."""
        for worker in self._roster.workers():
            if is_static(worker.pod):
                worker.wake()

    def _wake(self, uid: str) -> None:
        worker = self._roster.get(uid)
        if worker is not None:
            worker.wake()

    async def _find_runtime(self) -> None:
        """Wait for the runtime, and learn what runs already."""
        while True:
            try:
                await self._look_around()
                return
            except RuntimeFailure as exc:
                log.warning("waiting for the runtime: %s", exc)
                await self._tools.clock.sleep(RUNTIME_SECONDS)

    async def _look_around(self) -> None:
        """Learn what runs already. Raises RuntimeFailure."""
        began = self._tools.clock.monotonic()
        await self._tools.sightings.refresh()
        self._tools.counts.relist_seconds.observe(self._tools.clock.monotonic() - began)
        self.found.set()

    async def _follow_runtime(self) -> NoReturn:
        tools = self._tools
        if not self.found.is_set():
            await self._find_runtime()
        while True:
            try:
                async for event in tools.runtime.events():
                    uid = tools.sightings.uid_of(event.sandbox_id)
                    if not uid:
                        continue  # of a sandbox that is only now being made, or gone
                    self._wake(uid)
            except RuntimeFailure as exc:
                log.warning("the runtime is not heard of: %s", exc)
                await tools.clock.sleep(RUNTIME_SECONDS)
                await self._find_runtime()
                for worker in self._roster.workers():
                    worker.wake()

    # What is left when pods are gone.

    def _finished(self, uid: str) -> None:
        """A worker has ended."""
        pod = self._directory.get(uid)
        self._judge.made_room()
        if pod is None:
            self._clear(uid)
        elif is_static(pod) and not is_terminal(status_of(pod)) and self._ended_by_removal(uid):
            self._roster.forget(uid)  # its file was taken away and put back meanwhile
            self._tools.writer.forget(uid)
            self._roster.begin(pod)

    def _ended_by_removal(self, uid: str) -> bool:
        worker = self._roster.get(uid)
        return worker is not None and worker.ended

    def _clear(self, uid: str) -> None:
        if uid not in self._clearing:
            self._clearing.add(uid)
            self._do(self._clear_away(uid))

    async def _clear_away(self, uid: str) -> None:
        try:
            await self._housekeeper.clear(uid)
        finally:
            self._clearing.discard(uid)
        self._roster.forget(uid)
        self._tools.writer.forget(uid)
        self._tools.starter.forget(uid)
        self._tools.allocations.forget(uid)
        self._judge.retry_resizes()
        if (pod := self._directory.get(uid)) is not None:
            self._seen(pod)

    async def _keep_house(self) -> NoReturn:
        """Clear away what belongs to no pod that any source knows, once they have all told of theirs."""
        clock = self._tools.clock
        while True:
            self._went_round = clock.monotonic()
            if not self._sources_ready():
                await clock.sleep(RUNTIME_SECONDS)
                continue
            try:
                left = await asyncio.to_thread(self._housekeeper.leftovers)
            except OSError as exc:
                log.warning("it can't be seen what is left of pods: %s", exc)
                left = set()
            for uid in left:
                if self._directory.get(uid) is None and self._roster.get(uid) is None:
                    log.info("clearing away what is left of the pod with uid %s", uid)
                    self._clear(uid)
            for uid in self._tools.allocations.records.uids():
                if self._directory.get(uid) is None and self._roster.get(uid) is None:
                    self._tools.allocations.forget(uid)
            for mirror in self._directory.mirrors():
                if self._directory.static_of(mirror) is None:
                    self._do(self._mirrors.remove(mirror))
            await clock.sleep(HOUSEKEEPING_SECONDS)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._beside is not None, "the loop does not run"
        self._beside.start(work)

    # What others ask.

    async def check(self) -> None:
        """Raise RuntimeError where the loop hangs. Source: SyncLoopHealthCheck in pkg/kubelet/kubelet.go"""
        longest = max(2 * self._tools.sync_seconds, _LEAST_HANGING_SECONDS)
        if self._tools.clock.monotonic() - self._went_round > longest:
            raise RuntimeError("sync Loop took longer than expected")

    def count(self, registry: Registry) -> None:
        """Have the pods and containers of this node counted."""
        registry.collect("kubelet_desired_pods", "Pods that sources tell of.", self._desired, ["static"])
        registry.collect(
            "kubelet_mirror_pods", "Mirrors of static pods.", lambda: [((), len(self._directory.mirrors()))]
        )
        registry.collect("kubelet_active_pods", "Pods that have not ended.", self._active, ["static"])
        registry.collect("kubelet_node_name", "The node's name.", lambda: [((self._tools.facts.name,), 1)], ["node"])
        registry.collect("kubelet_running_pods", "Pods whose sandbox is ready.", self._running_pods)
        allocations = self._tools.allocations
        registry.collect("kubelet_pod_pending_resizes", "Resizes that are put off.", allocations.counted, ["reason"])
        registry.collect(
            "kubelet_pod_in_progress_resizes", "Resizes that are being made.", lambda: [((), allocations.unfinished)]
        )
        registry.collect(
            "kubelet_running_containers", "Containers by their state.", self._containers, ["container_state"]
        )
        self._tools.counts.probes.collect(
            "prober_probe_total",
            "Tries of probes.",
            self._tools.prober.results,
            ["probe_type", "result", "container", "pod", "namespace", "pod_uid"],
            kind="counter",
        )

    def _desired(self) -> list[Sample]:
        return _by_source(self._directory.pods())

    def _active(self) -> list[Sample]:
        return _by_source(self._roster.active())

    def _running_pods(self) -> list[Sample]:
        return [((), sum(worker.observed.ready_sandbox is not None for worker in self._roster.workers()))]

    def _containers(self) -> list[Sample]:
        states = Counter(one.state.value for worker in self._roster.workers() for one in worker.observed.containers)
        return [((state,), count) for state, count in sorted(states.items())]

    def active(self) -> Sequence[Tree]:
        """The pods that run here, or are to: all that have not ended."""
        return self._roster.active()

    def seen(self) -> Iterator[tuple[Tree, Observed]]:
        """The pods that something may run of, each with what was last seen of it."""
        return ((worker.pod, worker.observed) for worker in self._roster.workers() if not worker.finished)

    def evict(self, pod: Tree, eviction: Eviction) -> None:
        """Have a pod fail, and stop it."""
        worker = self._roster.get(meta.uid(pod))
        if worker is not None:
            worker.evict(eviction.reason, eviction.message, eviction.grace_seconds, disrupted=eviction.disrupts)

    def is_cleared(self, uid: str) -> bool:
        """Whether nothing of a pod runs or takes room any more."""
        worker = self._roster.get(uid)
        return worker is None or worker.finished

    def settled(self) -> bool:
        """Whether all pods are known, and each was looked at: until then what runs seems to be nobody's."""
        return self._sources_ready() and all(worker.has_looked for worker in self._roster.workers())

    def has_ended(self, uid: str) -> bool:
        """Whether a pod is known here that nothing will run of any more."""
        worker = self._roster.get(uid)
        return worker is not None and worker.finished

    def pods(self) -> Sequence[Tree]:
        """The pods of this node, each with its status as it is known here."""
        return [self._shown(pod) for pod in self._directory.pods()]

    def pod_named(self, namespace: str, name: str) -> Tree | None:
        pod = self._directory.named(namespace, name)
        return self._shown(pod) if pod is not None else None

    def _shown(self, pod: Tree) -> Tree:
        status = self._tools.writer.status(meta.uid(pod))
        return {**pod, "status": status} if status is not None else pod


def _by_source(pods: Sequence[Tree]) -> list[Sample]:
    static = sum(is_static(pod) for pod in pods)
    return [(("false",), len(pods) - static), (("true",), static)]
