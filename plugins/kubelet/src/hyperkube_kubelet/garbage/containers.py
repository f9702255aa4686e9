"""Removes containers that have ended, where there are too many of them or no room.

What one pod keeps of the runs of its containers its worker sees to; here it is about the whole node.
Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime/kuberuntime_gc.go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hyperkube_kubelet.containers.observed import POD_UID
from hyperkube_kubelet.garbage.errors import GarbageLeft
from hyperkube_kubelet.pauses import unbroken
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.values import Container, ContainerState, SandboxState
from hyperkube_machinery.clock import Clock

__all__ = ["ContainerCollector", "ContainerRules", "superfluous"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRules:
    """How many containers are kept that have ended; -1 for any number."""

    most: int = -1  # on the whole node
    least_age: float = 0.0  # seconds since it was made, before it is counted


def superfluous(dead: Iterable[Container], finished: Callable[[str], bool], most: int) -> list[Container]:
    """Of containers that have ended those that are to go, the oldest of each first.

    `finished`: whether nothing will run any more of the pod with that uid, whose containers all go; `most`: of the
    others together, -1 for any number. Each container keeps as many of its runs as each other, one at least.
    """
    gone: list[Container] = []
    groups: dict[tuple[str, str], list[Container]] = {}
    for container in sorted(dead, key=lambda one: -one.created_at):
        uid = container.config.labels.get(POD_UID, "")
        if finished(uid):
            gone.append(container)
        else:
            groups.setdefault((uid, container.config.name), []).append(container)
    if most < 0 or not groups or sum(map(len, groups.values())) <= most:
        return gone
    share = max(1, most // len(groups))
    for runs in groups.values():
        gone += reversed(runs[share:])
        del runs[share:]
    left = sorted((run for runs in groups.values() for run in runs), key=lambda one: -one.created_at)
    return [*gone, *reversed(left[most:])]


class ContainerCollector:
    """Removes containers of one node."""

    def __init__(
        self,
        rules: ContainerRules,
        runtime: Runtime,
        clock: Clock,
        *,
        finished: Callable[[str], bool],
        discard: Callable[[Container], None],
    ) -> None:
        """`finished`: see `superfluous`; `discard` removes the files that were made for a run."""
        self._rules = rules
        self._runtime = runtime
        self._clock = clock
        self._finished = finished
        self._discard = discard

    async def collect(self) -> None:
        """Remove what there is too much of. Raises GarbageLeft, RuntimeFailure."""
        if self._rules.most >= 0:
            await self._remove(superfluous(await self._dead(), lambda uid: False, self._rules.most))

    async def remove_unused(self) -> None:
        """Remove all of pods that have ended, whose objects are still there. Raises GarbageLeft, RuntimeFailure."""
        await self._remove(superfluous(await self._dead(), self._finished, self._rules.most))
        taken = {container.sandbox_id for container in await self._runtime.containers()}
        for sandbox in await self._runtime.sandboxes():
            idle = sandbox.state is not SandboxState.READY and sandbox.id not in taken
            if idle and self._finished(sandbox.config.uid):
                await unbroken(self._runtime.remove_sandbox(sandbox.id))

    async def _dead(self) -> list[Container]:
        now = self._clock.now()
        return [
            container
            for container in await self._runtime.containers()
            if container.state is ContainerState.EXITED and now - container.created_at >= self._rules.least_age
        ]

    async def _remove(self, containers: Sequence[Container]) -> None:
        failures: list[str] = []
        for container in containers:
            try:
                await unbroken(self._runtime.remove_container(container.id))
                if not self._finished(
                    container.config.labels.get(POD_UID, "")
                ):  # whose logs stay until its object goes
                    self._discard(container)
            except (RuntimeFailure, OSError) as exc:
                failures.append(f"{container.id}: {exc}")
        if failures:
            raise GarbageLeft(f"containers could not be removed: {'; '.join(failures)}")
