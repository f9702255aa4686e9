"""What a pod as a whole was given, and what its control group is held to, as its status tells.

Source: k8s.io/kubernetes/pkg/kubelet (convertToAPIPodLevelResourcesStatus), KEP 5419.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_kubelet.cgroups.conversions import LEAST_QUOTA_MILLI, LEAST_SHARES, milli_of_quota, milli_of_shares
from hyperkube_kubelet.cgroups.settings import Held
from hyperkube_kubelet.podresources import amounts_of, pod_limits, pod_requests
from hyperkube_kubelet.podspec import Tree, phase_of
from hyperkube_machinery.quantity import Quantity

__all__ = ["pod_resources"]

_NOTHING = Quantity(0)
_NANO = 10**9


def pod_resources(pod: Tree, phase: str, held: Held | None, previous: Tree) -> dict[str, Any]:
    """The fields allocatedResources and resources; `held` is None where there is no group that would tell."""
    requests, limits = pod_requests(pod), pod_limits(pod)
    found: dict[str, Any] = {}
    if requests:
        found["allocatedResources"] = _texts(requests)
    if held is None or phase != "Running":
        found["resources"] = _filled({"requests": _texts(requests), "limits": _texts(limits)})
        return found
    before: Tree = (previous.get("resources") or {}) if phase_of(previous) == "Running" else {}
    told: Tree = pod["spec"].get("resources") or {}
    shown_requests, shown_limits = amounts_of(told.get("requests")), amounts_of(told.get("limits"))
    _show_cpu(shown_requests, milli_of_shares(held.cpu_shares), LEAST_SHARES)
    if "memory" not in shown_requests and "memory" in requests:
        shown_requests["memory"] = requests["memory"]  # which no group says
    if (milli := milli_of_quota(held.cpu_quota, held.cpu_period)) > 0:
        _show_cpu(shown_limits, milli, LEAST_QUOTA_MILLI)
    elif kept := (before.get("limits") or {}).get("cpu"):
        shown_limits["cpu"] = Quantity.parse(kept)
    if held.memory_bytes:
        shown_limits["memory"] = Quantity(held.memory_bytes * _NANO, "binary")
    elif kept := (before.get("limits") or {}).get("memory"):
        shown_limits["memory"] = Quantity.parse(kept)
    found["resources"] = _filled({"requests": _texts(shown_requests), "limits": _texts(shown_limits)})
    return found


def _show_cpu(shown: dict[str, Quantity], milli: int, least: int) -> None:
    """What both say is next to nothing stays as it was asked for: groups can't be held to less."""
    if milli > least or shown.get("cpu", _NOTHING).milli > least:
        shown["cpu"] = Quantity(milli * (_NANO // 1000))


def _texts(amounts: Mapping[str, Quantity]) -> dict[str, str]:
    return {name: str(amount) for name, amount in amounts.items()}


def _filled(fields: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    return {name: amounts for name, amounts in fields.items() if amounts}
