"""The ranges of pod addresses that nodes get: which ones are taken.

Source: k8s.io/kubernetes/pkg/controller/nodeipam/ipam/cidrset.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

__all__ = ["CIDRSet", "Network", "NoneLeft", "OutOfRange", "parse"]

Network = IPv4Network | IPv6Network

_MOST_BITS = 16
"""A range of more than 2^16 ranges is not kept account of."""


class NoneLeft(Exception):
    """All ranges are taken."""


class OutOfRange(ValueError):
    """A range is none of those that are given out."""


def parse(text: str) -> Network:
    """Raises ValueError; bits behind the mask are dropped, as upstream drops them."""
    return ip_network(text.strip(), strict=False)


class CIDRSet:
    """The ranges of `mask` bits in `cluster`, given out in turn so that one just released rests a while."""

    def __init__(self, cluster: Network, mask: int) -> None:
        if mask < cluster.prefixlen:
            raise ValueError(f"a node's range (/{mask}) cannot be larger than the cluster's, {cluster}")
        if mask > cluster.max_prefixlen:
            raise ValueError(f"/{mask} is no mask of {cluster}")
        if mask - cluster.prefixlen > _MOST_BITS:
            raise ValueError(f"{cluster} has more ranges of /{mask} than {2**_MOST_BITS}, the most that there may be")
        self.cluster = cluster
        self._size: int = 1 << (cluster.max_prefixlen - mask)
        self._mask = mask
        self._count: int = 1 << (mask - cluster.prefixlen)
        self._first = int(cluster.network_address)
        self._taken: set[int] = set()
        self._next = 0

    def __len__(self) -> int:
        """How many are taken."""
        return len(self._taken)

    def take(self) -> Network:
        """The next free range. Raises NoneLeft."""
        if len(self._taken) == self._count:
            raise NoneLeft(f"CIDR allocation failed; there are no remaining CIDRs left to allocate in {self.cluster}")
        while self._next in self._taken:
            self._next = (self._next + 1) % self._count
        index, self._next = self._next, (self._next + 1) % self._count
        self._taken.add(index)
        return self._range(index)

    def occupy(self, cidr: Network) -> None:
        """Mark as taken whatever `cidr` overlaps. Raises OutOfRange where that is nothing."""
        self._taken.update(self._indices(cidr))

    def release(self, cidr: Network) -> None:
        """Raises OutOfRange for a range that could not have been taken."""
        self._taken.difference_update(self._indices(cidr))

    def _range(self, index: int) -> Network:
        kind = type(self.cluster)
        return kind((self._first + index * self._size, self._mask))

    def _indices(self, cidr: Network) -> range:
        if cidr.version != self.cluster.version or not cidr.overlaps(self.cluster):
            raise OutOfRange(f"cidr {cidr} is out the range of cluster cidr {self.cluster}")
        first = max(int(cidr.network_address), self._first)
        last = min(int(cidr.broadcast_address), int(self.cluster.broadcast_address))
        return range((first - self._first) // self._size, (last - self._first) // self._size + 1)
