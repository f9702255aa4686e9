"""What of a machine is kept from pods, and what is left for them. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/cm (GetNodeAllocatableReservation, validateNodeAllocatable) and nodestatus
(MachineInfo).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from hyperkube_kubelet.cpulists import cpu_list
from hyperkube_kubelet.podresources import HUGEPAGES, amounts_of
from hyperkube_machinery.quantity import Quantity

__all__ = ["OverReserved", "allocatable", "eviction_reservation", "pods_at_most", "with_reserved_cpus"]

_BY_SIGNAL = {"memory.available": "memory", "nodefs.available": "ephemeral-storage"}
_NOTHING = Quantity(0)


class OverReserved(ValueError):
    """More is reserved than there is; the message is upstream's."""


def pods_at_most(max_pods: int, pods_per_core: int, cpus: int) -> int:
    """How many pods a machine runs; `pods_per_core` 0 limits nothing."""
    return min(max_pods, pods_per_core * cpus) if pods_per_core > 0 else max_pods


def with_reserved_cpus(
    cpus: str, system: Mapping[str, str], kube: Mapping[str, str], machine_cpus: int
) -> tuple[dict[str, str], dict[str, str]]:
    """Both reservations, with the processors of a list instead of amounts. Raises ValueError."""
    chosen = cpu_list(cpus)
    if not chosen:
        return dict(system), dict(kube)
    if not chosen <= set(range(machine_cpus)):
        raise ValueError(f"reserved-cpus: {cpus} is not a subset of online-cpus: 0-{machine_cpus - 1}")
    without = {name: amount for name, amount in kube.items() if name != "cpu"}
    return {**system, "cpu": str(len(chosen))}, without


def eviction_reservation(thresholds: Mapping[str, str], capacity: Mapping[str, str]) -> dict[str, str]:
    """What hard eviction keeps free; `thresholds` by signal, amounts or percentages of `capacity`."""
    found = {}
    for signal, resource in _BY_SIGNAL.items():
        text = thresholds.get(signal)
        if not text:
            continue
        whole = Quantity.parse(capacity.get(resource, "0"))
        if text.endswith("%"):
            found[resource] = str(int(whole.value * _single(_single(float(text[:-1])) / 100)))
        else:
            found[resource] = text
    return found


def _single(number: float) -> float:
    """In single precision, as upstream has percentages: 10 % of a large disk is some hundred bytes off."""
    rounded: float = struct.unpack("f", struct.pack("f", number))[0]
    return rounded


def allocatable(capacity: Mapping[str, str], *reserved: Mapping[str, str]) -> dict[str, str]:
    """What of `capacity` is left for pods, huge pages, which are memory no more, counted off.

    Raises OverReserved where more is reserved than there is.
    """
    whole = amounts_of(capacity)
    taken = {name: sum((amounts_of(one).get(name, _NOTHING) for one in reserved), _NOTHING) for name in whole}
    wrong = [
        f'Resource "{name}" has a reservation of {taken[name]} but capacity of {amount}.'
        " Expected capacity >= reservation."
        for name, amount in whole.items()
        if taken[name] > amount
    ]
    if wrong:
        raise OverReserved(f"invalid Node Allocatable configuration. {' '.join(wrong)}")
    left = {name: amount - taken[name] for name, amount in whole.items()}
    in_pages = sum((amount for name, amount in whole.items() if name.startswith(HUGEPAGES)), _NOTHING)
    if "memory" in left:
        left["memory"] = max(left["memory"] - in_pages, _NOTHING)
    return {name: str(amount) for name, amount in left.items()}
