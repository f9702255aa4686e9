"""Thresholds: how little there may be of something before pods are evicted. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/eviction/helpers.go (ParseThresholdConfig).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from hyperkube_machinery.durations import parse_duration
from hyperkube_machinery.quantity import Quantity

__all__ = ["RESOURCES", "Amount", "Resource", "Signal", "Threshold", "parse_thresholds"]


Signal = Literal[
    "memory.available",
    "allocatableMemory.available",
    "nodefs.available",
    "nodefs.inodesFree",
    "imagefs.available",
    "imagefs.inodesFree",
    "containerfs.available",
    "containerfs.inodesFree",
    "pid.available",
]
Resource = Literal["memory", "ephemeral-storage", "inodes", "pids"]

RESOURCES: Mapping[Signal, Resource] = {
    "memory.available": "memory",
    "allocatableMemory.available": "memory",
    "nodefs.available": "ephemeral-storage",
    "nodefs.inodesFree": "inodes",
    "imagefs.available": "ephemeral-storage",
    "imagefs.inodesFree": "inodes",
    "containerfs.available": "ephemeral-storage",
    "containerfs.inodesFree": "inodes",
    "pid.available": "pids",
}
"""What is short where a signal says so."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Bytes or a number, or a part of the whole."""

    quantity: int | None = None
    share: float = 0.0  # of 1

    def of(self, capacity: int) -> int:
        return self.quantity if self.quantity is not None else int(capacity * self.share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Less than `least` is too little, once it has been so for `grace_seconds`: 0 is a hard threshold."""

    signal: Signal
    least: Amount
    grace_seconds: float = 0.0
    reclaim: Amount = Amount(0)  # how much more there is to be before it is over

    @property
    def hard(self) -> bool:
        return self.grace_seconds == 0


def parse_thresholds(
    hard: Mapping[str, str],
    soft: Mapping[str, str],
    soft_grace: Mapping[str, str],
    reclaim: Mapping[str, str],
    *,
    allocatable: bool,
) -> tuple[Threshold, ...]:
    """What flags say, each by signal. Raises ValueError.

    `allocatable`: whether what pods have together is limited, and so to be watched as the machine's memory is.
    """
    graces = {_signal(name): _grace(text) for name, text in soft_grace.items()}
    reclaims = {_signal(name): _reclaim(name, text) for name, text in reclaim.items()}
    found = [Threshold(signal=signal, least=least) for signal, least in _statements(hard)]
    for signal, least in _statements(soft):
        if signal not in graces:
            raise ValueError(f"grace period must be specified for the soft eviction threshold {signal}")
        found.append(Threshold(signal=signal, least=least, grace_seconds=graces[signal]))
    found = [replace(one, reclaim=reclaims.get(one.signal, one.reclaim)) for one in found]
    if allocatable:
        found += [
            replace(one, signal="allocatableMemory.available")
            for one in found
            if one.signal == "memory.available" and one.hard
        ]
    return tuple(found)


def _signal(name: str) -> Signal:
    if name not in RESOURCES:
        raise ValueError(f"unsupported eviction signal {name}")
    return cast(Signal, name)


def _statements(statements: Mapping[str, str]) -> Sequence[tuple[Signal, Amount]]:
    parsed = ((_signal(name), _least(name, text)) for name, text in statements.items())
    return [(signal, least) for signal, least in parsed if least is not None]


def _least(name: str, text: str) -> Amount | None:
    """None for what says that there is no threshold."""
    if text.endswith("%"):
        if text in ("0%", "100%"):
            return None
        share = _share(text)
        if share < 0:
            raise ValueError(f"eviction percentage threshold {name} must be >= 0%: {text}")
        if share > 1:
            raise ValueError(f"eviction percentage threshold {name} must be <= 100%: {text}")
        return Amount(share=share)
    quantity = Quantity.parse(text)
    if quantity.nano <= 0:
        raise ValueError(f"eviction threshold {name} must be positive: {quantity}")
    return Amount(quantity.value)


def _reclaim(name: str, text: str) -> Amount:
    if text.endswith("%"):
        share = _share(text)
        if share <= 0:
            raise ValueError(f"eviction percentage minimum reclaim {name} must be positive: {text}")
        return Amount(share=share)
    quantity = Quantity.parse(text)
    if quantity.nano < 0:
        raise ValueError(f"negative eviction minimum reclaim specified for {name}")
    return Amount(quantity.value)


def _grace(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < 0:
        raise ValueError(f"invalid eviction grace period specified: {text}, must be a positive value")
    return seconds


def _share(text: str) -> float:
    return float(text.rstrip("%")) / 100
