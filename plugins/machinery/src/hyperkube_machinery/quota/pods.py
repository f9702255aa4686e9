"""Pods, in quotas.

Source: k8s.io/kubernetes/pkg/quota/v1/evaluator/core (pods.go), k8s.io/component-helpers/resource.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hyperkube_machinery import meta
from hyperkube_machinery.names import qualified_name
from hyperkube_machinery.quantity import Quantity
from hyperkube_machinery.quota.amounts import ONE, added, raised, read
from hyperkube_machinery.quota.evaluator import Evaluator, Requirement, Tree
from hyperkube_machinery.timestamps import parse

__all__ = ["Pods", "is_extended_request", "is_terminating", "uses"]

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_NAMES = frozenset(
    ("count/pods", "pods", *_COMPUTE, *(f"{part}.{name}" for part in ("requests", "limits") for name in _COMPUTE))
)
_HUGE_PAGES = "hugepages-"
_PREFIXES = (_HUGE_PAGES, f"requests.{_HUGE_PAGES}")
_DEVICE_CLASS = "deviceclass.resource.kubernetes.io/"
_MUST_BE_SAID = frozenset(f"{prefix}{name}" for prefix in ("", "requests.", "limits.") for name in ("cpu", "memory"))
"""What every container must say if a quota bounds it; a mistake, says upstream, that is kept for what relies on it."""


class Pods(Evaluator):
    """What pods use that have not ended; each is counted as long as it is there."""

    knows_scopes = True

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__("", "pods")
        self._now = now

    def handles(self, operation: str, subresource: str, obj: Tree, old: Tree | None) -> bool:
        if subresource == "resize":
            return operation == "UPDATE"
        if subresource:
            return False
        if operation == "UPDATE" and old is not None:
            return is_terminating(obj) != is_terminating(old)
        return operation == "CREATE"

    def counted(self, names: Iterable[str]) -> list[str]:
        return sorted(
            {name for name in names if name in _NAMES or name.startswith(_PREFIXES) or is_extended_request(name)}
        )

    def is_in(self, requirement: Requirement, obj: Tree) -> bool:
        match requirement.scope:
            case "Terminating":
                return is_terminating(obj)
            case "NotTerminating":
                return not is_terminating(obj)
            case "BestEffort":
                return _is_best_effort(obj)
            case "NotBestEffort":
                return not _is_best_effort(obj)
            case "PriorityClass":
                return requirement.fits((obj.get("spec") or {}).get("priorityClassName") or "")
            case "CrossNamespacePodAffinity":
                return _reaches_other_namespaces(obj)
        return False

    def lacking(self, required: Iterable[str], obj: Tree) -> str:
        spec = obj.get("spec") or {}
        if _pod_level(spec, "requests") or _pod_level(spec, "limits"):
            return ""
        needed = _MUST_BE_SAID & set(required)
        missing: dict[str, set[str]] = {}
        for field in ("containers", "initContainers"):
            for container in spec.get(field) or ():
                resources = container.get("resources") or {}
                for name in needed - set(_measured(read(resources.get("requests")), read(resources.get("limits")))):
                    missing.setdefault(name, set()).add(container["name"])
        if not missing:
            return ""
        return "must specify " + "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))

    def usage(self, obj: Tree) -> dict[str, Quantity]:
        count = {"count/pods": ONE}
        if not uses(obj, self._now()):
            return count
        return added(count, _measured(_effective(obj, "requests"), _effective(obj, "limits")))

    def has_freed(self, old: Tree, new: Tree) -> bool:
        now = self._now()
        return (
            _granted(old) != _granted(new)
            or is_terminating(old) != is_terminating(new)
            or (uses(old, now) and not uses(new, now))
        )


def uses(pod: Tree, now: float) -> bool:
    """Whether a pod uses anything: it has not ended, and it is not overdue to be gone."""
    if (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return False
    going, grace = meta.deletion_timestamp(pod), meta.metadata(pod).get("deletionGracePeriodSeconds")
    return going is None or grace is None or now <= parse(going) + grace


def is_terminating(pod: Tree) -> bool:
    """Whether a pod is to end by itself."""
    seconds = (pod.get("spec") or {}).get("activeDeadlineSeconds")
    return seconds is not None and seconds >= 0


def is_extended_request(name: str) -> bool:
    """Whether a quota bounds an extended resource by this name."""
    if not name.startswith("requests."):
        return False
    native = "/" not in name or "kubernetes.io/" in name
    return not native or name.startswith(f"requests.{_DEVICE_CLASS}")


def _is_extended(name: str) -> bool:
    if name.startswith(_DEVICE_CLASS):
        return True
    native = "/" not in name or "kubernetes.io/" in name
    return not native and not name.startswith("requests.") and not qualified_name(f"requests.{name}")


def _measured(requests: Mapping[str, Quantity], limits: Mapping[str, Quantity]) -> dict[str, Quantity]:
    """Requests and limits under the names that quotas have for them."""
    usage = {"pods": ONE}
    for name in _COMPUTE:
        if name in requests:
            usage[name] = usage[f"requests.{name}"] = requests[name]
        if name in limits:
            usage[f"limits.{name}"] = limits[name]
    for name, amount in requests.items():
        if name.startswith(_HUGE_PAGES):
            usage[name] = usage[f"requests.{name}"] = amount
        if _is_extended(name):
            usage[f"requests.{name}"] = amount
    return usage


def _pod_level(spec: Tree, part: str) -> dict[str, Quantity]:
    """What a pod says for itself as a whole."""
    told = read((spec.get("resources") or {}).get(part))
    return {name: amount for name, amount in told.items() if name in ("cpu", "memory") or name.startswith(_HUGE_PAGES)}


def _effective(pod: Tree, part: str) -> dict[str, Quantity]:
    """What a pod takes at the moment it needs most, what it still has after a resize included."""
    spec = pod.get("spec") or {}
    granted, infeasible = _granted(pod), _is_infeasible(pod)
    total: dict[str, Quantity] = {}
    for container in spec.get("containers") or ():
        total = added(total, _of_container(container, part, granted, infeasible=infeasible))
    peak: dict[str, Quantity] = {}
    sidecars: dict[str, Quantity] = {}
    for container in spec.get("initContainers") or ():
        stays = container.get("restartPolicy") == "Always"
        own = _of_container(container, part, granted if stays else {}, infeasible=infeasible)
        if stays:
            total, sidecars = added(total, own), added(sidecars, own)
        peak = raised(peak, sidecars if stays else added(own, sidecars))
    total = {**raised(total, peak), **_pod_level(spec, part)}
    overhead = read(spec.get("overhead"))
    if part == "limits":
        overhead = {name: amount for name, amount in overhead.items() if total.get(name)}
    return added(total, overhead)


def _of_container(
    container: Tree, part: str, granted: Mapping[str, Tree], *, infeasible: bool
) -> Mapping[str, Quantity]:
    wanted = read((container.get("resources") or {}).get(part))
    status = granted.get(container.get("name") or "")
    if status is None:
        return wanted
    actual = read(status["resources"].get(part))
    held = raised(actual, read(status.get("allocatedResources"))) if part == "requests" else actual
    return held if infeasible else raised(wanted, held)


def _granted(pod: Tree) -> dict[str, Tree]:
    """The statuses, by the names of the containers, that tell what a container has."""
    status = pod.get("status") or {}
    return {
        one["name"]: {key: one[key] for key in ("resources", "allocatedResources") if one.get(key) is not None}
        for field in ("containerStatuses", "initContainerStatuses")
        for one in status.get(field) or ()
        if one.get("resources") is not None
    }


def _is_infeasible(pod: Tree) -> bool:
    for one in (pod.get("status") or {}).get("conditions") or ():
        if one.get("type") == "PodResizePending":
            return bool(one.get("reason") == "Infeasible")
    return False


def _is_best_effort(pod: Tree) -> bool:
    """Whether nothing is asked for. Source: k8s.io/kubernetes/pkg/apis/core/v1/helper/qos."""
    told = (pod.get("status") or {}).get("qosClass")
    if told:
        return bool(told == "BestEffort")
    spec = pod.get("spec") or {}
    if spec.get("resources"):
        parts: list[Any] = [spec["resources"]]
    else:
        parts = [
            container.get("resources") or {}
            for field in ("containers", "initContainers")
            for container in spec.get(field) or ()
        ]
    return not any(
        amount.nano > 0
        for part in parts
        for kind in ("requests", "limits")
        for name, amount in read(part.get(kind)).items()
        if name in ("cpu", "memory")
    )


def _reaches_other_namespaces(pod: Tree) -> bool:
    affinity = (pod.get("spec") or {}).get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        for weighted in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            terms.append(weighted.get("podAffinityTerm") or {})
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False
