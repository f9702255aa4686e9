"""The one member: the store, who it says it is, its leases and alarms, and the one way to write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hyperkube_etcd.failures import refusal
from hyperkube_etcd.leases import Leases
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.etcdapi import ALARMS
from hyperkube_machinery.storage.interface import Change, Revision
from hyperkube_machinery.storage.views import EmbeddedStore, WritingView

__all__ = ["TERM", "Member"]

T = TypeVar("T")
Tree = dict[str, Any]

TERM = 2
_SIZED_EVERY = 64
"""Writes between two looks at the size of the file."""


@dataclass(slots=True)
class Member:
    """What all services share."""

    store: EmbeddedStore
    clock: Clock
    name: str = "default"
    client_urls: Sequence[str] = ()
    peer_urls: Sequence[str] = ()
    quota_bytes: int = 2 << 30
    most_ops: int = 128
    largest_request: int = 1572864
    shortest_lease_seconds: int = 2
    leases: Leases = field(init=False)
    alarms: set[int] = field(default_factory=set)
    id: int = field(init=False)
    cluster_id: int = field(init=False)
    _until_sized: int = 0

    def __post_init__(self) -> None:
        self.leases = Leases(self.clock, shortest_seconds=self.shortest_lease_seconds)
        self.id = _number(f"member {self.name}")
        self.cluster_id = _number("hk etcd")

    async def open(self) -> None:
        """Take over the leases that were kept; they begin anew, as after a change of leaders."""
        granted, attached = await self.store.read(lambda view: (list(view.leases()), list(view.leased())))
        self.leases.take_over(granted, attached)

    async def header(self) -> Tree:
        return self.header_at(await self.store.revision())

    def header_at(self, revision: int) -> Tree:
        return {"cluster_id": self.cluster_id, "member_id": self.id, "revision": revision, "raft_term": TERM}

    async def write(self, function: Callable[[WritingView], T], *, adds: bool) -> T:
        """Do what `function` does, and have leases know of it. Raises CallFailed, and what the store raises."""
        if adds:
            await self._check_quota()

        def work(view: WritingView) -> tuple[T, Sequence[Change]]:
            return function(view), view.changes

        result, changes = await self.store.transact(work, adds=adds)
        if changes:
            self.leases.take(changes)
        return result

    async def _check_quota(self) -> None:
        if ALARMS["NOSPACE"] in self.alarms:
            raise refusal("mvcc: database space exceeded")
        self._until_sized -= 1
        if self._until_sized < 0:
            self._until_sized = _SIZED_EVERY
            if self.quota_bytes > 0 and (await self.store.size())[0] > self.quota_bytes:
                self.alarms.add(ALARMS["NOSPACE"])
                raise refusal("mvcc: database space exceeded")

    async def expire(self) -> None:
        """Revoke the leases whose time has come."""
        for lease in self.leases.expired():
            await self.revoke(lease)

    async def revoke(self, lease: int) -> Revision:
        """Delete a lease with its keys. Raises CallFailed where there is none."""

        def work(view: WritingView) -> Revision:
            if view.ttl(lease) is None:
                raise refusal("requested lease not found")
            for key in keys:
                entry = view.get(key)
                if entry is not None and entry.lease == lease:
                    view.delete(key)
            view.revoke(lease)
            return Revision(view.revision + bool(view.changes))

        keys = sorted(self.leases.keys(lease))
        revision = await self.write(work, adds=False)
        self.leases.forget(lease)
        return revision


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
