"""Bringing a pod that goes on nearer to its spec. Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime (SyncPod)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from hyperkube_kubelet.cgroups.errors import CgroupFailure
from hyperkube_kubelet.containers.observed import Observed
from hyperkube_kubelet.containers.plan import Kill, Plan, plan_for
from hyperkube_kubelet.pauses import unbroken
from hyperkube_kubelet.pods.refusals import NotStarted
from hyperkube_kubelet.pods.tools import Tools
from hyperkube_kubelet.podspec import Tree, init_containers, is_sidecar, is_static, kind_of, uses_host_network
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.values import ContainerState, SandboxState
from hyperkube_kubelet.status.statuses import Waiting
from hyperkube_kubelet.volumes.manager import Mounted
from hyperkube_machinery import meta

__all__ = ["Deferred", "Syncer"]

NETWORK_NOT_READY = "network is not ready"
NETWORK_SECONDS = 1.0


class Deferred(Exception):
    """Something is left to be done later, after so many seconds; 0 where that isn't known."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"to be tried again in {seconds:g} seconds")
        self.seconds = seconds


class Syncer:
    """Does what is planned for one pod, and remembers what could not be done."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self.waiting: dict[str, Waiting] = {}  # by container that could not be started

    async def bring_forward(self, pod: Tree, observed: Observed, publish: Callable[[Observed], Tree]) -> bool:
        """Do what is to be done now; returns whether there was anything.

        Raises Deferred where some of it has to wait, RuntimeFailure, VolumeFailure and OSError where it went wrong.
        """
        tools = self._tools
        trouble = tools.state.network_trouble()
        if trouble and not uses_host_network(pod):
            tools.recorder.event(pod, "Warning", "NetworkNotReady", f"{NETWORK_NOT_READY}: {trouble}")
            raise Deferred(NETWORK_SECONDS)
        observed = await self._ensure_group(pod, observed)
        if is_static(pod):
            await tools.show(pod)
        volumes = await tools.volumes.mount(pod, tools.maker.addresses(self._ips(pod, observed)))
        plan = plan_for(pod, observed, tools.prober.verdicts)
        if plan.kill_pod:
            await self._kill_pod(pod, observed, plan)
            if not plan.create_sandbox:
                return True
        elif plan.reset:
            await self._reset(pod, observed, plan)
            return True
        else:
            await self._kill(pod, observed, plan)
        sandbox_id = plan.sandbox_id
        if plan.create_sandbox:
            sandbox_id = await self._create_sandbox(pod, plan.attempt)
            observed = await tools.sightings.observe(meta.uid(pod))
            publish(observed)
        acted = plan.kill_pod or bool(plan.kill) or plan.create_sandbox or bool(plan.starts) or bool(plan.resize)
        resized = await tools.resizer.resize(pod, plan.resize, observed)
        await self._start(pod, plan, sandbox_id, observed, volumes)
        await self._bury(pod, observed)
        if not resized:
            raise Deferred(0.0)
        return acted

    async def _ensure_group(self, pod: Tree, observed: Observed) -> Observed:
        """Have the pod's control group; what runs of the pod elsewhere is stopped first, to be begun anew in it."""
        tools = self._tools
        if tools.groups.exists(pod):
            return observed
        if observed.running:
            await tools.killer.kill_all(pod, observed, float(pod["spec"].get("terminationGracePeriodSeconds", 30)))
            for sandbox in observed.sandboxes:
                await unbroken(tools.runtime.stop_sandbox(sandbox.id))
            observed = await tools.sightings.observe(meta.uid(pod))
        try:
            await tools.groups.ensure(pod)
        except CgroupFailure as exc:
            message = f"unable to ensure pod container exists: {exc}"
            tools.recorder.event(pod, "Warning", "FailedToCreatePodContainer", message)
            raise
        return observed

    def _ips(self, pod: Tree, observed: Observed) -> Sequence[str]:
        return self._tools.host_ips if uses_host_network(pod) else observed.ips

    async def _kill(self, pod: Tree, observed: Observed, plan: Plan) -> None:
        kills = [self._tools.killer.kill(pod, kill, self._ips(pod, observed)) for kill in plan.kill]
        for failed in await asyncio.gather(*kills, return_exceptions=True):
            if isinstance(failed, BaseException):
                raise failed

    async def _reset(self, pod: Tree, observed: Observed, plan: Plan) -> None:
        """Forget all runs, so that the pod begins anew in the sandbox that it has; logs stay."""
        tools = self._tools
        for run in plan.reset:
            if run in observed.running:
                await tools.killer.kill(pod, Kill(run, "killing", grace_seconds=0.0), self._ips(pod, observed))
            await unbroken(tools.runtime.remove_container(run.id))

    async def _kill_pod(self, pod: Tree, observed: Observed, plan: Plan) -> None:
        tools = self._tools
        if plan.create_sandbox and plan.sandbox_id:
            message = "Pod sandbox changed, it will be killed and re-created."
            tools.recorder.event(pod, "Normal", "SandboxChanged", message)
        grace = float(pod["spec"].get("terminationGracePeriodSeconds", 30))
        await tools.killer.kill_all(pod, observed, grace)
        for sandbox in observed.sandboxes:
            if sandbox.state is SandboxState.READY:
                await unbroken(tools.runtime.stop_sandbox(sandbox.id))
        if plan.create_sandbox:  # in a new sandbox init containers run anew, whatever became of them in the old one
            names = {container["name"] for container in init_containers(pod)}
            for container in observed.containers:
                if container.config.name in names:
                    await unbroken(tools.runtime.remove_container(container.id))

    async def _create_sandbox(self, pod: Tree, attempt: int) -> str:
        tools = self._tools
        try:
            config = await tools.maker.sandbox(pod, attempt)
            for remark in tools.maker.dns(pod).remarks:
                tools.recorder.event(pod, "Warning", remark.reason, remark.message)
            sandbox_id = await unbroken(tools.runtime.run_sandbox(config))
        except RuntimeFailure as exc:
            tools.counts.pod_errors.inc()
            message = f"Failed to create pod sandbox: {exc}"
            tools.recorder.event(pod, "Warning", "FailedCreatePodSandBox", message)
            raise
        tools.counts.started_pods.inc()
        tools.sightings.add(meta.uid(pod), sandbox_id, attempt)
        return sandbox_id

    async def _start(
        self, pod: Tree, plan: Plan, sandbox_id: str, observed: Observed, volumes: Mapping[str, Mounted]
    ) -> None:
        """Start what is planned. Raises Deferred where something could not be."""
        waits: list[float] = []
        ips = self._ips(pod, observed)
        for container in plan.starts:
            name = container["name"]
            try:
                await self._tools.starter.start(pod, container, sandbox_id, observed, volumes, ips)
            except NotStarted as exc:
                if exc.reason != "CrashLoopBackOff":
                    self._tools.counts.errors.labels(_kind(pod, name), exc.reason).inc()
                self.waiting[name] = Waiting(exc.reason, exc.message)
                waits.append(exc.seconds)
                if container in plan.start_init and not is_sidecar(container):
                    break  # those behind it wait for it
            else:
                self._tools.counts.started.labels(_kind(pod, name)).inc()
                self.waiting.pop(name, None)
        if waits:
            publish_again = min((seconds for seconds in waits if seconds), default=0.0)
            raise Deferred(publish_again)

    async def _bury(self, pod: Tree, observed: Observed) -> None:
        """Forget runs that have ended beyond those that are kept, and sandboxes that nothing is left in."""
        tools = self._tools
        now = tools.clock.now()
        kept: set[str] = set()
        counts: dict[str, int] = {}
        for container in observed.containers:
            name = container.config.name
            counts[name] = counts.get(name, 0) + 1
            young = now - container.finished_at < tools.dead_seconds
            spared = counts[name] <= tools.kept_dead + 1 or tools.kept_dead < 0 or young
            if spared or container.state is not ContainerState.EXITED:
                kept.add(container.sandbox_id)
            else:
                await unbroken(tools.runtime.remove_container(container.id))
                tools.maker.discard(container)
        for sandbox in observed.sandboxes[1:]:
            if sandbox.id not in kept and sandbox.state is not SandboxState.READY:
                await unbroken(tools.runtime.remove_sandbox(sandbox.id))
                tools.sightings.remove(sandbox.id)


def _kind(pod: Tree, name: str) -> str:
    """As counters name it."""
    return {"init": "init_container", "regular": "container", "ephemeral": "ephemeral_container"}[kind_of(pod, name)]
