"""What services have each to themselves: node ports, and what of it and of cluster IPs a write holds on to.

Ports are kept in memory: the strategy of services is told of every stored one at start, and every write reserves what
it needs before it stores, and commits or releases afterwards. All of it happens on one loop without waiting, so nothing
goes out twice. What nobody asked for by value comes from the upper band, so that the lower one stays for those who do.
Source: k8s.io/kubernetes/pkg/registry/core/service/portallocator, KEP-3668.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network

__all__ = ["Full", "Holding", "Network", "Pool", "PortPool", "Refused"]

Network = IPv4Network | IPv6Network


class Refused(Exception):
    """What was asked for by value can't be had; the text is the API server's."""


class Full(Exception):
    """Nothing is left."""

    def __init__(self) -> None:
        super().__init__("range is full")


class Pool:
    """Numbers from `first` on, `size` of them; the lowest `band` are handed out last unless asked for."""

    def __init__(self, first: int, size: int, band: int) -> None:
        self._first, self._size, self._band = first, size, band
        self._taken: set[int] = set()

    def __contains__(self, number: int) -> bool:
        return 0 <= number - self._first < self._size

    @property
    def free(self) -> int:
        return self._size - len(self._taken)

    def take(self, number: int) -> bool:
        """Whether `number`, which is in the pool, was free; it is taken now."""
        if number in self._taken:
            return False
        self._taken.add(number)
        return True

    def take_any(self) -> int:
        """A free number, of the upper band while there is one. Raises Full."""
        for low, high in ((self._band, self._size), (0, self._band)):
            count = high - low
            start = random.randrange(count) if count else 0  # as upstream: neighbours in time are not in number
            for step in range(count):
                number = self._first + low + (start + step) % count
                if number not in self._taken:
                    self._taken.add(number)
                    return number
        raise Full

    def give_back(self, number: int) -> None:
        self._taken.discard(number)


class PortPool(Pool):
    """Node ports."""

    def __init__(self, ports: range) -> None:
        size = len(ports)
        super().__init__(ports.start, size, 0 if size <= 16 else min(max(16, size // 32), 128))
        self._range = f"{ports.start}-{ports.stop - 1}"

    def take_port(self, port: int) -> None:
        if port not in self:
            text = f"provided port is not in the valid range. The range of valid ports is {self._range}"
            raise Refused(text)
        if not self.take(port):
            raise Refused("provided port is already allocated")


class Holding:
    """The ports that one write took, and those it lets go once it is stored. A reservation."""

    def __init__(self, *, dry_run: bool = False) -> None:
        self._dry_run = dry_run
        self._taken: list[tuple[Pool, int]] = []
        self._leaving: list[tuple[Pool, int]] = []

    async def secure(self) -> None:
        """Ports are told by their services alone."""

    def took(self, pool: Pool, number: int) -> None:
        self._taken.append((pool, number))

    def leave(self, pool: Pool, numbers: Iterable[int]) -> None:
        """Give these back when the write is stored."""
        self._leaving += ((pool, number) for number in numbers)

    def commit(self) -> None:
        if self._dry_run:
            self.release()
            return
        _give_back(self._leaving)

    def release(self) -> None:
        _give_back(self._taken)


def _give_back(numbers: Sequence[tuple[Pool, int]]) -> None:
    for pool, number in numbers:
        pool.give_back(number)
