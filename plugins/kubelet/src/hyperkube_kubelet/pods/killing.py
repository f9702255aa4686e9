"""Stopping containers: hooks first, in order, within the grace that there is.

Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime (killContainer, terminationOrdering).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from hyperkube_kubelet.containers.observed import Observed
from hyperkube_kubelet.containers.plan import Kill, KillReason
from hyperkube_kubelet.pods.hooks import HookFailed, Hooks
from hyperkube_kubelet.podspec import Tree, container_named, containers, init_containers, is_sidecar
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.values import Container
from hyperkube_kubelet.telling import Recorder, container_reference
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within

__all__ = ["Killer", "grace_of", "prerequisites"]

LEAST_GRACE = 2.0
"""What even a container without grace is given, so that it is not killed needlessly. Upstream's minimum."""

Done = Mapping[str, asyncio.Event]


def grace_of(pod: Tree, container: Tree | None, reason: KillReason) -> float:
    """The seconds that a container of a pod which goes on is given."""
    if (left := meta.metadata(pod).get("deletionGracePeriodSeconds")) is not None:
        return float(left)
    of_pod = pod["spec"].get("terminationGracePeriodSeconds")
    if of_pod is None:
        return LEAST_GRACE
    probe = {"StartupProbe": "startupProbe", "LivenessProbe": "livenessProbe"}.get(reason)
    of_probe = ((container or {}).get(probe) or {}).get("terminationGracePeriodSeconds") if probe else None
    return float(of_pod if of_probe is None else of_probe)


def prerequisites(pod: Tree) -> dict[str, list[str]]:
    """By sidecar: the containers that must have ended before it is stopped. Regular ones wait for nobody."""
    regular = [container["name"] for container in containers(pod)]
    found: dict[str, list[str]] = {}
    later: list[str] = []
    for container in reversed(init_containers(pod)):
        if is_sidecar(container):
            found[container["name"]] = regular + later
            later = [container["name"]]
    return found


class Killer:
    """Stops containers."""

    def __init__(self, runtime: Runtime, hooks: Hooks, recorder: Recorder, clock: Clock) -> None:
        self._runtime = runtime
        self._hooks = hooks
        self._recorder = recorder
        self._clock = clock
        self._hooked: set[str] = set()  # ids of containers whose hook was begun: it is not run again with less grace

    async def kill(self, pod: Tree, kill: Kill, pod_ips: Sequence[str]) -> None:
        """Stop one container of a pod that goes on. Raises RuntimeFailure."""
        spec = container_named(pod, kill.container.config.name)
        grace = grace_of(pod, spec, kill.reason) if kill.grace_seconds is None else kill.grace_seconds
        await self._stop(pod, kill.container, kill.message, grace, pod_ips)

    async def kill_all(self, pod: Tree, observed: Observed, grace_seconds: float, *, tell: bool = True) -> None:
        """Stop all that runs of the pod, sidecars last. Raises RuntimeFailure.

        `tell`: whether to say so; not again where only the grace became shorter.
        """
        running = observed.running
        done = {container.config.name: asyncio.Event() for container in running}
        before = prerequisites(pod)
        try:
            async with asyncio.TaskGroup() as group:
                for container in running:
                    name = container.config.name
                    ahead = [done[other] for other in before.get(name, ()) if other in done]
                    group.create_task(
                        self._stop_in_turn(pod, container, grace_seconds, ahead, done[name], observed.ips, tell=tell)
                    )
        except BaseExceptionGroup as exc:
            raise _first(exc) from None

    async def _stop_in_turn(
        self,
        pod: Tree,
        container: Container,
        grace_seconds: float,
        ahead: Sequence[asyncio.Event],
        done: asyncio.Event,
        pod_ips: Sequence[str],
        *,
        tell: bool,
    ) -> None:
        message = f"Stopping container {container.config.name}" if tell else ""
        await self._stop(pod, container, message, grace_seconds, pod_ips, ahead)
        done.set()

    async def _stop(
        self,
        pod: Tree,
        container: Container,
        message: str,
        grace_seconds: float,
        pod_ips: Sequence[str],
        ahead: Sequence[asyncio.Event] = (),
    ) -> None:
        name = container.config.name
        spec: Tree = container_named(pod, name) or {"name": name}
        if message:
            self._recorder.event(container_reference(pod, spec), "Normal", "Killing", message)
        end = self._clock.monotonic() + grace_seconds
        hook = (spec.get("lifecycle") or {}).get("preStop")
        if hook and grace_seconds > 0 and container.id not in self._hooked:
            self._hooked.add(container.id)
            await self._pre_stop(hook, pod, spec, container, grace_seconds, pod_ips)
        for event in ahead:
            if (left := end - self._clock.monotonic()) <= 0:
                break
            try:
                await within(self._clock, left, event.wait())
            except TimeoutError:
                break
        grace = max(end - self._clock.monotonic(), LEAST_GRACE)
        await self._runtime.stop_container(container.id, grace)
        self._hooked.discard(container.id)

    async def _pre_stop(
        self, hook: Tree, pod: Tree, spec: Tree, container: Container, seconds: float, pod_ips: Sequence[str]
    ) -> None:
        """Run the hook for as long as there is grace; that it failed is told and no more."""
        try:
            await within(self._clock, seconds, self._hooks.run(hook, pod, spec, container.id, pod_ips))
        except TimeoutError:
            pass
        except HookFailed:  # what it said may be secret
            subject = container_reference(pod, spec)
            self._recorder.event(subject, "Warning", "FailedPreStopHook", "PreStopHook failed")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What to tell of several failures: a runtime's, if one is among them."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        failures = [exc for exc in found.exceptions if isinstance(exc, RuntimeFailure)]
        found = failures[0] if failures else found.exceptions[0]
    return found
