"""Which cluster IPs there are and which are free.

An address is taken while an IPAddress of that name is stored, or while a write that wants it is under way. So restarts
need no memory, whoever makes an IPAddress by hand has the address, and the store decides between two who want the
same. What nobody asked for by value comes from the upper band of a range, so that the lower one stays for those who do.
Source: k8s.io/kubernetes/pkg/registry/core/service/ipallocator, KEP-1880, KEP-3070.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from hyperkube_apiserver.registry.addresses import Address
from hyperkube_apiserver.registry.allocation import Full, Network, Refused

__all__ = ["DEFAULT_RANGE", "AddressRange", "ClusterAddresses"]

DEFAULT_RANGE = "kubernetes"
"""The name of the ServiceCIDR that stands for --service-cluster-ip-range."""


class AddressRange:
    """The addresses of a network: all but its own and, of IPv4, the broadcast address."""

    def __init__(self, network: Network) -> None:
        self.network = network
        whole = network.num_addresses
        self._first = int(network.network_address) + 1
        self._size = max(0, whole - (2 if network.version == 4 else 1))
        self._band = 0 if whole <= 16 else min(max(16, whole // 16), 256, self._size)

    def __contains__(self, address: Address) -> bool:
        return address.version == self.network.version and 0 <= int(address) - self._first < self._size

    def addresses(self) -> Iterator[str]:
        """All of them, those of the upper band first, each band from anywhere in it on."""
        made = IPv4Address if self.network.version == 4 else IPv6Address
        for low, high in ((self._band, self._size), (0, self._band)):
            count = high - low
            start = random.randrange(count) if count else 0  # as upstream: neighbours in time are not in number
            for step in range(count):
                yield str(made(self._first + low + (start + step) % count))


class ClusterAddresses:
    """What is handed out to services, from the ranges of all ServiceCIDRs that are ready."""

    def __init__(self, networks: Sequence[Network]) -> None:
        """`networks` are those of the flags: one of each family at most, the default one first."""
        self.families = [f"IPv{network.version}" for network in networks]
        self._default = [AddressRange(network) for network in networks]
        self._ranges: dict[str, list[AddressRange]] = {DEFAULT_RANGE: self._default}
        self._under_way: set[str] = set()
        self._is_recorded: Callable[[str], bool] = lambda address: False

    def follow(self, is_recorded: Callable[[str], bool]) -> None:
        """Ask `is_recorded` from now on whether there is an IPAddress of a name."""
        self._is_recorded = is_recorded

    def offer(self, name: str, service_cidr: Mapping[str, Any] | None) -> None:
        """A ServiceCIDR was made or changed, or is gone (None)."""
        if service_cidr is None and name == DEFAULT_RANGE:
            self._ranges[name] = self._default  # until it is made again, at the next start
            return
        if service_cidr is None or not _is_ready(service_cidr):
            self._ranges.pop(name, None)
            return
        ranges = (service_cidr.get("spec") or {}).get("cidrs") or ()
        self._ranges[name] = [AddressRange(ip_network(text)) for text in ranges]

    def is_under_way(self, address: str) -> bool:
        return address in self._under_way

    def take(self, address: str, *, dry_run: bool = False) -> None:
        """Take an address for a write; raises Refused. A dry run learns whether it is one that services may have."""
        wanted = ip_address(address)
        if not any(wanted in one for one in self._all()):
            if not dry_run:
                raise Refused("the provided network does not match the current range")
            network = next((one.network for one in self._all() if one.network.version == wanted.version), "")
            text = f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {network}"
            raise Refused(text)
        if dry_run:
            return
        if self._is_taken(str(wanted)):
            raise Refused("provided IP is already allocated")
        self._under_way.add(str(wanted))

    def take_any(self, family: str, *, dry_run: bool = False) -> str:
        """Take an address of a family; raises Full. A dry run is told the network's own, which is nobody's."""
        for one in self._all():
            if f"IPv{one.network.version}" != family:
                continue
            if dry_run:
                return str(one.network.network_address)
            for address in one.addresses():
                if not self._is_taken(address):
                    self._under_way.add(address)
                    return address
        raise Full

    def finish(self, addresses: Iterable[str]) -> None:
        """The write that took these is over, one way or the other."""
        self._under_way.difference_update(str(ip_address(address)) for address in addresses)

    def _all(self) -> Iterator[AddressRange]:
        return (one for ranges in self._ranges.values() for one in ranges)

    def _is_taken(self, address: str) -> bool:
        return address in self._under_way or self._is_recorded(address)


def _is_ready(service_cidr: Mapping[str, Any]) -> bool:
    """Whether addresses may come from it: unless somebody says no, or it is going."""
    if service_cidr["metadata"].get("deletionTimestamp"):
        return False
    conditions = (service_cidr.get("status") or {}).get("conditions") or ()
    return next((one.get("status") == "True" for one in conditions if one.get("type") == "Ready"), True)
