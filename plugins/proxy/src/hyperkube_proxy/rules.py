"""Which endpoints a service's port leads to, decided from the model. Pure.

Source: k8s.io/kubernetes/pkg/proxy/topology.go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hyperkube_proxy.model import Endpoint, ServicePort

__all__ = ["Place", "Route", "route"]

Topology: TypeAlias = Literal["", "PreferSameNode", "PreferSameZone"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where this proxy runs, as hints name it."""

    node: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """A service's port with the endpoints that it leads to from here.

    Usable are the ready ones, or where there is none of them those that still serve while they terminate.
    """

    port: ServicePort
    cluster: tuple[Endpoint, ...] = ()  # for the policy Cluster
    local: tuple[Endpoint, ...] = ()  # for the policy Local
    anywhere: bool = False  # whether the service has a usable endpoint on any node
    serving: tuple[Endpoint, ...] = ()  # of UDP alone: those whose flows go on, whether new ones come or not

    @property
    def reachable(self) -> tuple[Endpoint, ...]:
        """All of `cluster` and `local`, each once."""
        if not self.local or self.cluster == self.local:
            return self.cluster
        return tuple(sorted({*self.cluster, *self.local}))

    @property
    def internal(self) -> tuple[Endpoint, ...]:
        """Where connections to the cluster IP go."""
        return self.local if self.port.internal_local else self.cluster

    @property
    def external(self) -> tuple[Endpoint, ...]:
        """Where connections go that come in from outside the cluster."""
        return self.local if self.port.external_local else self.cluster


def route(port: ServicePort, endpoints: Sequence[Endpoint], place: Place) -> Route:
    """Which of `endpoints` are used for `port` at `place`."""
    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    anywhere = False
    if port.uses_cluster_endpoints:
        hinted = _hinted(_topology(endpoints, place), place)
        cluster = _usable(endpoints, lambda endpoint: endpoint.ready and hinted(endpoint), _still_serves)
        anywhere = bool(cluster)
    if port.uses_local_endpoints:
        anywhere = anywhere or any(endpoint.ready or _still_serves(endpoint) for endpoint in endpoints)
        here = [endpoint for endpoint in endpoints if endpoint.local]
        local = _usable(here, lambda endpoint: endpoint.ready, _still_serves)
    serving = tuple(endpoint for endpoint in endpoints if endpoint.serving) if port.protocol == "UDP" else ()
    return Route(port, cluster, local, anywhere, serving)


def _still_serves(endpoint: Endpoint) -> bool:
    return endpoint.serving and endpoint.terminating


def _usable(
    endpoints: Sequence[Endpoint], wanted: Callable[[Endpoint], bool], otherwise: Callable[[Endpoint], bool]
) -> tuple[Endpoint, ...]:
    return tuple(filter(wanted, endpoints)) or tuple(filter(otherwise, endpoints))


def _topology(endpoints: Sequence[Endpoint], place: Place) -> Topology:
    """Which hints are followed: those that every ready endpoint has, and that one of them has for this place."""
    ready = [endpoint for endpoint in endpoints if endpoint.ready]
    if ready and all(endpoint.nodes for endpoint in ready) and any(place.node in each.nodes for each in ready):
        return "PreferSameNode"
    if ready and all(endpoint.zones for endpoint in ready) and any(place.zone in each.zones for each in ready):
        return "PreferSameZone"
    return ""


def _hinted(topology: Topology, place: Place) -> Callable[[Endpoint], bool]:
    if topology == "PreferSameNode":
        return lambda endpoint: place.node in endpoint.nodes
    if topology == "PreferSameZone":
        return lambda endpoint: place.zone in endpoint.zones
    return lambda endpoint: True
