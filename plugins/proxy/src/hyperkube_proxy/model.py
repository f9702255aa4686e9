"""What the proxy knows of services and endpoints, as values.

Source: k8s.io/kubernetes/pkg/proxy (serviceport.go, endpoint.go).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["Endpoint", "Family", "Locals", "PortName", "Protocol", "ServiceName", "ServicePort"]

Family: TypeAlias = Literal["IPv4", "IPv6"]
Protocol: TypeAlias = Literal["TCP", "UDP", "SCTP"]


class ServiceName(NamedTuple):
    """A service's namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class PortName(NamedTuple):
    """Names one port of one service in one family of addresses."""

    namespace: str
    service: str
    port: str
    protocol: Protocol
    family: Family = "IPv4"

    @property
    def service_name(self) -> ServiceName:
        return ServiceName(self.namespace, self.service)

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.namespace}/{self.service}{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """Where one port of a service is reached, and how its connections are spread; all addresses are of one family."""

    name: PortName
    cluster_ip: str
    port: int
    node_port: int = 0  # 0: none
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()  # those whose traffic arrives with the address unchanged
    source_ranges: tuple[str, ...] = ()  # who may use the load balancer's addresses; none: everybody
    affinity_seconds: int = 0  # how long a client stays with its endpoint; 0: not at all
    external_local: bool = False  # traffic from outside goes to this node's endpoints alone
    internal_local: bool = False
    health_check_node_port: int = 0  # 0: none

    @property
    def protocol(self) -> Protocol:
        return self.name.protocol

    @property
    def externally_accessible(self) -> bool:
        return bool(self.node_port or self.load_balancer_ips or self.external_ips)

    @property
    def uses_cluster_endpoints(self) -> bool:
        """Whether any traffic goes to all endpoints; from outside it does where it comes from a pod of this node."""
        return not self.internal_local or self.externally_accessible

    @property
    def uses_local_endpoints(self) -> bool:
        return self.internal_local or (self.external_local and self.externally_accessible)


class Endpoint(NamedTuple):
    """One address and port that serves a service's port."""

    ip: str
    port: int
    local: bool = False  # on this node
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    zones: frozenset[str] = frozenset()  # that it is hinted for
    nodes: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class Locals:
    """How connections of this node's pods are told from all others: by their address, or where they come in."""

    cidr: str = ""
    interface: str = ""  # its name, or with a * at the end what its name begins with
