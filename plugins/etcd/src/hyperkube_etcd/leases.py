"""Leases in memory: when each ends, and the keys that end with it.

That there is a lease, and for how long it was granted, is in the store; when it ends is not: whoever starts anew gives
each its whole time once more.
Source: go.etcd.io/etcd/server/v3/lease/lessor.go.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.storage.interface import Change

__all__ = ["LONGEST_SECONDS", "Lease", "Leases"]

LONGEST_SECONDS = 9_000_000_000


@dataclass(slots=True)
class Lease:
    """One lease."""

    id: int
    ttl: int  # seconds
    ends: float  # on the monotonic clock
    keys: set[str] = field(default_factory=set)


class Leases:
    """All of them, by their numbers."""

    def __init__(self, clock: Clock, *, shortest_seconds: int) -> None:
        self._clock = clock
        self._shortest = shortest_seconds
        self._leases: dict[int, Lease] = {}

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._leases))

    def take_over(self, granted: Sequence[tuple[int, int]], attached: Sequence[tuple[str, int]]) -> None:
        """Begin with what the store has kept."""
        for number, ttl in granted:
            self.add(number, ttl)
        for key, number in attached:
            if number in self._leases:
                self._leases[number].keys.add(key)

    def time_for(self, asked_seconds: int) -> int:
        """For how long a lease is granted that was asked for so long."""
        return max(asked_seconds, self._shortest)

    def unused(self) -> int:
        """A number that no lease has."""
        while (number := secrets.randbits(63)) in self._leases or not number:
            pass
        return number

    def add(self, number: int, ttl_seconds: int) -> Lease:
        lease = self._leases[number] = Lease(number, ttl_seconds, self._clock.monotonic() + ttl_seconds)
        return lease

    def get(self, number: int) -> Lease | None:
        """A lease whose time has not come."""
        lease = self._leases.get(number)
        return lease if lease is not None and lease.ends > self._clock.monotonic() else None

    def renew(self, number: int) -> int:
        """Let a lease begin anew; its time to live, 0 where there is none."""
        lease = self.get(number)
        if lease is None:
            return 0
        lease.ends = self._clock.monotonic() + lease.ttl
        return lease.ttl

    def left(self, lease: Lease) -> int:
        """The seconds that are left of it."""
        return max(0, math.ceil(lease.ends - self._clock.monotonic()))

    def keys(self, number: int) -> set[str]:
        lease = self._leases.get(number)
        return lease.keys if lease is not None else set()

    def expired(self) -> list[int]:
        now = self._clock.monotonic()
        return [lease.id for lease in self._leases.values() if lease.ends <= now]

    def forget(self, number: int) -> None:
        self._leases.pop(number, None)

    def take(self, changes: Iterable[Change]) -> None:
        """Follow what was written."""
        for change in changes:
            before = change.previous.lease if change.previous is not None else 0
            now = change.entry.lease if change.entry is not None else 0
            if before and before != now and before in self._leases:
                self._leases[before].keys.discard(change.key)
            if now and now in self._leases:
                self._leases[now].keys.add(change.key)
