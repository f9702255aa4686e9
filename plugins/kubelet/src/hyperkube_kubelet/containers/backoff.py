"""How long to wait before the next try of something that keeps failing.

Source: k8s.io/client-go/util/flowcontrol/backoff.go, whose jitter the kubelet doesn't use.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BackOff"]

FORGOTTEN_SECONDS = 600.0


@dataclass(slots=True)
class _Entry:
    seconds: float
    updated: float


class BackOff:
    """By key: the wait doubles from `first` to `most` seconds, and begins anew after ten minutes without a failure."""

    def __init__(self, first: float = 10.0, most: float = 300.0) -> None:
        self._first = min(first, most)
        self._most = most
        self._entries: dict[str, _Entry] = {}

    def remaining(self, key: str, since: float, now: float) -> float:
        """Seconds until the next try of what failed at `since`; 0 where it may be now."""
        entry = self._entries.get(key)
        if entry is None or since - entry.updated > FORGOTTEN_SECONDS:
            return 0.0
        return max(0.0, since + entry.seconds - now)

    def left(self, key: str, now: float) -> float:
        """Seconds until the next try, counted from when the latest was told of; 0 where it may be now."""
        entry = self._entries.get(key)
        return max(0.0, entry.updated + entry.seconds - now) if entry is not None else 0.0

    def seconds(self, key: str) -> float:
        """The wait after the latest failure."""
        entry = self._entries.get(key)
        return entry.seconds if entry is not None else 0.0

    def advance(self, key: str, since: float, now: float) -> None:
        """A try is made now, the one before having failed at `since`."""
        entry = self._entries.get(key)
        if entry is None or since - entry.updated > FORGOTTEN_SECONDS:
            self._entries[key] = _Entry(self._first, now)
        else:
            entry.seconds, entry.updated = min(entry.seconds * 2, self._most), now

    def forget(self, prefix: str) -> None:
        """Forget the keys that begin so: all those of a pod."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]
