"""What a pod asks of its node, in whole numbers.

Source: k8s.io/component-helpers/resource (PodRequests), k8s.io/kubernetes/pkg/scheduler (Resource, GetNonzeroRequests).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hyperkube_machinery.names import qualified_name
from hyperkube_machinery.quantity import Quantity, QuantityError

__all__ = ["NO_REQUESTS", "Requests", "amount", "amounts", "is_scalar", "pod_requests"]

Tree = Mapping[str, Any]

_DEFAULT_MILLI_CPU = 100
_DEFAULT_MEMORY = 200 * 1024 * 1024
"""What a container that asks for nothing counts as where nodes are compared, so that such pods spread."""

_NATIVE = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True)
class Requests:
    """Amounts of resources: CPU in thousandths of a core, memory and storage in bytes, others as they are counted."""

    cpu: int = 0
    memory: int = 0
    storage: int = 0
    scalars: tuple[tuple[str, int], ...] = ()
    """Extended resources, huge pages and what else is counted by name."""
    counted_cpu: int = 0
    counted_memory: int = 0
    """CPU and memory where a container that asks for none counts as asking for a little."""

    @property
    def nothing(self) -> bool:
        return not (self.cpu or self.memory or self.storage or self.scalars)

    def of(self, name: str) -> int:
        """The amount of one resource, by its name in the API."""
        match name:
            case "cpu":
                return self.cpu
            case "memory":
                return self.memory
            case "ephemeral-storage":
                return self.storage
        return next((value for scalar, value in self.scalars if scalar == name), 0)


NO_REQUESTS = Requests()


def is_scalar(name: str) -> bool:
    """Whether nodes and pods are compared by a resource of this name, beside the three that have fields.

    Extended resources, huge pages and volumes; not, say, a made-up name without a domain.
    """
    if name.startswith(("hugepages-", "attachable-volumes-")) or "kubernetes.io/" in name:
        return True
    return "/" in name and not name.startswith("requests.") and not qualified_name(f"requests.{name}")


def amount(name: str, text: object) -> int:
    """What is written for a resource, as it is counted. What can't be read counts as nothing: validation saw to it."""
    try:
        quantity = Quantity.parse(str(text))
    except QuantityError:
        return 0
    return quantity.milli if name == "cpu" else quantity.value


def amounts(listed: Tree | None) -> dict[str, int]:
    """A list of resources, counted."""
    return {name: amount(name, text) for name, text in (listed or {}).items()}


def pod_requests(spec: Tree, status: Tree | None = None) -> Requests:
    """What a pod asks for: its containers together, or the most of what its init containers need before them.

    With `status`, what is still in use after a resize, or is already granted, counts if it is more.
    """
    effective = _effective(spec, status) if status is not None else _asked
    asked = _aggregate(spec, effective)
    counted = _aggregate(spec, lambda container: _counting_something(effective(container)))
    for total in (asked, counted):
        _apply_pod_level(total, spec, status)
        _add(total, amounts(spec.get("overhead")))
    scalars = tuple(sorted((name, value) for name, value in asked.items() if name not in _NATIVE and is_scalar(name)))
    return Requests(
        cpu=asked.get("cpu", 0),
        memory=asked.get("memory", 0),
        storage=asked.get("ephemeral-storage", 0),
        scalars=scalars,
        counted_cpu=counted.get("cpu", 0),
        counted_memory=counted.get("memory", 0),
    )


def _asked(container: Tree) -> dict[str, int]:
    return amounts((container.get("resources") or {}).get("requests"))


def _counting_something(asked: dict[str, int]) -> dict[str, int]:
    return {"cpu": _DEFAULT_MILLI_CPU, "memory": _DEFAULT_MEMORY, **asked}


def _aggregate(spec: Tree, asked: Callable[[Tree], dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(total, asked(container))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        needed = asked(container)
        if container.get("restartPolicy") == "Always":  # it stays, beside those that come after
            _add(total, needed)
            _add(sidecars, needed)
            needed = sidecars
        else:
            needed = dict(needed)
            _add(needed, sidecars)
        _raise_to(peak, needed)
    _raise_to(total, peak)
    return total


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _raise_to(total: dict[str, int], least: Mapping[str, int]) -> None:
    for name, value in least.items():
        if value > total.get(name, 0):
            total[name] = value
        else:
            total.setdefault(name, value)


def _apply_pod_level(total: dict[str, int], spec: Tree, status: Tree | None) -> None:
    """What is asked for the pod as a whole goes before the sum of its containers."""
    asked = amounts((spec.get("resources") or {}).get("requests"))
    supported = {name: value for name, value in asked.items() if name in ("cpu", "memory") or _is_huge_page(name)}
    granted = (status or {}).get("resources")
    if granted and status is not None:
        supported = _still_in_use(
            supported, amounts(granted.get("requests")), amounts(status.get("allocatedResources")), status
        )
    total.update(supported)


def _is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def _effective(spec: Tree, status: Tree) -> Callable[[Tree], dict[str, int]]:
    """How much a container counts for that may be between two sizes."""
    statuses = {
        one.get("name"): one
        for field in ("containerStatuses", "initContainerStatuses")
        for one in status.get(field) or ()
        if one.get("resources")
    }

    def effective(container: Tree) -> dict[str, int]:
        asked = _asked(container)
        found = statuses.get(container.get("name"))
        if found is None or (_is_init(spec, container) and container.get("restartPolicy") != "Always"):
            return asked
        actual = amounts(found["resources"].get("requests"))
        return _still_in_use(asked, actual, amounts(found.get("allocatedResources")), status)

    return effective


def _is_init(spec: Tree, container: Tree) -> bool:
    return any(one is container for one in spec.get("initContainers") or ())


def _still_in_use(
    asked: Mapping[str, int], actual: Mapping[str, int], allocated: Mapping[str, int], status: Tree
) -> dict[str, int]:
    infeasible = any(
        one.get("type") == "PodResizePending" and one.get("reason") == "Infeasible"
        for one in status.get("conditions") or ()
    )
    most: dict[str, int] = {}
    kinds: Iterable[Mapping[str, int]] = (actual, allocated) if infeasible else (asked, actual, allocated)
    for one in kinds:
        _raise_to(most, one)
    return most
