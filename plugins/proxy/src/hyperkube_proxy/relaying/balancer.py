"""Whom the next connection goes to: round robin, and clients that stay with whom they had."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

__all__ = ["Balancer", "Target"]

Target: TypeAlias = tuple[str, int]
"""Address and port of an endpoint."""

_FORGET_AT = 1024
"""How many clients are remembered before those whose time is over are looked for."""


class _Kept(NamedTuple):
    target: Target
    until: float


class Balancer:
    """The targets of one service's port. Source of affinity: a client's time begins anew with each connection."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._targets: tuple[Target, ...] = ()
        self._members: frozenset[Target] = frozenset()
        self._next = 0
        self._affinity_seconds = 0
        self._kept: dict[str, _Kept] = {}
        self._forget_at = _FORGET_AT

    @property
    def targets(self) -> frozenset[Target]:
        return self._members

    def update(self, targets: Iterable[Target], *, affinity_seconds: int = 0) -> None:
        """Go on with other targets; clients of those that are gone get another one."""
        self._targets = tuple(dict.fromkeys(targets))
        self._members = frozenset(self._targets)
        self._affinity_seconds = affinity_seconds
        if affinity_seconds:
            self._kept = {client: kept for client, kept in self._kept.items() if kept.target in self._members}
        else:
            self._kept.clear()

    def candidates(self, client: str) -> Iterator[Target]:
        """Each target once, the one to try first at the front."""
        kept = self._kept.get(client)
        first = kept.target if kept is not None and kept.until > self._now() else None
        if first is not None:
            yield first
        targets = self._targets
        start = self._next
        if targets and first is None:
            self._next = (start + 1) % len(targets)
        for offset in range(len(targets)):
            target = targets[(start + offset) % len(targets)]
            if target != first:
                yield target

    def keep(self, client: str, target: Target) -> None:
        """`client` was connected to `target`: with affinity it comes back there."""
        if self._affinity_seconds:
            if len(self._kept) >= self._forget_at:
                self._forget()
            self._kept[client] = _Kept(target, self._now() + self._affinity_seconds)

    def _forget(self) -> None:
        now = self._now()
        self._kept = {client: kept for client, kept in self._kept.items() if kept.until > now}
        self._forget_at = max(_FORGET_AT, 2 * len(self._kept))
