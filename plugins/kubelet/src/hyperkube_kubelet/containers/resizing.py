"""Comparing what containers have with what they are to have. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime (computePodResizeAction).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hyperkube_kubelet.containers.observed import Having
from hyperkube_kubelet.podresources import amounts_of
from hyperkube_kubelet.podspec import Tree
from hyperkube_machinery.quantity import Quantity

__all__ = ["RESIZED", "Needed", "Resource", "Sizes", "mixed", "needed", "sizes_of"]

Resource = Literal["memory", "cpu"]
RESIZED: tuple[Resource, ...] = ("memory", "cpu")
"""In the order in which they are changed."""

_NOTHING = Quantity(0)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one resource: bytes, or thousandths of a processor; 0 for none."""

    limit: int
    request: int


@dataclass(frozen=True, slots=True)
class Needed:
    """What has to be done that a container has what it is to have."""

    update: tuple[Resource, ...] = ()  # as it runs
    restart: bool = False


def sizes_of(resources: Tree, whole: Tree | None, resource: Resource) -> Sizes:
    """What `resources` of a container come to, whose pod has `whole`, which limits what the container doesn't."""
    limits, requests = amounts_of(resources.get("limits")), amounts_of(resources.get("requests"))
    of_pod = amounts_of((whole or {}).get("limits"))
    limit = limits.get(resource) or of_pod.get(resource, _NOTHING)
    request = requests.get(resource, _NOTHING)
    return Sizes(limit.milli, request.milli) if resource == "cpu" else Sizes(limit.value, request.value)


def needed(container: Tree, desired: Having, current: Having) -> Needed:
    """What is to be done with a container that runs, and so has `current`, and is to have `desired`."""
    changed = [name for name in RESIZED if sizes_of(*desired, name) != sizes_of(*current, name)]
    policies = {one["resourceName"]: one["restartPolicy"] for one in container.get("resizePolicy") or ()}
    if any(policies.get(name) == "RestartContainer" for name in changed):
        return Needed(restart=True)
    return Needed(update=tuple(changed))


def mixed(base: Tree, other: Tree, resource: Resource) -> dict[str, Any]:
    """`base` with what `other` has of one resource."""
    found: dict[str, Any] = {name: value for name, value in base.items() if name not in ("limits", "requests")}
    for kind in ("limits", "requests"):
        amounts: Mapping[str, Any] = base.get(kind) or {}
        taken: Mapping[str, Any] = other.get(kind) or {}
        merged = {name: amount for name, amount in amounts.items() if name != resource}
        if resource in taken:
            merged[resource] = taken[resource]
        if merged:
            found[kind] = merged
    return found
