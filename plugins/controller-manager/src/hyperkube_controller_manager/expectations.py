"""What a controller asked for and has not yet seen: until its caches show it, it must not ask again.

A controller reads from caches that lag behind its own writes. Without a memory of what it created and deleted a second
look, before the watch has caught up, would create or delete the same again. The memory is lost with the process, and
may be: a new process lists everything before it acts. Source: k8s.io/kubernetes/pkg/controller/controller_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperkube_machinery.clock import Clock

__all__ = ["Expectations"]

_FORGOTTEN_AFTER_SECONDS = 300.0  # a watch that lost an event must not stop a controller for ever


@dataclass(slots=True)
class _Awaited:
    since: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)


class Expectations:
    """The creations (counted) and deletions (by the pod's key) that each owner, named by its key, waits to see."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._awaited: dict[str, _Awaited] = {}

    def expect(self, owner: str, *, creations: int = 0, deletions: Iterable[str] = ()) -> None:
        """Wait for these, and for nothing asked for earlier."""
        self._awaited[owner] = _Awaited(self._clock.monotonic(), creations, set(deletions))

    def created(self, owner: str, count: int = 1) -> None:
        """`count` creations were seen, or will never happen."""
        if (awaited := self._awaited.get(owner)) is not None:
            awaited.creations -= count

    def deleted(self, owner: str, key: str) -> None:
        """The deletion of `key` was seen (its timestamp or its end, whichever comes first), or will never happen."""
        if (awaited := self._awaited.get(owner)) is not None:
            awaited.deletions.discard(key)

    def satisfied(self, owner: str) -> bool:
        """Whether `owner` may act: everything was seen, or waiting has taken five minutes."""
        awaited = self._awaited.get(owner)
        if awaited is None or (awaited.creations <= 0 and not awaited.deletions):
            return True
        return self._clock.monotonic() - awaited.since > _FORGOTTEN_AFTER_SECONDS

    def forget(self, owner: str) -> None:
        """The owner is gone; another of its name starts afresh."""
        self._awaited.pop(owner, None)
