"""How services are reached from the machine of the API server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperkube_machinery.podnetwork import PodNetwork

__all__ = ["Place", "Routing"]

Place = tuple[str, int]
"""A host, without brackets, and a port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """What the server is told of its surroundings."""

    to_endpoints: bool = False  # cluster IPs lead nowhere on this machine, or not past its own network
    pod_network: PodNetwork | None = None  # that of this machine's pods, where it is not the machine's
    own: Place | None = None  # where this API server itself listens, which `kubernetes` in `default` is
