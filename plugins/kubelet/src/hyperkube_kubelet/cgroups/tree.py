"""The groups of a node's pods:

    ROOT ─▶ kubepods ─┬─▶ pod0b5e…                guaranteed
                      ├─▶ burstable ─▶ pod1c6f…
                      └─▶ besteffort ─▶ pod2d70…
Source: k8s.io/kubernetes/pkg/kubelet/cm (pod and QOS container managers).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NoReturn, Protocol

from hyperkube_kubelet.cgroups.errors import CgroupFailure
from hyperkube_kubelet.cgroups.groups import Groups
from hyperkube_kubelet.cgroups.names import Name
from hyperkube_kubelet.cgroups.policy import Policy, quality_settings
from hyperkube_kubelet.cgroups.settings import Held, Settings
from hyperkube_kubelet.podresources import BEST_EFFORT, BURSTABLE, GUARANTEED, quality_of
from hyperkube_kubelet.podspec import Tree
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions

__all__ = ["NODE_GROUP", "NoGroups", "PodGroups", "PodTree"]

log = logging.getLogger(__name__)

NODE_GROUP = "kubepods"
_POD = "pod"
_BALANCE_SECONDS = 60.0
_REMOVAL_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between attempts: who was killed is seen in its group a moment longer."""

Pods = Callable[[], Iterable[Tree]]


class PodGroups(Protocol):
    """The control groups of pods, as those who look after pods see them."""

    @property
    def top_path(self) -> str:
        """The group that all pods' are in, below where its hierarchies are mounted; "" where there is none."""

    def parent(self, pod: Tree) -> str:
        """The pod's group as a runtime is told of it; "" where it has none."""

    async def ensure(self, pod: Tree) -> None:
        """Have the pod's group, held to what the pod says; one that is there stays as it is. Raises CgroupFailure."""

    def exists(self, pod: Tree) -> bool:
        """Whether `ensure` has nothing to do."""

    def wanted(self, pod: Tree) -> Settings | None:
        """What the pod's group is to be held to; None where it has none."""

    async def hold(self, pod: Tree, settings: Settings) -> None:
        """Hold the pod's group to other limits. Raises CgroupFailure."""

    def held(self, pod: Tree) -> Held | None:
        """What the pod's group is held to; None where it can't be seen."""

    async def memory_usage(self, pod: Tree) -> int | None:
        """Bytes of memory that are charged to the pod's group; None where it can't be seen."""

    async def remove(self, uid: str) -> None:
        """Kill what is left in the groups of a pod, and remove them. Raises CgroupFailure."""

    def leftovers(self) -> set[str]:
        """The uids of pods that have a group. Blocking."""

    def running(self, pods: Pods) -> AbstractAsyncContextManager[None]:
        """Let shares follow what `pods`, the active ones, ask for, for the length of the block."""


class NoGroups:
    """For a node that keeps no groups of pods: the runtime puts containers where it likes."""

    top_path = ""

    def parent(self, pod: Tree) -> str:
        return ""

    async def ensure(self, pod: Tree) -> None:
        pass

    def exists(self, pod: Tree) -> bool:
        return True

    def wanted(self, pod: Tree) -> Settings | None:
        return None

    async def hold(self, pod: Tree, settings: Settings) -> None:
        pass

    def held(self, pod: Tree) -> Held | None:
        return None

    async def memory_usage(self, pod: Tree) -> int | None:
        return None

    async def remove(self, uid: str) -> None:
        pass

    def leftovers(self) -> set[str]:
        return set()

    @asynccontextmanager
    async def running(self, pods: Pods) -> AsyncIterator[None]:
        yield


class PodTree:
    """The groups below the node's own."""

    def __init__(
        self,
        groups: Groups,
        top: Name,
        policy: Policy,
        clock: Clock,
        *,
        memory: int = 0,
        reserved_percent: int = 0,
    ) -> None:
        """`top`: the group of all pods, which `start` makes. `memory`, `reserved_percent`: as `quality_settings`."""
        self.groups = groups
        self.policy = policy
        self.top = top
        self._qualities: Mapping[str, Name] = {
            GUARANTEED: top,
            BURSTABLE: (*top, BURSTABLE.lower()),
            BEST_EFFORT: (*top, BEST_EFFORT.lower()),
        }
        self._clock = clock
        self._memory = memory
        self._reserved_percent = reserved_percent
        self._pods: Pods = tuple
        self._balancing = asyncio.Lock()
        self._balanced: dict[str, Settings] = {}

    @property
    def top_path(self) -> str:
        return self.groups.path(self.top)

    def start(self, whole: Settings) -> None:
        """Make the group of all pods, held to `whole`, and those of the qualities. Blocking. Raises CgroupFailure."""
        self.groups.create(self.top, whole)
        for quality, settings in self._wanted(()).items():
            if quality != GUARANTEED:
                self.groups.create(self._qualities[quality], settings)

    @asynccontextmanager
    async def running(self, pods: Pods) -> AsyncIterator[None]:
        self._pods = pods
        async with companions(self._balance_always()):
            yield

    def _name(self, pod: Tree) -> Name:
        return (*self._qualities[quality_of(pod)], f"{_POD}{meta.uid(pod)}")

    def parent(self, pod: Tree) -> str:
        return self.groups.path(self._name(pod))

    async def ensure(self, pod: Tree) -> None:
        if self.exists(pod):
            return
        await self.balance()
        await asyncio.to_thread(self.groups.create, self._name(pod), self.policy.pod(pod))

    def exists(self, pod: Tree) -> bool:
        return not self.groups.missing(self._name(pod))

    def wanted(self, pod: Tree) -> Settings | None:
        return self.policy.pod(pod)

    async def hold(self, pod: Tree, settings: Settings) -> None:
        await asyncio.to_thread(self.groups.update, self._name(pod), settings)
        await self.balance()

    def held(self, pod: Tree) -> Held | None:
        return self.groups.read(self._name(pod))

    async def memory_usage(self, pod: Tree) -> int | None:
        return await asyncio.to_thread(self.groups.memory_usage, self._name(pod))

    async def remove(self, uid: str) -> None:
        for pause in (*_REMOVAL_PAUSES, None):
            left = await asyncio.to_thread(self._clear, uid)
            if not left:
                break
            if pause is None:
                raise CgroupFailure(f"control group {left} can't be removed: processes are still in it")
            await self._clock.sleep(pause)
        await self.balance()

    def _clear(self, uid: str) -> str:
        """Kill and remove what there is of a pod; returns what is left. Blocking."""
        for above in self._qualities.values():
            name = (*above, f"{_POD}{uid}")
            if not self.groups.remove(name):
                self.groups.kill(name)
                if not self.groups.remove(name):
                    return self.groups.path(name)
        return ""

    def leftovers(self) -> set[str]:
        found = (name[-1] for above in self._qualities.values() for name in self.groups.below(above))
        return {last.removeprefix(_POD) for last in found if last.startswith(_POD) and last != _POD}

    async def balance(self) -> None:
        """Let each quality have what its active pods ask for. Failures are told, and made good by the next."""
        async with self._balancing:
            for quality, settings in self._wanted(self._pods()).items():
                if self._balanced.get(quality) == settings:
                    continue
                try:
                    await asyncio.to_thread(self.groups.update, self._qualities[quality], settings)
                except CgroupFailure as exc:
                    log.warning("%s", exc)
                else:
                    self._balanced[quality] = settings

    def _wanted(self, pods: Iterable[Tree]) -> dict[str, Settings]:
        return quality_settings(
            pods,
            self.groups.hierarchies.page_sizes,
            memory=self._memory,
            reserved_percent=self._reserved_percent,
            protects=self.policy.protects_memory,
        )

    async def _balance_always(self) -> NoReturn:
        while True:
            await self.balance()
            await self._clock.sleep(_BALANCE_SECONDS)
            self._balanced.clear()  # somebody else may have changed them
