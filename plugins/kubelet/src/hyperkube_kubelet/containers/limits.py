"""What containers and sandboxes may use. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime (kuberuntime_container_linux.go, kuberuntime_sandbox_linux.go),
pkg/kubelet/qos/policy.go.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from hyperkube_kubelet.cgroups.conversions import PERIOD_MICROSECONDS, page_name, quota_of, shares_of
from hyperkube_kubelet.podresources import (
    BEST_EFFORT,
    BURSTABLE,
    GUARANTEED,
    Amounts,
    amounts_of,
    container_requests,
    has_pod_level,
    is_critical,
    of_pod,
    page_sizes,
    pod_limits,
    pod_requests,
    quality_of,
)
from hyperkube_kubelet.podspec import Tree, containers, init_containers, is_sidecar
from hyperkube_kubelet.runtime.values import Limits
from hyperkube_machinery.quantity import Quantity

__all__ = ["Rules", "container_limits", "sandbox_limits", "sandbox_overhead"]

_NOTHING = Quantity(0)
_NODE_CRITICAL = "system-node-critical"
_LAST, _FIRST = -997, 1000
"""Of whom the kernel kills for memory: pods that were promised theirs, and pods that were promised nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What of a node the limits of its containers depend on."""

    memory_capacity: int  # bytes
    memory_allocatable: int = 0  # bytes, for pods
    swap_capacity: int = 0  # bytes
    cpu_quota: bool = True  # whether limits of processor time are held by a quota
    cpu_period: int = PERIOD_MICROSECONDS
    page_sizes: tuple[int, ...] = ()  # of huge pages
    version: int = 0  # of control groups; 0 for none, or where nothing is known of them
    swap_counted: bool = False  # whether the kernel counts swap by control groups
    limited_swap: bool = False  # whether containers may swap some
    protects_memory: bool = False  # version 2: the kernel leaves containers the memory that they ask for
    throttling: float = 0.9
    kills_alone: bool = False  # version 2: one process out of memory doesn't end those beside it


def container_limits(pod: Tree, container: Tree, rules: Rules) -> Limits:
    """What a container's resources, and the pod's where it has none of its own, come to."""
    resources: Tree = container.get("resources") or {}
    limits, requests = amounts_of(resources.get("limits")), amounts_of(resources.get("requests"))
    whole = of_pod(pod, "limits") if has_pod_level(pod) else {}
    cpu_limit = limits.get("cpu") or whole.get("cpu", _NOTHING)
    memory = (limits.get("memory") or whole.get("memory", _NOTHING)).value
    request = requests.get("memory", _NOTHING).value
    unified = _unified(pod, request, limits.get("memory", _NOTHING).value, rules)
    unified |= _swap(pod, limits, requests, rules)
    return Limits(
        cpu_shares=shares_of(requests.get("cpu", cpu_limit).milli),
        cpu_quota=(quota_of(cpu_limit.milli, rules.cpu_period) or None) if rules.cpu_quota else None,
        cpu_period=rules.cpu_period,
        memory_bytes=memory or None,
        memory_request_bytes=request or None,
        # In version 1 the limit of memory and swap together: the same as that of memory lets nothing be swapped.
        memory_swap_bytes=(memory or None) if rules.version == 1 and rules.swap_counted else None,
        hugepages=_hugepages(limits, whole, rules.page_sizes),
        unified=unified,
        oom_score_adj=_oom_score(pod, container, rules.memory_capacity),
    )


def _hugepages(limits: Amounts, whole: Amounts, sizes: tuple[int, ...]) -> dict[str, int]:
    """Sizes of pages that nobody asked for may not be used."""
    wanted = {**page_sizes(whole), **page_sizes(limits)}
    return {page_name(size): wanted.get(size, 0) for size in sizes}


def _unified(pod: Tree, request: int, limit: int, rules: Rules) -> dict[str, str]:
    """Files of version 2 that CRI has no fields for."""
    if rules.version != 2:
        return {}
    found = {} if rules.kills_alone else {"memory.oom.group": "1"}
    if not rules.protects_memory:
        return found
    if request:
        found["memory.min" if quality_of(pod) == GUARANTEED else "memory.low"] = str(request)
    if request != limit:
        page = os.sysconf("SC_PAGE_SIZE")
        top = limit or rules.memory_allocatable
        high = int((request + (top - request) * rules.throttling) // page * page) if top else 0
        if high > request:
            found["memory.high"] = str(high)
    return found


def _swap(pod: Tree, limits: Amounts, requests: Amounts, rules: Rules) -> dict[str, str]:
    if rules.version != 2 or not rules.swap_counted:
        return {}
    return {"memory.swap.max": str(_swap_share(pod, limits, requests, rules))}


def _swap_share(pod: Tree, limits: Amounts, requests: Amounts, rules: Rules) -> int:
    """Bytes of swap: as much of the machine's as the container asks for of its memory."""
    request, limit = requests.get("memory", _NOTHING).value, limits.get("memory", _NOTHING).value
    if not rules.limited_swap or is_critical(pod) or quality_of(pod) != BURSTABLE:
        return 0
    if request == limit or not rules.memory_capacity > 0 or request > rules.memory_capacity:
        return 0  # also where neither is given
    return int(request / rules.memory_capacity * rules.swap_capacity)


def _oom_score(pod: Tree, container: Tree, capacity: int) -> int:
    """Who is killed first when memory runs out."""
    if is_critical(pod) and pod["spec"].get("priorityClassName") == _NODE_CRITICAL:
        return _LAST
    quality = quality_of(pod)
    if quality == GUARANTEED:
        return _LAST
    if quality == BEST_EFFORT or capacity <= 0:
        return _FIRST
    spare = _spare_memory(pod)
    score = 1000 - 1000 * (_memory_request(container) + spare) // capacity
    if is_sidecar(container) and container in init_containers(pod):
        least = min((_memory_request(one) for one in containers(pod)), default=0)
        score = min(score, 1000 - 1000 * (least + spare) // capacity)
    return min(max(score, 1000 + _LAST), _FIRST - 1)


def _spare_memory(pod: Tree) -> int:
    """Of what a pod as a whole asks for, each container's part of what no container asks for itself."""
    whole = of_pod(pod, "requests").get("memory", _NOTHING).value
    if not whole:
        return 0
    own = container_requests(pod).get("memory", _NOTHING).value
    return (whole - own) // (len(containers(pod)) + len(init_containers(pod)))


def _memory_request(container: Tree) -> int:
    return amounts_of((container.get("resources") or {}).get("requests")).get("memory", _NOTHING).value


def sandbox_overhead(pod: Tree, rules: Rules) -> Limits:
    """What the RuntimeClass says that the sandbox takes beside its containers."""
    overhead = amounts_of(pod["spec"].get("overhead"))
    return _summed(overhead, overhead, rules)


def sandbox_limits(pod: Tree, rules: Rules) -> Limits:
    """What the containers of a sandbox come to, without the overhead."""
    bare = {**pod, "spec": {name: value for name, value in pod["spec"].items() if name != "overhead"}}
    return _summed(pod_requests(bare), pod_limits(bare), rules)


def _summed(requests: Mapping[str, Quantity], limits: Mapping[str, Quantity], rules: Rules) -> Limits:
    cpu = limits.get("cpu", _NOTHING)
    return Limits(
        cpu_shares=shares_of(requests.get("cpu", cpu).milli),
        cpu_quota=(quota_of(cpu.milli, rules.cpu_period) or None) if rules.cpu_quota else None,
        cpu_period=rules.cpu_period,
        memory_bytes=limits.get("memory", _NOTHING).value or None,
    )
