"""All probes of this node's pods. Source: k8s.io/kubernetes/pkg/kubelet/prober/prober_manager.go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager

from hyperkube_kubelet.containers.observed import Observed
from hyperkube_kubelet.containers.verdicts import Verdict, Verdicts
from hyperkube_kubelet.podspec import Tree, containers, init_containers, is_sidecar
from hyperkube_kubelet.probes.trying import Trier
from hyperkube_kubelet.probes.worker import ProbeKind, ProbeWorker, Target
from hyperkube_kubelet.runtime.values import ContainerState
from hyperkube_kubelet.telling import Recorder
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock

__all__ = ["Prober"]

KINDS: tuple[ProbeKind, ...] = ("liveness", "readiness", "startup")
_Key = tuple[str, ProbeKind]


class Prober:
    """Has a worker for each probe of each container of the pods that it is told of."""

    def __init__(self, trier: Trier, recorder: Recorder, clock: Clock, changed: Callable[[str], None]) -> None:
        """`changed`: called with the uid of a pod one of whose probes has come to another verdict."""
        self._trier = trier
        self._recorder = recorder
        self._clock = clock
        self._changed = changed
        self._began = clock.now()
        self._verdicts: dict[ProbeKind, dict[str, Verdict]] = {kind: {} for kind in KINDS}
        self._workers: dict[str, dict[_Key, tuple[ProbeWorker, asyncio.Task[None]]]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self.verdicts = Verdicts(*(self._verdicts[kind] for kind in KINDS))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Probe for the length of the block."""
        async with asyncio.TaskGroup() as self._tasks:
            try:
                yield
            finally:
                for uid in list(self._workers):
                    self.forget(uid)

    def follow(self, pod: Tree, observed: Observed, previous: Tree, pod_ips: tuple[str, ...]) -> None:
        """Probe what runs of `pod` now. `previous`: the status last written, for containers that ran before."""
        uid = meta.uid(pod)
        lasting = [container for container in init_containers(pod) if is_sidecar(container)]
        statuses = {
            status["name"]: status
            for field in ("initContainerStatuses", "containerStatuses")
            for status in previous.get(field) or ()
        }
        for container in [*lasting, *containers(pod)]:
            for kind in KINDS:
                if container.get(f"{kind}Probe"):
                    target = self._target(pod, container, kind, observed, statuses, pod_ips)
                    self._worker(uid, pod, container, kind).aim(target)

    def results(self) -> Iterator[tuple[tuple[str, ...], float]]:
        """How many tries of each probe came to what."""
        for of_pod in self._workers.values():
            for worker, _ in of_pod.values():
                kind, *whose = worker.about
                for result, count in worker.results.items():
                    yield (kind, result, *whose), count

    def spare(self, uid: str) -> None:
        """Let nothing of the pod be killed for its probes any more, for it is being stopped."""
        for (_, kind), (_, task) in self._workers.get(uid, {}).items():
            if kind != "readiness":
                task.cancel()

    def forget(self, uid: str) -> None:
        """Probe nothing of the pod any more."""
        for worker, task in self._workers.pop(uid, {}).values():
            task.cancel()
            worker.forget()

    def _worker(self, uid: str, pod: Tree, container: Tree, kind: ProbeKind) -> ProbeWorker:
        of_pod = self._workers.setdefault(uid, {})
        key = (container["name"], kind)
        if key not in of_pod:
            assert self._tasks is not None, "the prober does not run"
            worker = ProbeWorker(
                pod,
                container,
                kind,
                trier=self._trier,
                verdicts=self._verdicts[kind],
                changed=lambda: self._changed(uid),
                recorder=self._recorder,
                clock=self._clock,
            )
            of_pod[key] = worker, self._tasks.create_task(worker.run(), name=f"{kind} of {key[0]} in {uid}")
        return of_pod[key][0]

    def _target(
        self,
        pod: Tree,
        container: Tree,
        kind: ProbeKind,
        observed: Observed,
        statuses: Mapping[str, Tree],
        pod_ips: tuple[str, ...],
    ) -> Target | None:
        latest = observed.latest(container["name"])
        if latest is None:
            return None
        running = latest.state is ContainerState.RUNNING
        old = statuses.get(container["name"])
        kept: Verdict = None
        ran_before = running and latest.started_at < self._began
        if ran_before and old is not None and str(old.get("containerID", "")).endswith(latest.id):
            kept = {"liveness": None, "readiness": old.get("ready"), "startup": old.get("started") or None}[kind]
        return Target(
            container_id=latest.id,
            running=running,
            started=self._has_started(container, latest.id, running=running),
            started_at=latest.started_at,
            pod_ip=pod_ips[0] if pod_ips else "",
            deleting=meta.deletion_timestamp(pod) is not None,
            kept=kept,
        )

    def _has_started(self, container: Tree, container_id: str, *, running: bool) -> bool:
        return running and (not container.get("startupProbe") or self._verdicts["startup"].get(container_id) is True)
