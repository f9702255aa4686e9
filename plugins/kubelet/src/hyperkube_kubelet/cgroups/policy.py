"""What the groups of a node and its pods are to be held to. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/cm (ResourceConfigForPod, getCgroupConfig, UpdateCgroups).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hyperkube_kubelet.cgroups.conversions import LEAST_SHARES, PERIOD_MICROSECONDS, quota_of, shares_of
from hyperkube_kubelet.cgroups.settings import UNBOUNDED, Settings
from hyperkube_kubelet.podresources import (
    BEST_EFFORT,
    BURSTABLE,
    GUARANTEED,
    Amounts,
    amounts_of,
    containers_declare,
    page_sizes,
    pod_limits,
    pod_requests,
    quality_of,
)
from hyperkube_kubelet.podspec import Tree
from hyperkube_machinery.quantity import Quantity

__all__ = ["Policy", "quality_settings", "reserved_settings", "whole_settings"]

_NOTHING = Quantity(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a node holds its pods."""

    cpu_quota: bool = True  # whether limits of processor time are held by a quota
    cpu_period: int = PERIOD_MICROSECONDS
    pods_pids: int = -1  # processes of one pod; less than one: no limit
    protects_memory: bool = False  # memory QoS: requests are kept from being reclaimed (version 2)

    def pod(self, pod: Tree) -> Settings:
        """What a pod's group is to be held to."""
        requests, limits, quality = pod_requests(pod), pod_limits(pod), quality_of(pod)
        pids = self.pods_pids if self.pods_pids > 0 else None
        hugepages = page_sizes(requests)
        if quality == BEST_EFFORT:
            return Settings(cpu_shares=LEAST_SHARES, hugepages=hugepages, pids=pids)
        cpu_limited = quality == GUARANTEED or containers_declare(pod, "cpu")
        memory_limited = quality == GUARANTEED or containers_declare(pod, "memory")
        return Settings(
            cpu_shares=shares_of(requests.get("cpu", _NOTHING).milli),
            cpu_quota=self.quota(limits.get("cpu", _NOTHING).milli) if cpu_limited else None,
            cpu_period=self.cpu_period if cpu_limited else None,
            memory_bytes=limits.get("memory", _NOTHING).value if memory_limited else None,
            hugepages=hugepages,
            pids=pids,
            unified=self._protected(quality == GUARANTEED, requests),
        )

    def quota(self, milli: int) -> int:
        """The quota of a limit in thousandths of a processor, -1 where none is held."""
        return quota_of(milli, self.cpu_period) if self.cpu_quota else -1

    def _protected(self, guaranteed: bool, requests: Amounts) -> Mapping[str, int]:
        memory = requests.get("memory", _NOTHING).value
        if not self.protects_memory or not memory:
            return {}
        return {"memory.min" if guaranteed else "memory.low": memory}


def whole_settings(allocatable: Mapping[str, str], *, pids: int | None, sizes: Iterable[int] = ()) -> Settings:
    """Of the group of all pods: what the node may give to pods, and as many processes. `sizes`: of huge pages."""
    amounts = amounts_of(allocatable)
    return Settings(
        cpu_shares=shares_of(amounts.get("cpu", _NOTHING).milli),
        memory_bytes=amounts["memory"].value if "memory" in amounts else None,
        pids=pids,
        hugepages={**dict.fromkeys(sizes, 0), **page_sizes(amounts)},
    )


def reserved_settings(reserved: Mapping[str, str], *, compressible: bool) -> Settings:
    """Of a group that stands for what is reserved; `compressible`: processor time alone."""
    amounts = amounts_of(reserved)
    shares = shares_of(amounts["cpu"].milli) if "cpu" in amounts else None
    if compressible:
        return Settings(cpu_shares=shares)
    return Settings(
        cpu_shares=shares,
        memory_bytes=amounts["memory"].value if "memory" in amounts else None,
        pids=amounts["pid"].value if "pid" in amounts else None,
        hugepages=page_sizes(amounts),
    )


@dataclass(slots=True)
class _Sums:
    cpu_milli: int = 0
    memory: dict[str, int] = field(default_factory=lambda: {GUARANTEED: 0, BURSTABLE: 0})


def quality_settings(
    pods: Iterable[Tree], sizes: Iterable[int], *, memory: int = 0, reserved_percent: int = 0, protects: bool = False
) -> dict[str, Settings]:
    """Of the groups of each quality of service, by what the pods that are active ask for.

    `sizes`: of huge pages. `memory` is what the node may give to pods, of which `reserved_percent` of what
    better pods ask for is kept from the others. `protects`: as `Policy.protects_memory`.
    """
    sums = _Sums()
    for pod in pods:
        quality = quality_of(pod)
        if quality == BEST_EFFORT:
            continue
        requests = pod_requests(pod)
        sums.memory[quality] += requests.get("memory", _NOTHING).value
        if quality == BURSTABLE:
            sums.cpu_milli += requests.get("cpu", _NOTHING).milli
    unbounded = dict.fromkeys(sizes, UNBOUNDED)
    burstable_memory = best_effort_memory = None
    if reserved_percent and memory:
        burstable_memory = memory - sums.memory[GUARANTEED] * reserved_percent // 100
        best_effort_memory = burstable_memory - sums.memory[BURSTABLE] * reserved_percent // 100
    of_all: dict[str, int] = {}
    of_burstable: dict[str, int] = {}
    if protects:
        of_all = {"memory.min": sums.memory[GUARANTEED] + sums.memory[BURSTABLE]}
        of_burstable = {"memory.low": sums.memory[BURSTABLE]}
    return {
        GUARANTEED: Settings(hugepages=unbounded, unified=of_all),
        BURSTABLE: Settings(
            cpu_shares=shares_of(sums.cpu_milli),
            memory_bytes=burstable_memory,
            hugepages=unbounded,
            unified=of_burstable,
        ),
        BEST_EFFORT: Settings(cpu_shares=LEAST_SHARES, memory_bytes=best_effort_memory, hugepages=unbounded),
    }
