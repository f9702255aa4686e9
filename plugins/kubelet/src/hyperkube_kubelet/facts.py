"""What the rest of the kubelet has to know of its node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["NodeFacts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """A node, as it was found when the kubelet started."""

    name: str
    ips: Sequence[str]  # the primary one first
    capacity: Mapping[str, str]  # cpu, memory, pods …, as quantities
    allocatable: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)  # that it is registered with
    operating_system: str = "linux"
