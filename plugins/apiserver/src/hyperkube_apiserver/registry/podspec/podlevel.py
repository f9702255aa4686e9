"""Resources of a pod as a whole: what its containers add up to, and the defaults that follow from it.

Source: k8s.io/component-helpers/resource, defaultPodRequests and defaultHugePagePodLimits in core/v1/defaults.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_machinery.quantity import Quantity

__all__ = ["aggregate", "default_pod_level_resources", "is_pod_level_resource"]

Tree = dict[str, Any]
Amounts = dict[str, Quantity]


def is_pod_level_resource(name: str) -> bool:
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def aggregate(spec: Mapping[str, Any], field: str) -> Amounts:
    """What the containers request, or are limited to (`field`), at the moment they need most."""
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, _amounts(container, field))
    peak: Amounts = {}
    sidecars: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = _amounts(container, field)
        if container.get("restartPolicy") == "Always":
            _add(total, own)
            _add(sidecars, own)
            needed = dict(sidecars)
        else:
            needed = dict(own)
            _add(needed, sidecars)
        _raise(peak, needed)
    _raise(total, peak)
    return total


def _amounts(container: Mapping[str, Any], field: str) -> Amounts:
    amounts = (container.get("resources") or {}).get(field) or {}
    return {name: Quantity.parse(text) for name, text in amounts.items()}


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount


def _raise(total: Amounts, other: Amounts) -> None:
    for name, amount in other.items():
        if name not in total or total[name] < amount:
            total[name] = amount


def default_pod_level_resources(spec: Tree) -> None:
    """Requests, and limits of huge pages, that follow from limits of the pod and requests of its containers."""
    resources = spec.get("resources")
    if resources is None:
        return
    limits, requests = dict(resources.get("limits") or {}), dict(resources.get("requests") or {})
    if limits or requests:
        for name, amount in aggregate(spec, "limits").items():
            if name.startswith("hugepages-") and name not in requests and name not in limits:
                limits[name] = str(amount)
        if limits:
            resources["limits"] = limits
    if not limits:
        return
    for name, amount in aggregate(spec, "requests").items():
        if name in ("cpu", "memory") and name not in requests:
            requests[name] = str(amount)
    for name, text in limits.items():
        if is_pod_level_resource(name) and name not in requests:
            requests[name] = text
    if requests:
        resources["requests"] = requests
