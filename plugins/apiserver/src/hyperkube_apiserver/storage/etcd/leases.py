"""Leases for keys with a time to live: one for many keys, as upstream has them, for each costs etcd memory.

A key may so outlive its time by a little.
Source: k8s.io/apiserver/pkg/storage/etcd3/lease_manager.go.
"""

from __future__ import annotations

import math

from hyperkube_apiserver.storage.etcd.client import EtcdClient
from hyperkube_machinery.clock import Clock

__all__ = ["Leases"]

MOST_KEYS = 1000
_SHARE = 0.05  # of a time to live, that a lease is reused for at most


class Leases:
    """Gives the lease for a time to live."""

    def __init__(self, client: EtcdClient, clock: Clock, *, reuse_seconds: int = 60) -> None:
        self._client = client
        self._clock = clock
        self._reuse_seconds = reuse_seconds
        self._id = 0
        self._ends = 0.0  # on the monotonic clock
        self._keys = 0

    async def lease(self, ttl_seconds: float) -> int:
        """The lease of a key that is written now, and that is to live for so long."""
        if not ttl_seconds > 0:
            raise ValueError(f"the time to live must be above 0 s, not {ttl_seconds}")
        ttl = math.ceil(ttl_seconds)
        now = self._clock.monotonic()
        extra = min(self._reuse_seconds, int(ttl * _SHARE))
        left = self._ends - now
        self._keys += 1
        if self._id and ttl <= left <= ttl + extra and self._keys <= MOST_KEYS:
            return self._id
        granted = await self._client.ask("Lease", "LeaseGrant", {"TTL": ttl + extra})
        self._id, self._ends, self._keys = granted["ID"], now + ttl + extra, 1
        return self._id
