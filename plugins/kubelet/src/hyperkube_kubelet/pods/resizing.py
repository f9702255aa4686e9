"""Holding a pod that runs to what it was given meanwhile: its group and its containers, in the order that fits.

    what grows     the pod's group, then its containers
    what shrinks   its containers, then its group
Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime (doPodResizeAction).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hyperkube_kubelet.allocation.allocations import Allocations
from hyperkube_kubelet.cgroups.errors import CgroupFailure
from hyperkube_kubelet.cgroups.settings import Step, steps_to
from hyperkube_kubelet.cgroups.tree import PodGroups
from hyperkube_kubelet.containers.limits import Rules, container_limits
from hyperkube_kubelet.containers.observed import Having, Observed, having
from hyperkube_kubelet.containers.plan import Resize
from hyperkube_kubelet.containers.resizing import RESIZED, Resource, mixed, sizes_of
from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_machinery import meta

__all__ = ["Resizer", "group_steps"]


class _Refused(Exception):
    """A change that would end what runs."""


def group_steps(groups: PodGroups, pod: Tree) -> list[Step]:
    """What the pod's group is not held to yet."""
    wanted, now = groups.wanted(pod), groups.held(pod)
    return steps_to(wanted, now) if wanted is not None and now is not None else []


class Resizer:
    """Changes what pods' groups and containers are held to."""

    def __init__(self, runtime: Runtime, groups: PodGroups, allocations: Allocations, rules: Rules) -> None:
        self._runtime = runtime
        self._groups = groups
        self._allocations = allocations
        self._rules = rules

    async def resize(self, pod: Tree, planned: Sequence[Resize], observed: Observed) -> bool:
        """Do what is planned for the containers of `pod`, and what its group needs; whether all of it could be done.

        What could not is told, and is for another time.
        """
        steps = group_steps(self._groups, pod)
        if not steps and not planned:
            return True
        try:
            await self._check_memory(pod, planned, steps)
            for resource in RESIZED:
                await self._change(pod, resource, planned, steps, observed)
        except (RuntimeFailure, CgroupFailure, _Refused) as exc:
            self._allocations.failed(pod, str(exc))
            return False
        return True

    async def _change(
        self, pod: Tree, resource: Resource, planned: Sequence[Resize], steps: Iterable[Step], observed: Observed
    ) -> None:
        of_group = [step for step in steps if step.resource == resource]
        for step in of_group:
            if step.grows:
                await self._groups.hold(pod, step.settings)
        # What shrinks makes room for what grows.
        concerned = [one for one in planned if resource in one.resources]
        for one in sorted(concerned, key=lambda one: _growth(pod, one, resource)):
            await self._change_container(pod, one, resource, observed)
        for step in of_group:
            if not step.grows:
                await self._groups.hold(pod, step.settings)

    async def _change_container(self, pod: Tree, planned: Resize, resource: Resource, observed: Observed) -> None:
        container, uid = planned.container, meta.uid(pod)
        has = self._allocations.records.actuated(uid).get(container.id) or having(container)
        assert has is not None, "nothing is planned for a container of which nothing is known"
        own = mixed(has[0], planned.spec.get("resources") or {}, resource)
        whole = pod["spec"].get("resources")
        of_pod = mixed(has[1] or {}, whole, resource) if whole is not None else None
        wanted = {**pod, "spec": {**pod["spec"], "resources": of_pod}}
        limits = container_limits(wanted, {**planned.spec, "resources": own}, self._rules)
        await self._runtime.update_limits(container.id, replace(container.config, limits=limits))
        changed: Having = (own, of_pod)
        self._allocations.records.actuate(uid, container.id, changed, (one.id for one in observed.containers))

    async def _check_memory(self, pod: Tree, planned: Sequence[Resize], steps: Iterable[Step]) -> None:
        """Raise _Refused where memory that is in use would have to be taken away."""
        wrong = []
        shrinks = next((step for step in steps if step.resource == "memory" and not step.grows), None)
        shrinking = {
            one.container.id: (one.spec["name"], wanted)
            for one in planned
            if (wanted := _shrunk_memory(pod, one)) is not None
        }
        if shrinks is not None and shrinks.settings.memory_bytes:
            used = await self._groups.memory_usage(pod)
            if used is not None and used >= shrinks.settings.memory_bytes:
                limit = shrinks.settings.memory_bytes
                wrong.append(f"attempting to set pod memory limit ({limit}) below current usage ({used})")
        if shrinking:
            for stats in await self._runtime.stats():
                name, limit = shrinking.get(stats.container_id, ("", 0))
                used = stats.usage_bytes if stats.usage_bytes is not None else stats.memory_bytes
                if name and used >= limit:
                    what = f'container "{name}" memory limit ({limit})'
                    wrong.append(f"attempting to set {what} below current usage ({used})")
        if wrong:
            text = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
            raise _Refused(f"cannot decrease memory limits: {text}")


def _growth(pod: Tree, planned: Resize, resource: Resource) -> int:
    """By how much the container's limit, or else its request, grows."""
    has = having(planned.container) or ({}, None)
    now = sizes_of(*has, resource)
    wanted = sizes_of(planned.spec.get("resources") or {}, pod["spec"].get("resources"), resource)
    return wanted.limit - now.limit or wanted.request - now.request


def _shrunk_memory(pod: Tree, planned: Resize) -> int | None:
    """The container's limit in bytes, if it is to be less than it is."""
    has = having(planned.container)
    if has is None or "memory" not in planned.resources:
        return None
    now = sizes_of(*has, "memory").limit
    wanted = sizes_of(planned.spec.get("resources") or {}, pod["spec"].get("resources"), "memory").limit
    return wanted if wanted and (not now or wanted < now) else None
