"""What a pod asks of its node: sums over its containers, its quality of service. Pure.

Source: k8s.io/component-helpers/resource (PodRequests, PodLimits), k8s.io/kubernetes/pkg/apis/core/v1/helper/qos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from hyperkube_kubelet.podspec import Tree, containers, init_containers, is_sidecar, is_static
from hyperkube_machinery.quantity import Quantity

__all__ = [
    "BEST_EFFORT",
    "BURSTABLE",
    "GUARANTEED",
    "HUGEPAGES",
    "Amounts",
    "Quality",
    "add_amounts",
    "amounts_of",
    "container_requests",
    "containers_declare",
    "has_pod_level",
    "is_critical",
    "of_pod",
    "page_sizes",
    "pod_limits",
    "pod_requests",
    "quality_of",
]

Amounts = dict[str, Quantity]
Quality = Literal["Guaranteed", "Burstable", "BestEffort"]

GUARANTEED: Quality = "Guaranteed"
BURSTABLE: Quality = "Burstable"
BEST_EFFORT: Quality = "BestEffort"

HUGEPAGES = "hugepages-"
_OF_QUALITY = ("cpu", "memory")
_CRITICAL = 2_000_000_000
"""The priority from which on pods are the cluster's own."""

Kind = Literal["requests", "limits"]


def amounts_of(texts: Mapping[str, object] | None) -> Amounts:
    """A list of resources as the API has it."""
    return {resource: Quantity.parse(str(text)) for resource, text in (texts or {}).items()}


def add_amounts(total: Amounts, more: Mapping[str, Quantity]) -> None:
    """Add `more` to `total`, in place."""
    for resource, amount in more.items():
        total[resource] = total[resource] + amount if resource in total else amount


def of_pod(pod: Tree, kind: Kind) -> Amounts:
    """What is said for the pod as a whole (spec.resources), as far as that may be."""
    told = amounts_of((pod["spec"].get("resources") or {}).get(kind))
    return {name: amount for name, amount in told.items() if name in _OF_QUALITY or name.startswith(HUGEPAGES)}


def has_pod_level(pod: Tree) -> bool:
    """Whether anything is said for the pod as a whole."""
    return bool(of_pod(pod, "requests") or of_pod(pod, "limits"))


def pod_requests(pod: Tree) -> Amounts:
    """What a pod takes of its node, overhead included."""
    total = container_requests(pod)
    total.update(of_pod(pod, "requests"))  # what is said for the whole pod goes before the sum
    add_amounts(total, amounts_of(pod["spec"].get("overhead")))
    return total


def container_requests(pod: Tree) -> Amounts:
    """What a pod's containers take together: all that may run at the same time."""
    return _together(pod, "requests", lambda amounts: None)


def pod_limits(pod: Tree) -> Amounts:
    """What a pod may use; a resource that nothing limits is not in it."""
    total = _together(pod, "limits", lambda amounts: None)
    total.update(of_pod(pod, "limits"))
    for resource, amount in amounts_of(pod["spec"].get("overhead")).items():
        if total.get(resource):
            total[resource] = total[resource] + amount
    return total


def containers_declare(pod: Tree, resource: str) -> bool:
    """Whether every container limits its use of `resource`, or the pod as a whole does."""
    if of_pod(pod, "limits").get(resource):
        return True
    lacking = []
    _together(pod, "limits", lambda amounts: None if amounts.get(resource) else lacking.append(True))
    return not lacking


def _together(pod: Tree, kind: Kind, seen: Callable[[Amounts], None]) -> Amounts:
    """The sum over regular containers and sidecars, or what init containers need at one time if that is more.

    `seen` is called with what each container comes to, sidecars that run beside it included.
    """

    def own(container: Tree) -> Amounts:
        return amounts_of((container.get("resources") or {}).get(kind))

    total: Amounts = {}
    for container in containers(pod):
        amounts = own(container)
        seen(amounts)
        add_amounts(total, amounts)
    beside: Amounts = {}  # sidecars that have started
    highest: Amounts = {}
    for container in init_containers(pod):
        amounts = own(container)
        if is_sidecar(container):
            add_amounts(total, amounts)
            add_amounts(beside, amounts)
            amounts = dict(beside)
        else:
            add_amounts(amounts, beside)
        seen(amounts)
        for resource, amount in amounts.items():
            highest[resource] = max(highest.get(resource, amount), amount)
    for resource, amount in highest.items():
        total[resource] = max(total.get(resource, amount), amount)
    return total


def quality_of(pod: Tree) -> Quality:
    """The pod's quality of service: what its status says, or else what its resources come to."""
    told: Quality | None = (pod.get("status") or {}).get("qosClass")
    return told or _computed(pod)


def _computed(pod: Tree) -> Quality:
    told: Tree | None = pod["spec"].get("resources")
    requests: Amounts = {}
    limits: Amounts = {}
    if told is not None:
        holders = [told]
        guaranteed = not told.get("limits") or set(_OF_QUALITY) <= _positive(told.get("limits")).keys()
    else:
        holders = [holder.get("resources") or {} for holder in (*containers(pod), *init_containers(pod))]
        guaranteed = all(set(_OF_QUALITY) <= _positive(holder.get("limits")).keys() for holder in holders)
    for holder in holders:
        add_amounts(requests, _positive(holder.get("requests")))
        add_amounts(limits, _positive(holder.get("limits")))
    if not requests and not limits:
        return BEST_EFFORT
    return GUARANTEED if guaranteed and requests == limits else BURSTABLE


def _positive(texts: Mapping[str, object] | None) -> Amounts:
    """Of the resources that a quality of service is made of, those that are more than nothing."""
    found = amounts_of({name: text for name, text in (texts or {}).items() if name in _OF_QUALITY})
    return {name: amount for name, amount in found.items() if amount.nano > 0}


def page_sizes(amounts: Mapping[str, Quantity]) -> dict[int, int]:
    """Bytes in huge pages by the size of a page in bytes."""
    return {
        Quantity.parse(name.removeprefix(HUGEPAGES)).value: amount.value
        for name, amount in amounts.items()
        if name.startswith(HUGEPAGES)
    }


def is_critical(pod: Tree) -> bool:
    """Whether the node is to keep the pod before all others. Source: k8s.io/kubernetes/pkg/kubelet/types."""
    return is_static(pod) or (pod["spec"].get("priority") or 0) >= _CRITICAL
